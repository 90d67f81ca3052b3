"""Timewait sockets, from their timers: when TIME_WAIT began, how it ended.

A timewait socket's timer is started (``timewait_start``), re-armed (cancel, then
start: the peer's FIN arrived, or came again), and at last expires (cancel, then
expire) or is cancelled for good. A re-arm that stays within one bucket of the timer
wheel is silent (``__mod_timer()``), so at every later event the jiffies left tell
when the timer was really last armed: TIME_WAIT lasts TCP_TIMEWAIT_LEN, 60 s.
"""

from dataclasses import dataclass

import numpy as np

from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.lives import Lives
from tcptrace.analysis.observed import ALWAYS, NEVER
from tcptrace.analysis.rearms import SECOND, beginnings, is_timer
from tcptrace.analysis.tuples import last_before
from tcptrace.tracer.schema import KIND, STATE, TIMEWAIT_SECONDS

#: How a timewait socket ended; index = code in ``TimeWaits.end``.
ENDS = ("open", "expired", "reused_connect", "reused_syn", "reset", "killed", None)
OPEN, EXPIRED, REUSED_CONNECT, REUSED_SYN, RESET, KILLED, UNKNOWN = range(len(ENDS))

#: An incoming SYN that was answered with a cookie leaves no request socket; its child,
#: a round trip later, is then the only sign that it ended a TIME_WAIT. Right behind
#: the end it is sure enough; a little later something else may have ended it.
_COOKIE_SURE = SECOND // 1000
_COOKIE_PERHAPS = SECOND // 10


@dataclass(frozen=True)
class TimeWaits:
    """Lives of timewait sockets, one entry each.

    ``life``: the connection's index in :class:`Lives`, -1 if not recorded.
    ``tuple_row``: an event with its four-tuple. ``seen``: its first event, ns.
    ``whole``: that was its start. ``began``: when TIME_WAIT began, NEVER if it did
    not or if that is not known. ``in_time_wait``: whether it ever was in TIME_WAIT,
    not only in FIN_WAIT_2. ``armed``: when its timer was last armed, as known at the
    end. ``ended``: ns, ALWAYS while open. ``end``: index into ENDS. ``restarts``: how
    often TIME_WAIT was started anew, at least.
    """

    life: np.ndarray
    tuple_id: np.ndarray
    tuple_row: np.ndarray
    seen: np.ndarray
    whole: np.ndarray
    began: np.ndarray
    in_time_wait: np.ndarray
    armed: np.ndarray
    ended: np.ndarray
    end: np.ndarray
    restarts: np.ndarray

    def __len__(self) -> int:
        return len(self.life)


