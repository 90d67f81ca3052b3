"""Events by socket address: those of full sockets, and those of timewait sockets."""

import numpy as np

from tcptrace.analysis.events import EventArrays
from tcptrace.tracer.schema import KIND, STATE

_TIMEWAIT_KINDS = [code for name, code in KIND.items() if name.startswith("timewait")]


def _by_address(events: EventArrays) -> tuple[np.ndarray, np.ndarray]:
    """Sort events by socket address, keeping their order; tell where an address begins.

    Without a snapshot's rows and resets for no socket (address 0), and request sockets.
    """
    wanted = (events.kind >= 0) & (events.socket != 0)
    wanted &= events.old != STATE["NEW_SYN_RECV"]
    # A state set again (tcp_set_state() says that, too) is no transition.
    wanted &= (events.kind != KIND["state"]) | (events.old != events.new)
    rows = np.flatnonzero(wanted)
    rows = rows[np.argsort(events.socket[rows], kind="stable")]
    return rows, _changes(events.socket[rows])


def _changes(values: np.ndarray) -> np.ndarray:
    begins = np.ones(len(values), bool)
    begins[1:] = values[1:] != values[:-1]
    return begins


def carry(values: np.ndarray, valid: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Give at each place the last valid value before it in the same group, else -1."""
    places = np.where(valid, np.arange(len(values)), -1)
    before = np.empty_like(places)
    before[:1] = -1
    before[1:] = np.maximum.accumulate(places)[:-1]
    start = np.maximum.accumulate(np.where(begins, np.arange(len(values)), 0))
    return np.where(before >= start, values[before], -1)


def split_rows(events: EventArrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Part the events into those of full sockets and those of timewait sockets.

    Gives the full sockets' events sorted by address, where each address begins, and
    the timewait sockets' events.
    """
    rows, begins = _by_address(events)
    kind, state = events.kind[rows], events.old[rows]
    resets = kind == KIND["reset_sent"]
    timewait = np.isin(kind, _TIMEWAIT_KINDS)
    if resets.any():
        timewait |= _resets_of_timewait(timewait, resets, begins, state)
    full = ~timewait
    starts = _changes(events.socket[rows[full]])
    # A timewait socket seen in between: the page was given away and came back.
    starts |= _changes(np.cumsum(timewait)[full])
    return rows[full], starts, rows[timewait]


def _resets_of_timewait(
    timewait: np.ndarray, resets: np.ndarray, begins: np.ndarray, state: np.ndarray
) -> np.ndarray:
    """Tell the resets sent on behalf of timewait sockets.

    By what was last seen at the address or, of one older than the recording, by what
    comes next.
    """
    told = timewait.astype(np.int64)
    before = carry(told, ~resets, begins)
    of_timewait: np.ndarray = resets & ((before == 1) | (state == STATE["TIME_WAIT"]))
    unsure = resets & (before < 0) & (state == STATE["FIN_WAIT_2"])
    if unsure.any():
        ends = np.append(begins[1:], True)
        after = carry(told[::-1], ~resets[::-1], ends[::-1])[::-1]
        of_timewait |= unsure & (after == 1)
    return of_timewait
