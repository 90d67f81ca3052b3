"""Socket lives: which events belong to the same life of the same socket.

The kernel reuses a socket's address within microseconds, so an address is an
identity only between two births: a transition out of CLOSE, or the LISTEN->SYN_RECV
with which a child is cloned from its listener (net/ipv4/tcp_minisocks.c).
"""

from dataclasses import dataclass

import numpy as np

from tcptrace.analysis.addresses import carry
from tcptrace.analysis.columns import spread
from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.observed import ALWAYS, NEVER
from tcptrace.analysis.owners import owner_rows
from tcptrace.analysis.tuples import last_before
from tcptrace.tracer.schema import DETAIL_ERROR_SHIFT, DETAIL_FIN_RECEIVED, KIND, STATE, STATES


@dataclass(frozen=True)
class Lives:
    """Lives of full sockets, listeners included; one entry per life.

    ``first``, ``last``: time of its first and last transition, ns. ``begins``,
    ``ends``: whether its birth and its CLOSE were recorded. ``tuple_row``: the event
    whose four-tuple is the life's (the last complete one). ``state``: the last state.
    ``before_close``: the state it left for CLOSE, 0 if it did not close.
    ``fin_received``, ``error``: as CLOSE reported. ``entered``: (lives, states) times
    of first entry, NEVER where not entered. ``dwell``: (lives, states) ns, as recorded
    between two transitions; ``gap``: (lives, states) True where a transition in
    between was lost. ``reset_received``, ``reset_sent``: time of the first and of
    the last, NEVER if none. ``reset_row``: the event of the last sent, -1 if none.
    ``owner_row``: the event whose current task owned the socket, -1 if none.
    ``rows``, ``row_life``: the events of all lives, sorted by life and time, and the
    life of each.
    """

    first: np.ndarray
    second: np.ndarray
    last: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    first_old: np.ndarray
    state: np.ndarray
    before_close: np.ndarray
    fin_received: np.ndarray
    error: np.ndarray
    tuple_row: np.ndarray
    owner_row: np.ndarray
    reset_row: np.ndarray
    reset_received: np.ndarray
    reset_sent: np.ndarray
    entered: np.ndarray
    dwell: np.ndarray
    gap: np.ndarray
    listener: np.ndarray
    client: np.ndarray
    server: np.ndarray
    rows: np.ndarray
    row_life: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def _births(events: EventArrays, rows: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Mark the first event of every life of a full socket."""
    kind, old, new = events.kind[rows], events.old[rows], events.new[rows]
    is_state = kind == KIND["state"]
    previous = carry(new.astype(np.int64), is_state, begins)
    close = STATE["CLOSE"]
    told = is_state & (old == close)
    told |= is_state & (old == STATE["LISTEN"]) & (new == STATE["SYN_RECV"])
    births = begins | told
    # After CLOSE only a birth can follow: if it was not recorded, this is another life.
    births |= is_state & (previous == close)
    # A reset is received before its socket closes, so after CLOSE it is another life's.
    reset = (kind == KIND["reset_received"]) & (previous == close)
    belongs = np.zeros(len(rows), bool)
    belongs[1:] = reset[:-1] & is_state[1:] & ~told[1:]
    first: np.ndarray = (births | reset) & ~belongs
    return first


def find_lives(events: EventArrays, rows: np.ndarray, begins: np.ndarray) -> Lives:
    """Group the events of full sockets (from :func:`split_rows`) into lives."""
    births = _births(events, rows, begins)
    life = np.cumsum(births) - 1
    kind = events.kind[rows]
    is_state = kind == KIND["state"]
    # A life is made of transitions; errors and resets alone make none.
    has_state = np.zeros(life[-1] + 1 if len(life) else 0, bool)
    has_state[life[is_state]] = True
    renumber = np.cumsum(has_state) - 1
    kept = has_state[life] if len(life) else np.empty(0, bool)
    rows, life, is_state = rows[kept], renumber[life[kept]], is_state[kept]
    return _describe(events, rows, life, is_state, int(has_state.sum()))


def _first_times(life: np.ndarray, times: np.ndarray, count: int) -> np.ndarray:
    """Give the first time per life (entries in time order within a life)."""
    result = np.full(count, NEVER)
    result[life[::-1]] = times[::-1]
    return result


def _describe(
    events: EventArrays, rows: np.ndarray, life: np.ndarray, is_state: np.ndarray, count: int
) -> Lives:
    states = rows[is_state]
    owner = life[is_state]
    time, old, new = events.time[states], events.old[states], events.new[states]
    begin = np.flatnonzero(np.diff(owner, prepend=-1))
    end = np.append(begin[1:], len(states)) - 1 if len(begin) else begin
    close, listen = STATE["CLOSE"], STATE["LISTEN"]

    def has(condition: np.ndarray) -> np.ndarray:
        return np.bincount(owner[condition], minlength=count)[:count] > 0

    first_old, first_new = old[begin], new[begin]
    begins = (first_old == close) | ((first_old == listen) & (first_new == STATE["SYN_RECV"]))
    ends = new[end] == close
    entered = np.full((count, len(STATES)), NEVER)
    for state in range(len(STATES)):
        chosen = new == state
        entered[:, state] = _first_times(owner[chosen], time[chosen], count)
    dwell, gap = _dwell(owner, time, old, new, count)
    complete = (events.local_port[states] != 0) & (events.remote_port[states] != 0)
    last_complete = np.maximum.accumulate(np.where(complete, np.arange(len(states)), -1))
    tuple_place = np.where(last_complete[end] >= begin, last_complete[end], end)
    at_close = events.detail[states[end]]
    resets = _resets(events, rows, life, count)
    return Lives(
        first=time[begin],
        second=np.where(begin < end, time[np.minimum(begin + 1, end)], ALWAYS),
        last=time[end],
        begins=begins,
        ends=ends,
        first_old=first_old,
        state=new[end],
        before_close=np.where(ends, old[end], 0),
        fin_received=ends & (at_close & DETAIL_FIN_RECEIVED != 0),
        error=np.where(ends, at_close >> DETAIL_ERROR_SHIFT, 0),
        tuple_row=states[tuple_place],
        owner_row=owner_rows(events, states, owner, resets["row"], resets["received"], count),
        reset_row=resets["row"],
        reset_received=resets["received"],
        reset_sent=resets["sent"],
        entered=entered,
        dwell=dwell,
        gap=gap,
        listener=has((new == listen) | ((old == listen) & (new == close))),
        client=has((new == STATE["SYN_SENT"]) | (old == STATE["SYN_SENT"])),
        server=has((old == listen) & (new == STATE["SYN_RECV"])),
        rows=rows,
        row_life=life,
    )


def _dwell(
    life: np.ndarray, time: np.ndarray, old: np.ndarray, new: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the time between transitions by state; mark what a lost one makes unknown."""
    width = len(STATES)
    same = life[1:] == life[:-1]
    seen = same & (new[:-1] == old[1:])
    cell = life[:-1] * width + new[:-1]
    spent = np.diff(time)
    dwell = np.bincount(cell[seen], spent[seen], count * width)[: count * width].astype(float)
    lost = same & ~seen
    gap = np.zeros(count * width, bool)
    gap[cell[lost]] = True
    gap[life[1:][lost] * width + old[1:][lost]] = True
    return dwell.reshape(count, width), gap.reshape(count, width)


def _resets(
    events: EventArrays, rows: np.ndarray, life: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    kind = events.kind[rows]
    received, sent = kind == KIND["reset_received"], kind == KIND["reset_sent"]
    row, last_sent = np.full(count, -1), np.full(count, NEVER)
    row[life[sent]], last_sent[life[sent]] = rows[sent], events.time[rows[sent]]
    return {
        "received": _first_times(life[received], events.time[rows[received]], count),
        "sent": last_sent,
        "row": row,
    }


def living(
    lives: Lives, life_ids: np.ndarray, ids: np.ndarray, times: np.ndarray, late: int = 0
) -> np.ndarray:
    """For each (tuple id, time) find the life that had the four-tuple then; -1 if none.

    ``life_ids``: tuple ids of ``lives``. A life whose birth was not recorded may have
    been there ever since the one before it. ``late``: how much later than true a time
    may be, ns.
    """
    order = np.lexsort((lives.first, life_ids))
    since = np.full(len(lives), NEVER)
    same = life_ids[order[1:]] == life_ids[order[:-1]]
    since[order[1:][same]] = lives.last[order[:-1][same]] + 1
    since = np.where(lives.begins, lives.first, np.minimum(since, lives.first))
    found = last_before(life_ids, since, ids, times)
    until = np.where(lives.ends, lives.last + late, ALWAYS)
    return np.where(spread(until, found, NEVER) >= times, found, -1)
