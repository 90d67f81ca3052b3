"""How long connections stay in each state."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tcptrace.analysis.survival import Survival, kaplan_meier
from tcptrace.analysis.view import Slice, View, per_slice_once

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

#: All but TIME_WAIT.
_BEFORE = tuple(STATE_COLUMNS)[:-1]

LEFT = ("left", "both")
RIGHT = ("right", "both")


@dataclass(frozen=True)
class Stays:
    """Stays in one state: ``seconds`` of each, and whether it was seen to ``end``."""

    seconds: np.ndarray
    ended: np.ndarray


@dataclass(frozen=True)
class Dwell:
    """How long ``count`` stays in a state lasted; ``ended`` of them were seen to end.

    In seconds, ``p50`` and ``p95`` (Kaplan-Meier's): None where too few ended; and the
    ``longest`` one seen, ended or not.
    """

    count: int
    ended: int
    p50: float | None
    p95: float | None
    longest: float


def dwell(view: View) -> dict[str, Dwell]:
    """Estimate the time spent in each state that was visited.

    A state a connection is still in, and the first state of one older than the
    recording, are lower bounds: they count as right-censored.
    """
    return view.once("dwell", lambda: _dwell(view))


def _dwell(view: View) -> dict[str, Dwell]:
    slices = _stays(view)
    stays = {state: [each[state] for each in slices] for state in _BEFORE}
    del slices
    found = {}
    for state in _BEFORE:
        # Each is forgotten then: of very many connections all of them take much memory.
        survival = _survival(stays.pop(state))
        if survival.count:
            found[state] = _told(survival)
    survival = time_wait_survival(view)
    if survival.count:
        found["TIME_WAIT"] = _told(survival)
    return found


def _survival(stays: list[Stays]) -> Survival:
    return kaplan_meier(
        np.concatenate([each.seconds for each in stays]),
        np.concatenate([each.ended for each in stays]),
    )


def _told(survival: Survival) -> Dwell:
    longest = float(survival.times[-1])
    p50, p95 = survival.quantile(0.5), survival.quantile(0.95)
    return Dwell(survival.count, survival.ended, p50, p95, longest)


@per_slice_once
def _stays(part: Slice) -> dict[str, Stays]:
    connections = part.connections
    left = connections["censored"].isin(LEFT).to_numpy(bool)
    is_open = (connections["outcome"] == "open").to_numpy(bool)
    # What is neither open nor older than the recording was seen to end.
    unsure = np.flatnonzero(left | is_open)
    last = connections["state"].iloc[unsure]
    older, going = left[unsure], is_open[unsure]
    not_first = np.zeros(len(unsure), bool)
    found = {}
    for state in _BEFORE:
        seconds = connections[STATE_COLUMNS[state]].to_numpy(np.float64)
        visited = np.flatnonzero(~np.isnan(seconds))
        ended = np.ones(len(seconds), bool)
        ended[unsure] = ~((going & (last == state).to_numpy(bool)) | (older & ~not_first))
        not_first |= ~np.isnan(seconds[unsure])
        found[state] = Stays(seconds.take(visited), ended.take(visited))
    return found


def time_waits(view: View) -> pd.DataFrame:
    """Give ``began``, ``ended``, ``lived_s``, ``end`` and ``restarts`` of all TIME_WAITs."""
    return view.once("time_waits", lambda: pd.concat(_time_waits(view), ignore_index=True))


@per_slice_once
def _time_waits(part: Slice) -> pd.DataFrame:
    return part.time_wait[["began", "ended", "lived_s", "end", "restarts"]]


def time_wait_survival(view: View) -> Survival:
    """Estimate how long TIME_WAITs live, whatever ended them.

    One that began before the recording counts from when the recording began; one
    whose beginning is unknown, or that is still open, is a lower bound.
    """
    return view.once("time_wait_survival", lambda: _time_wait_survival(view))


def _time_wait_survival(view: View) -> Survival:
    time_wait = time_waits(view)
    began = time_wait["began"]
    ended = time_wait["ended"].notna() & began.notna() & (time_wait["end"] != "open")
    entered = (view.recording.started - began).dt.total_seconds().clip(lower=0).fillna(0)
    return kaplan_meier(
        time_wait["lived_s"].to_numpy(np.float64),
        ended.to_numpy(bool),
        entered.to_numpy(np.float64),
    )
