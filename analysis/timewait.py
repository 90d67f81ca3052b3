"""Timewait sockets, from their timers: when TIME_WAIT began, how it ended.

A timewait socket's timer is started (``timewait_start``), re-armed (cancel, then
start: the peer's FIN arrived, or came again), and at last expires (cancel, then
expire) or is cancelled for good. A re-arm that stays within one bucket of the timer
wheel is silent (``__mod_timer()``), so at every later event the jiffies left tell
when the timer was really last armed: TIME_WAIT lasts TCP_TIMEWAIT_LEN, 60 s.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from tcptrace.analysis.columns import spread
from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.lives import Lives, living
from tcptrace.analysis.masks import one_of, where
from tcptrace.analysis.observed import ALWAYS, NEVER, STALE
from tcptrace.analysis.order import numbered, order_within, stable_order
from tcptrace.analysis.rearms import SECOND, beginnings
from tcptrace.analysis.tuples import last_before
from tcptrace.tracer.schema import KIND, STATE, TIMEWAIT_SECONDS

#: How a timewait socket ended; index = code in ``TimeWaits.end``.
ENDS = ("open", "expired", "reused_connect", "reused_syn", "reset", "killed", None)
OPEN, EXPIRED, REUSED_CONNECT, REUSED_SYN, RESET, KILLED, UNKNOWN = range(len(ENDS))

#: What the kernel does in one go comes within microseconds, unless a hypervisor stops
#: the CPU in between: cancel and start, cancel and expire, reset and cancel.
_TOGETHER = SECOND // 10
#: An incoming SYN that was answered with a cookie leaves no request socket; its child,
#: a round trip later, is then the only sign that it ended a TIME_WAIT. Right behind
#: the end it is sure enough; a little later something else may have ended it.
_COOKIE_SURE = SECOND // 1000
_COOKIE_PERHAPS = SECOND // 10
_MAX_HZ = 100_000


@dataclass(frozen=True)
class TimeWaits:
    """Lives of timewait sockets, one entry each.

    ``life``: the connection's index in :class:`Lives`, -1 if not recorded.
    ``tuple_row``: an event with its four-tuple. ``seen``, ``last``: its first and last
    event, ns. ``whole``: the first was its start. ``in_time_wait``, ``began``,
    ``since``, ``restarts``: see :class:`tcptrace.analysis.rearms.Beginnings`.
    ``ended``: ns, ALWAYS while open. ``end``: index into ENDS. ``followed``: another
    timewait socket had its four-tuple later. ``asked``: its last event is a snapshot's,
    so that its state then is known: a FIN that arrives within the timer's bucket makes
    TIME_WAIT of FIN_WAIT_2 without an event.
    """

    life: np.ndarray
    tuple_id: np.ndarray
    tuple_row: np.ndarray
    seen: np.ndarray
    last: np.ndarray
    whole: np.ndarray
    in_time_wait: np.ndarray
    began: np.ndarray
    since: np.ndarray
    restarts: np.ndarray
    ended: np.ndarray
    end: np.ndarray
    followed: np.ndarray
    asked: np.ndarray

    def __len__(self) -> int:
        return len(self.life)


def first_timers(events: EventArrays) -> Counter[int]:
    """Count the jiffies for which timers were armed as TIME_WAIT began."""
    starts = events.kind == KIND["timewait_start"]
    starts &= (events.new == STATE["TIME_WAIT"]) & (events.detail > 0)
    starts &= events.detail <= _MAX_HZ * TIMEWAIT_SECONDS
    values, counts = np.unique(events.detail[starts], return_counts=True)
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def jiffy_rate(timers: Counter[int], header_hz: object = None) -> int | None:
    """Give the kernel's HZ: from the header, or learnt from TIME_WAITs' first timers.

    A timer started in sub-state TIME_WAIT is armed for exactly 60 * HZ jiffies.
    """
    if type(header_hz) is int and 0 < header_hz <= _MAX_HZ:
        return header_hz
    if not timers:
        return None
    most = max(timers.values())
    return max(1, min(value for value in timers if timers[value] == most) // TIMEWAIT_SECONDS)


def find_time_waits(
    events: EventArrays,
    rows: np.ndarray,
    row_ids: np.ndarray,
    lives: Lives,
    life_ids: np.ndarray,
    hz: int | None,
    *,
    resets_told: bool = True,
) -> TimeWaits:
    """Group the events of timewait sockets (from ``split_rows``) into lives.

    ``row_ids``, ``life_ids``: tuple ids of ``rows`` and of ``lives``, in one numbering.
    A timewait socket has its four-tuple to itself, so that, and not its address, is
    what its events are sorted by: a snapshot's rows have no address. ``resets_told``: False
    where the kernel does not tell of the resets they send: only in FIN_WAIT_2 do they.
    """
    rows_first = stable_order(rows)
    rows, row_ids = rows.take(rows_first), row_ids.take(rows_first)
    order = order_within(row_ids, events.time.take(rows))
    all_rows, all_ids = rows.take(order), row_ids.take(order)
    signs = one_of(events.kind.take(all_rows), KIND["reset_sent"], KIND["timewait_reused"])
    rows, row_ids = _without_stale(events, all_rows[~signs], all_ids[~signs])
    kind, time = events.kind.take(rows), events.time.take(rows)
    starts = kind == KIND["timewait_start"]
    # The full socket closes right after the first start.
    life = np.full(len(rows), -1)
    started = np.flatnonzero(starts)
    life[started] = living(lives, life_ids, row_ids.take(started), time.take(started))

    births = np.ones(len(rows), bool)
    before, after = kind[:-1], kind[1:]
    together = np.diff(time) <= _TOGETHER
    goes_on = one_of(before, KIND["timewait_start"], KIND["existing"]) & ~starts[1:]
    cancelled = before == KIND["timewait_cancel"]
    goes_on |= cancelled & together & (after == KIND["timewait_expire"])
    goes_on |= cancelled & together & starts[1:] & (life[1:] < 0)
    births[1:] = (row_ids[1:] != row_ids[:-1]) | ~goes_on

    group = numbered(births)
    first = np.flatnonzero(births)
    last = np.append(first[1:], len(rows)) - 1 if len(first) else first
    begun = beginnings(events, rows, first, group, hz)
    tuple_id = row_ids.take(first)
    followed = np.zeros(len(first), bool)
    followed[:-1] = tuple_id[1:] == tuple_id[:-1]
    last_kind, last_time = kind.take(last), time.take(last)
    stopped = one_of(last_kind, KIND["timewait_cancel"], KIND["timewait_expire"])
    expired = last_kind == KIND["timewait_expire"]
    waits = TimeWaits(
        life=life.take(first),
        tuple_id=tuple_id,
        tuple_row=rows.take(first),
        seen=time.take(first),
        last=last_time,
        whole=starts[first],
        in_time_wait=begun.in_time_wait,
        began=begun.began,
        since=begun.since,
        restarts=begun.restarts,
        ended=where(stopped, last_time, ALWAYS),
        end=np.where(expired, EXPIRED, where(stopped, KILLED, OPEN)),
        followed=followed,
        asked=last_kind == KIND["existing"],
    )
    _name_early_ends(waits, events, all_rows[signs], all_ids[signs], lives, life_ids)
    if not resets_told:
        waits.end[(waits.end == KILLED) & ~waits.in_time_wait] = UNKNOWN
    return waits


def _without_stale(
    events: EventArrays, rows: np.ndarray, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Drop a snapshot's rows of what had just ended when they were written."""
    kind, time = events.kind.take(rows), events.time.take(rows)
    ended = (kind == KIND["timewait_cancel"]) | (kind == KIND["timewait_expire"])
    stale = np.zeros(len(rows), bool)
    stale[1:] = (kind[1:] == KIND["existing"]) & ended[:-1] & (ids[1:] == ids[:-1])
    stale[1:] &= np.diff(time) <= STALE
    return rows[~stale], ids[~stale]


