"""One connection's way through its states, step by step."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from tcptrace.analysis.states import LEFT, RIGHT, STATE_COLUMNS

#: The state after the last one, where it was seen to end.
CLOSED = "CLOSED"
#: To divide by: a Timedelta's total_seconds() drops nanoseconds before pandas 3.
_SECOND = pd.Timedelta(seconds=1)


@dataclass(frozen=True)
class Step:
    """It was in ``state`` from ``time`` (seconds into the recording) for ``seconds``.

    ``older``: it was in it before the recording began. ``goes_on``: it still was when
    the recording ended. Either makes ``seconds`` a lower bound.
    """

    time: float
    state: str
    seconds: float
    older: bool = False
    goes_on: bool = False

    @property
    def bound(self) -> bool:
        """Whether ``seconds`` is a lower bound."""
        return self.older or self.goes_on


def steps(row: Any, started: pd.Timestamp) -> list[Step]:
    """List a connection's states in the order it went through them.

    ``row``: a named tuple of the ``connections`` table. A last step of state CLOSED, of
    no duration, tells when it was over, if it was.
    """
    visited = [(state, float(getattr(row, name))) for state, name in STATE_COLUMNS.items()]
    visited = [(state, seconds) for state, seconds in visited if not pd.isna(seconds)]
    older, goes_on = row.censored in LEFT, row.censored in RIGHT
    time = 0.0 if pd.isna(row.opened) else (row.opened - started) / _SECOND
    found = []
    for place, (state, seconds) in enumerate(visited):
        if state == "TIME_WAIT" and not pd.isna(row.time_wait_began):
            # A repeated FIN began it anew: the time before that has no column.
            time = (row.time_wait_began - started) / _SECOND
        last = place == len(visited) - 1
        found.append(Step(time, state, seconds, older and place == 0, goes_on and last))
        time += seconds
    if visited and not goes_on:
        found.append(Step(time, CLOSED, 0.0))
    return found
