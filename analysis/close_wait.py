"""Connections the peer has closed and this side's program has not."""

from typing import Any

import pandas as pd

from tcptrace.analysis.grouping import plain
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.states import LEFT
from tcptrace.analysis.values import integer_or_none, rows, seconds, text_or_none
from tcptrace.analysis.view import Slice, View, per_slice

#: Seconds in CLOSE_WAIT, still there at the end, that make a leak. A program that
#: reads the end of the stream closes within milliseconds; one that has more to send
#: after it (a half-close) is seldom at it for longer than this.
LEAK_SECONDS = 5.0

_TOLD = ["connection", "comm", "pid", "netns", "local_address", "local_port"]
_TOLD += ["remote_address", "remote_port", "close_wait_s", "established_s", "censored"]


def leaks(view: View) -> pd.DataFrame:
    """Choose the connections left in CLOSE_WAIT, the oldest first."""
    found = [
        table.assign(connection=view.numbers(place, table["connection"].to_numpy()))
        for place, table in enumerate(_leaks(view))
    ]
    table = pd.concat(found).sort_values("connection", kind="stable")
    return table.sort_values("close_wait_s", ascending=False, kind="stable")


@per_slice
def _leaks(part: Slice) -> pd.DataFrame:
    return plain(part.connections.loc[leaking(part.connections), _TOLD])


def leaking(connections: pd.DataFrame) -> pd.Series:
    """Mark the connections left in CLOSE_WAIT."""
    return (
        (connections["outcome"] == "open")
        & (connections["state"] == "CLOSE_WAIT")
        & (connections["close_wait_s"] >= LEAK_SECONDS)
    )


def leak_rows(leaking: pd.DataFrame, most: int | None = None) -> list[dict[str, Any]]:
    """Describe leaks, JSON-ready: owner (None if unknown), peer, age.

    ``at_least``: it was in CLOSE_WAIT when the recording began; the age is a lower bound.
    """
    chosen = leaking if most is None else leaking.head(most)
    return [
        {
            "connection": int(row.connection),
            "comm": text_or_none(row.comm),
            "pid": integer_or_none(row.pid),
            "netns": integer_or_none(row.netns),
            "local": endpoint(row.local_address, row.local_port),
            "remote": endpoint(row.remote_address, row.remote_port),
            "age_s": seconds(row.close_wait_s),
            "at_least": row.censored in LEFT and pd.isna(row.established_s),
        }
        for row in rows(chosen)
    ]
