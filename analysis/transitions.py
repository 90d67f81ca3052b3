"""Which way connections went through TCP's states, and how often."""

import numpy as np
import pandas as pd

from tcptrace.analysis.states import LEFT, STATE_COLUMNS

#: Where a connection's life begins and ends in the transition table.
BEGIN, END = "BEGIN", "CLOSED"


def transitions(connections: pd.DataFrame) -> pd.DataFrame:
    """Count each transition, with the median time in the state it leaves.

    Columns: ``old``, ``new`` (states; BEGIN for a life seen to begin, CLOSED for one
    seen to end), ``count``, ``median_s`` (NaN where that time was never seen whole).
    Taken from the states each connection was in, in the order in which all of them go
    through them.
    """
    left = connections["censored"].isin(LEFT)
    closed = connections["outcome"] != "open"
    counts: list[tuple[str, str, int, float]] = []
    visited = connections[list(STATE_COLUMNS.values())].notna()
    visited.columns = pd.Index(STATE_COLUMNS)
    no_state_yet = pd.Series(True, index=connections.index)
    names = list(STATE_COLUMNS)
    for place, old in enumerate(names):
        here = visited[old]
        first = here & no_state_yet
        _add(counts, BEGIN, old, first & ~left, None)
        # A left-censored first state was not seen from its beginning.
        seconds = connections[STATE_COLUMNS[old]].where(~(first & left))
        waiting = here
        for new in names[place + 1 :]:
            _add(counts, old, new, waiting & visited[new], seconds)
            waiting = waiting & ~visited[new]
        # TIME_WAIT has its own end: an `open` one is not over yet.
        over = closed
        if old == "TIME_WAIT":
            over = over & ~(connections["time_wait_end"] == "open").fillna(False)
        _add(counts, old, END, waiting & over, seconds)
        no_state_yet &= ~here
    return pd.DataFrame(counts, columns=["old", "new", "count", "median_s"])


def _add(
    counts: list[tuple[str, str, int, float]],
    old: str,
    new: str,
    chosen: pd.Series,
    seconds: pd.Series | None,
) -> None:
    count = int(chosen.sum())
    if count:
        known = np.empty(0) if seconds is None else seconds[chosen].dropna().to_numpy()
        median = float(np.median(known)) if len(known) else float("nan")
        counts.append((old, new, count, median))
