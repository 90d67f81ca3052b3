"""How long connections stay in each state."""

import numpy as np
import pandas as pd

from tcptrace.analysis.survival import Survival, kaplan_meier

#: State -> its column, in an order in which every life visits them (RFC 9293,
#: section 3.3.2): of the columns a life filled, the first was its first state.
STATE_COLUMNS = {
    "SYN_SENT": "syn_sent_s",
    "SYN_RECV": "syn_recv_s",
    "ESTABLISHED": "established_s",
    "FIN_WAIT_1": "fin_wait_1_s",
    "FIN_WAIT_2": "fin_wait_2_s",
    "CLOSING": "closing_s",
    "CLOSE_WAIT": "close_wait_s",
    "LAST_ACK": "last_ack_s",
    "TIME_WAIT": "time_wait_s",
}

LEFT = ("left", "both")
RIGHT = ("right", "both")


def dwell(
    connections: pd.DataFrame, time_wait: pd.DataFrame, started: pd.Timestamp
) -> dict[str, Survival]:
    """Estimate the time spent in each state that was visited.

    A state a connection is still in, and the first state of one older than the
    recording, are lower bounds: they count as right-censored.
    """
    left = connections["censored"].isin(LEFT)
    still_open = connections["outcome"] == "open"
    not_first = pd.Series(False, index=connections.index)
    found = {}
    for state, column in STATE_COLUMNS.items():
        if state == "TIME_WAIT":
            survival = time_wait_survival(time_wait, started)
        else:
            seconds = connections[column]
            visited = seconds.notna()
            bound = (still_open & (connections["state"] == state)) | (left & ~not_first)
            survival = kaplan_meier(
                seconds[visited].to_numpy(np.float64), ~bound[visited].to_numpy(bool)
            )
            not_first |= visited
        if survival.count:
            found[state] = survival
    return found


def time_wait_survival(time_wait: pd.DataFrame, started: pd.Timestamp) -> Survival:
    """Estimate how long TIME_WAITs live, whatever ended them.

    One that began before the recording counts from when the recording began; one
    whose beginning is unknown, or that is still open, is a lower bound.
    """
    began = time_wait["began"]
    ended = time_wait["ended"].notna() & began.notna() & (time_wait["end"] != "open")
    entered = (started - began).dt.total_seconds().clip(lower=0).fillna(0)
    return kaplan_meier(
        time_wait["lived_s"].to_numpy(np.float64),
        ended.to_numpy(bool),
        entered.to_numpy(np.float64),
    )
