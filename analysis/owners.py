"""Which event tells a socket's owner: the one its owner's system call made."""

import numpy as np

from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.lives import Grouping
from tcptrace.analysis.observed import NEVER
from tcptrace.tracer.schema import DETAIL_ERROR_SHIFT, DETAIL_ORPHAN, STATE, STATES

#: By old and new state: how well a transition tells, 0: not at all.
_RANK = np.zeros((16, 16), np.int8)
for _old in range(len(STATES)):
    _RANK[_old, STATE["FIN_WAIT_1"]] = 2
    _RANK[_old, STATE["LISTEN"]] = 4
_RANK[STATE["CLOSE_WAIT"], STATE["LAST_ACK"]] = 1
_RANK[STATE["LISTEN"], STATE["CLOSE"]] = 3
_RANK[STATE["CLOSE"], STATE["SYN_SENT"]] = 5


def owner_rows(
    events: EventArrays,
    grouping: Grouping,
    reset_row: np.ndarray,
    reset_received: np.ndarray,
) -> np.ndarray:
    """Find the event in which the current task was the socket's owner; -1: in none.

    Only transitions that a system call makes qualify: connect(), listen(), shutdown()
    or close(). All others happen in whatever the network's softirq interrupted. The
    last resort is a reset the program itself sent by closing (tcp_close(),
    tcp_disconnect()): it follows a CLOSE that no error caused.
    """
    states, count = grouping.rows, len(grouping.begin)
    owner = np.full(count, -1)
    rank = _RANK.take(grouping.old.astype(np.int16) * _RANK.shape[1] + grouping.new)
    telling = np.flatnonzero(rank != 0)
    rank = rank.take(telling)
    # The best reason wins; of two as good, the later: what is set last.
    for reason in range(1, int(_RANK.max()) + 1):
        chosen = telling.take(np.flatnonzero(rank == reason))
        owner[grouping.life.take(chosen)] = states.take(chosen)

    asked = np.flatnonzero((owner < 0) & (reset_row >= 0) & (reset_received == NEVER))
    if len(asked):
        closes = np.flatnonzero(grouping.new == STATE["CLOSE"])
        detail = events.detail.take(states.take(closes))
        # The kernel aborts orphans by itself; a program's socket is none while it closes it.
        by_program = (detail & DETAIL_ORPHAN == 0) & (detail >> DETAIL_ERROR_SHIFT == 0)
        closes = closes.take(np.flatnonzero(by_program))
        close_row = np.full(count, -1)
        close_row[grouping.life.take(closes)] = states.take(closes)
        asked = asked[(close_row[asked] >= 0) & (reset_row[asked] > close_row[asked])]
        asked = asked[events.pid[close_row[asked]] == events.pid[reset_row[asked]]]
        owner[asked] = reset_row[asked]
    return owner
