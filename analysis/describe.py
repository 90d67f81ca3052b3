"""What the events of a socket's life say of it."""

from typing import Any

import numpy as np

from tcptrace.analysis.addresses import ByAddress
from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.lives import DWELT, Grouping, Lives
from tcptrace.analysis.marks import CLIENT, LISTENER, RESET_RECEIVED, RESET_SENT, SERVER
from tcptrace.analysis.observed import ALWAYS, NEVER
from tcptrace.analysis.owners import owner_rows
from tcptrace.tracer.schema import DETAIL_ERROR_SHIFT, DETAIL_FIN_RECEIVED, STATE, STATES

_CLOSE, _LISTEN = STATE["CLOSE"], STATE["LISTEN"]
#: State -> row of ``Lives.dwell``; one more, of what is not told.
_DWELT = np.full(len(STATES), len(DWELT))
for _place, _name in enumerate(DWELT):
    _DWELT[STATE[_name]] = _place
_STATE_BITS = (1 << len(STATES)) - 1
_COUNT = np.array([bits.bit_count() for bits in range(1 << len(STATES))], np.int8)


def describe(events: EventArrays, marks: np.ndarray, found: ByAddress, grouping: Grouping) -> Lives:
    """Describe each life of ``grouping``."""
    rows, life = grouping.rows, grouping.life
    begin, end = grouping.begin, grouping.end
    count = len(begin)
    time, old, new = events.time.take(rows), grouping.old, grouping.new
    # reduceat() wants at least one.
    said = np.bitwise_or.reduceat(grouping.mark, begin) if count else np.zeros(0, np.int32)
    first_old, first, last = old.take(begin), time.take(begin), time.take(end)
    ends = new.take(end) == _CLOSE
    at_close = events.detail.take(rows.take(end))
    address = found.socket.take(grouping.start)
    next_first = np.full(count, ALWAYS)
    again = address[1:] == address[:-1]
    next_first[:-1][again] = first[1:][again]
    entering = np.flatnonzero(new == STATE["ESTABLISHED"])[::-1]
    established = np.full(count, NEVER)
    established[life.take(entering)] = time.take(entering)
    entered = (said & _STATE_BITS).astype(np.int16)
    revisited = bool((_COUNT.take(entered) <= end - begin).any())
    dwell, gap = _dwell(grouping, time, revisited=revisited)
    resets = _resets(events, marks, found.rows[grouping.others], grouping.other_life, count)
    where = rows[_tuple_places(events, rows, begin, end)]
    owner = owner_rows(events, grouping, resets["row"], resets["received"])
    return Lives(
        row=events.row.take(rows.take(begin)),
        first=first,
        second=np.where(begin < end, time[np.minimum(begin + 1, end)], ALWAYS),
        last=last,
        next_first=next_first,
        begins=(first_old == _CLOSE)
        | ((first_old == _LISTEN) & (new.take(begin) == STATE["SYN_RECV"])),
        ends=ends,
        first_old=first_old,
        state=new.take(end),
        before_close=np.where(ends, old.take(end), 0),
        fin_received=ends & (at_close & DETAIL_FIN_RECEIVED != 0),
        error=np.where(ends, at_close >> DETAIL_ERROR_SHIFT, 0),
        established=established,
        entered=entered,
        gap=gap,
        dwell=dwell,
        reset_received=resets["received"],
        reset_sent=resets["sent"],
        reset_reason=resets["reason"],
        listener=said & LISTENER != 0,
        client=said & CLIENT != 0,
        server=said & SERVER != 0,
        netns=events.netns.take(where),
        local=events.local.take(where),
        local_port=events.local_port.take(where),
        remote=events.remote.take(where),
        remote_port=events.remote_port.take(where),
        owned=owner >= 0,
        cgroup=events.cgroup.take(owner) if len(events) else events.cgroup.take(where),
        pid=events.pid.take(owner) if len(events) else events.pid.take(where),
        comm=events.comm.take(owner) if len(events) else events.comm.take(where),
    )


def _tuple_places(
    events: EventArrays, rows: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """Give each life's last transition that has a complete four-tuple; else its last."""
    ends = rows.take(end)
    if events.local_port.take(ends).all() and events.remote_port.take(ends).all():
        return end
    complete = (events.local_port.take(rows) != 0) & (events.remote_port.take(rows) != 0)
    last = np.maximum.accumulate(np.where(complete, np.arange(len(rows)), -1))[end]
    places: np.ndarray = np.where(last >= begin, last, end)
    return places


def _dwell(
    grouping: Grouping, time: np.ndarray, *, revisited: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the time between transitions by state; mark what a lost one makes unknown.

    ``revisited``: some life went into a state twice, which few ever do.
    """
    life, old, new, count = grouping.life, grouping.old, grouping.new, len(grouping.begin)
    ends = grouping.end[:-1]
    lost = new[:-1] != old[1:]
    lost[ends] = False
    lost = np.flatnonzero(lost)
    # A cell for each state and life; those behind are of what no state's time is.
    cell = (_DWELT * count).take(new[:-1])
    cell += life[:-1]
    cell[ends] = cell[lost] = size = len(DWELT) * count
    spent = np.diff(time)
    if revisited:
        dwell = np.bincount(cell, spent, size + count).astype(np.int64)
    else:
        dwell = np.zeros(size + count, np.int64)
        dwell[cell] = spent
    gap = np.zeros(count, np.int16)
    np.bitwise_or.at(gap, life[lost], np.left_shift(1, new[lost], dtype=np.int16))
    np.bitwise_or.at(gap, life[lost], np.left_shift(1, old[lost + 1], dtype=np.int16))
    return dwell[:size].reshape(len(DWELT), count), gap


def _resets(
    events: EventArrays, marks: np.ndarray, rows: np.ndarray, life: np.ndarray, count: int
) -> dict[str, Any]:
    """Find each life's first reset received and last one sent; `row`: the latter, or -1."""
    received, sent = marks[rows] & RESET_RECEIVED != 0, marks[rows] & RESET_SENT != 0
    first, last = np.full(count, NEVER), np.full(count, NEVER)
    row, reason = np.full(count, -1), np.full(count, NEVER)
    first[life[received][::-1]] = events.time[rows[received]][::-1]
    last[life[sent]] = events.time[rows[sent]]
    row[life[sent]] = rows[sent]
    reason[life[sent]] = np.where(events.has_detail[rows[sent]], events.detail[rows[sent]], NEVER)
    return {"received": first, "sent": last, "row": row, "reason": reason}