def jiffy_rate(events: EventArrays, header_hz: object = None) -> int | None:
    """Give the kernel's HZ: from the header, or learnt from TIME_WAITs' first timers.

    A timer started in sub-state TIME_WAIT is armed for exactly 60 * HZ jiffies.
    """
    if isinstance(header_hz, int) and header_hz > 0:
        return header_hz
    starts = events.kind == KIND["timewait_start"]
    starts &= (events.new == STATE["TIME_WAIT"]) & (events.detail > 0)
    if not starts.any():
        return None
    values, counts = np.unique(events.detail[starts], return_counts=True)
    return max(1, int(values[counts.argmax()]) // TIMEWAIT_SECONDS)


def find_time_waits(
    events: EventArrays,
    rows: np.ndarray,
    row_ids: np.ndarray,
    lives: Lives,
    life_ids: np.ndarray,
    hz: int | None,
) -> TimeWaits:
    """Group the events of timewait sockets (from ``split_rows``) into lives.

    ``row_ids``, ``life_ids``: tuple ids of ``rows`` and of ``lives``, in one numbering.
    A timewait socket has its four-tuple to itself, so that, and not its address, is
    what its events are sorted by: a snapshot's rows have no address.
    """
    order = np.lexsort((rows, events.time[rows], row_ids))
    rows, row_ids = rows[order], row_ids[order]
    kind, time = events.kind[rows], events.time[rows]
    starts = kind == KIND["timewait_start"]
    life = np.full(len(rows), -1)
    # A connection of which no birth was seen may have been there from the start.
    opened = np.where(lives.begins, lives.first, NEVER)
    life[starts] = last_before(life_ids, opened, row_ids[starts], time[starts])
    still_open = np.where(lives.ends, lives.last, ALWAYS)
    initial = starts & (life >= 0)
    initial[initial] = still_open[life[initial]] >= time[initial]
    life[~initial] = -1

    births = initial.copy()
    births[:1] = True
    births[1:] |= row_ids[1:] != row_ids[:-1]
    births[1:] |= (kind[:-1] == KIND["timewait_expire"]) & (kind[1:] != KIND["reset_sent"])
    births[1:] |= starts[1:] & (kind[:-1] != KIND["timewait_cancel"])
    seen_alive = (kind == KIND["existing"]) | (kind == KIND["timewait_cancel"])
    births[1:] |= seen_alive[1:] & (kind[:-1] == KIND["timewait_cancel"])
    group = np.cumsum(births) - 1
    first = np.flatnonzero(births)
    last = np.append(first[1:], len(rows)) - 1 if len(first) else first
    return _describe(events, rows, row_ids, lives, life_ids, hz, life, group, first, last)


def _describe(
    events: EventArrays,
    rows: np.ndarray,
    row_ids: np.ndarray,
    lives: Lives,
    life_ids: np.ndarray,
    hz: int | None,
    life: np.ndarray,
    group: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
) -> TimeWaits:
    kind, time = events.kind[rows], events.time[rows]
    count = len(first)
    began, in_time_wait, armed, restarts = beginnings(events, rows, group, count, hz)
    cancelled_at, end = np.full(count, ALWAYS), np.full(count, OPEN)
    # The timer's last word: a start means it is still running.
    timer = is_timer(kind)
    final = np.full(count, -1)
    final[group[timer]] = np.flatnonzero(timer)
    has_final = final >= 0
    stopped = np.zeros(count, bool)
    stopped[has_final] = kind[final[has_final]] != KIND["timewait_start"]
    cancelled_at[stopped] = time[final[stopped]]
    expired = np.zeros(count, bool)
    expired[group[kind == KIND["timewait_expire"]]] = True
    end[stopped] = KILLED
    end[stopped & expired] = EXPIRED
    result = TimeWaits(
        life=life[first],
        tuple_id=row_ids[first],
        tuple_row=rows[first],
        seen=time[first],
        whole=kind[first] == KIND["timewait_start"],
        began=began,
        in_time_wait=in_time_wait,
        armed=armed,
        ended=cancelled_at,
        end=end,
        restarts=restarts,
    )
    _name_early_ends(result, kind, group, lives, life_ids)
    return result


def _name_early_ends(
    waits: TimeWaits,
    kind: np.ndarray,
    group: np.ndarray,
    lives: Lives,
    life_ids: np.ndarray,
) -> None:
    """Tell reuse and reset from other early ends (fills ``waits.end`` in place)."""
    early = np.flatnonzero(waits.end == KILLED)
    end = waits.end
    by_reset = np.zeros(len(waits), bool)
    by_reset[group[kind == KIND["reset_sent"]]] = True
    by_syn = np.zeros(len(waits), bool)
    by_syn[group[kind == KIND["timewait_reused"]]] = True
    # connect() reports SYN_SENT, then looks for a port: cancels in between, and the
    # next thing its socket reports has the TIME_WAIT's own four-tuple.
    ended = waits.ended[early]
    other = last_before(life_ids, lives.first, waits.tuple_id[early], ended)
    known = other >= 0
    by_connect = known & lives.client[other] & lives.begins[other]
    by_connect &= (other != waits.life[early]) & (lives.second[other] >= ended)
    for within, name in ((_COOKIE_PERHAPS, UNKNOWN), (_COOKIE_SURE, REUSED_SYN)):
        child = last_before(life_ids, lives.first, waits.tuple_id[early], ended + within)
        by_cookie = (child >= 0) & lives.server[child] & (lives.first[child] >= ended)
        end[early[by_cookie]] = name
    end[early[by_connect]] = REUSED_CONNECT
    end[by_reset & (end == KILLED)] = RESET
    stopped_early = (end != EXPIRED) & (end != OPEN)
    end[by_syn & stopped_early] = REUSED_SYN
