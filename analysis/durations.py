"""How long each connection was in each state, TIME_WAIT included."""

import numpy as np

from tcptrace.analysis.assemble import Rows
from tcptrace.analysis.observed import NEVER
from tcptrace.tracer.schema import STATE

_SECOND = 1e9

#: Columns of seconds, and the state each is about; TIME_WAIT's is apart.
STATE_SECONDS = {
    "syn_sent_s": "SYN_SENT",
    "syn_recv_s": "SYN_RECV",
    "established_s": "ESTABLISHED",
    "fin_wait_1_s": "FIN_WAIT_1",
    "fin_wait_2_s": "FIN_WAIT_2",
    "closing_s": "CLOSING",
    "close_wait_s": "CLOSE_WAIT",
    "last_ack_s": "LAST_ACK",
}


def state_seconds(rows: Rows) -> dict[str, np.ndarray]:
    """Give seconds in each state but TIME_WAIT; NaN where not in it, or unknown."""
    lives, observed = rows.lives, rows.observed
    spent = lives.dwell.copy()
    unknown = lives.gap.copy()
    index = np.arange(len(lives))
    older = ~lives.begins
    before = (index[older], lives.first_old[older])
    spent[before] += lives.first[older] - observed.started
    # Unless every event was recorded it may have been in another state before.
    unknown[before] |= observed.lost > 0
    visited = (lives.entered != NEVER) | (spent > 0)
    visited[before] = True
    going = ~lives.ends
    spent[index[going], lives.state[going]] += np.maximum(observed.settling - lives.last[going], 0)
    spent[unknown | ~visited] = np.nan
    result = {
        name: rows.of_life(spent[:, STATE[state]], np.nan) / _SECOND
        for name, state in STATE_SECONDS.items()
    }
    result["fin_wait_2_s"] = result["fin_wait_2_s"] + _mini_socket_seconds(rows)
    for column, state in STATE_SECONDS.items():
        now = rows.state == STATE[state]
        idle = now & rows.idle
        result[column][idle] = (observed.settling - rows.first[idle]) / _SECOND
        result[column][now & rows.gone] = np.nan
    return result


def _mini_socket_seconds(rows: Rows) -> np.ndarray:
    """Give FIN_WAIT_2 after the socket proper was given up for a timewait socket."""
    closed = rows.of_life(rows.lives.last, NEVER)
    until = np.where(rows.in_time_wait, rows.began, rows.stopped)
    known = (rows.wait >= 0) & (closed != NEVER) & (until > closed)
    return np.where(known, until - closed, 0) / _SECOND


def time_wait_seconds(rows: Rows) -> np.ndarray:
    """Give seconds in TIME_WAIT; of one begun unseen, what is known at least."""
    armed = rows.of_wait(rows.waits.armed, NEVER)
    since = np.where(rows.began != NEVER, rows.began, armed)
    since = np.where(since != NEVER, since, rows.observed.started)
    return np.where(rows.in_time_wait, (rows.stopped - since) / _SECOND, np.nan)
