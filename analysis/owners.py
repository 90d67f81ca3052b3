"""Which event tells a socket's owner: the one its owner's system call made."""

import numpy as np

from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.observed import NEVER
from tcptrace.tracer.schema import DETAIL_ERROR_SHIFT, DETAIL_ORPHAN, STATE


def owner_rows(
    events: EventArrays,
    states: np.ndarray,
    state_life: np.ndarray,
    reset_row: np.ndarray,
    reset_received: np.ndarray,
    count: int,
) -> np.ndarray:
    """Find the event in which the current task was the socket's owner.

    Only transitions that a system call makes qualify: connect(), listen(), shutdown()
    or close(). All others happen in whatever the network's softirq interrupted. The
    last resort is a reset the program itself sent by closing (tcp_close(),
    tcp_disconnect()): it follows a CLOSE that no error caused.
    """
    old, new = events.old[states], events.new[states]
    state = STATE
    ranked = (
        (old == state["CLOSE_WAIT"]) & (new == state["LAST_ACK"]),
        (new == state["FIN_WAIT_1"]),
        (old == state["LISTEN"]) & (new == state["CLOSE"]),
        (new == state["LISTEN"]),
        (old == state["CLOSE"]) & (new == state["SYN_SENT"]),
    )
    owner = np.full(count, -1)
    detail = events.detail[states]
    # The kernel aborts orphans by itself; a program's socket is none while it closes it.
    closes = (new == state["CLOSE"]) & (detail & DETAIL_ORPHAN == 0)
    closes &= detail >> DETAIL_ERROR_SHIFT == 0
    close_row = np.full(count, -1)
    close_row[state_life[closes]] = states[closes]
    aborted = (close_row >= 0) & (reset_row > close_row) & (reset_received == NEVER)
    aborted &= events.pid[close_row] == events.pid[reset_row]
    owner[aborted] = reset_row[aborted]
    for chosen in ranked:  # the last of them wins
        owner[state_life[chosen]] = states[chosen]
    return owner