def _name_early_ends(
    waits: TimeWaits,
    events: EventArrays,
    signs: np.ndarray,
    sign_ids: np.ndarray,
    lives: Lives,
    life_ids: np.ndarray,
) -> None:
    """Tell reuse and reset from other early ends (fills ``waits.end`` in place).

    ``signs``: events of resets sent and of SYNs that reused, sorted by tuple and time.
    """
    early = np.flatnonzero(waits.end == KILLED)
    end, ended, ids = waits.end, waits.ended[early], waits.tuple_id[early]
    resets = events.kind[signs] == KIND["reset_sent"]
    time = events.time[signs]

    for within, name in ((_COOKIE_PERHAPS, UNKNOWN), (_COOKIE_SURE, REUSED_SYN)):
        child = last_before(life_ids, lives.first, ids, ended + within)
        by_cookie = spread(lives.server & lives.begins, child, False)
        by_cookie &= spread(lives.first, child, 0) >= ended
        end[early[by_cookie]] = name
    # Data is answered by a reset, then the timewait socket goes.
    reset = last_before(sign_ids[resets], time[resets], ids, ended)
    end[early[spread(time[resets], reset, NEVER) >= ended - _TOGETHER]] = RESET
    # connect() reports SYN_SENT, then looks for a port: cancels in between, and the
    # next thing its socket reports has the TIME_WAIT's own four-tuple.
    other = last_before(life_ids, lives.first, ids, ended)
    by_connect = spread(lives.client & lives.begins, other, False)
    by_connect &= (other != waits.life[early]) & (spread(lives.second, other, 0) >= ended)
    end[early[by_connect]] = REUSED_CONNECT
    # The witness: a request socket made right behind.
    syn = last_before(sign_ids[~resets], time[~resets], ids, ended + _TOGETHER)
    end[early[spread(time[~resets], syn, NEVER) >= ended]] = REUSED_SYN
