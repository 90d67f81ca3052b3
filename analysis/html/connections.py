"""The searchable table of connections, and the ladder behind each row."""

from typing import Any

import numpy as np
import pandas as pd

from tcptrace.analysis.close_wait import leaking
from tcptrace.analysis.failed import FAILED_OUTCOMES
from tcptrace.analysis.findings import cases
from tcptrace.analysis.html.markup import Html, tag, with_code
from tcptrace.analysis.html.tables import UNKNOWN, section
from tcptrace.analysis.sanitize import for_terminal, to_json
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.steps import CLOSED, Step, steps
from tcptrace.analysis.text.layout import duration, number
from tcptrace.analysis.values import integer_or_none, rows, text_or_none
from tcptrace.analysis.view import View

#: Rows in the file: about 400 bytes each, and more than anyone reads.
MOST = 2_000

_NAMES = (
    "Id",
    "Program",
    "Process",
    "Role",
    "Local",
    "Remote",
    "Opened",
    "Outcome",
    "Closed by",
    "TIME_WAIT",
)


def connection_table(view: View) -> Html:
    """Embed the most telling connections; the page's script shows and searches them."""
    chosen = telling(view.connections)
    whole = len(view.connections)
    said = f"{number(whole)} ends of connections."
    if len(chosen) < whole:
        said = (
            f"The {number(len(chosen))} most telling of {number(whole)} ends: leaks, late closes, "
            "failures, resets, odd TIME_WAITs and slow handshakes first, then the longest; "
            f"{number(whole - len(chosen))} are left out. `tcptrace export` writes them all."
        )
    return section(
        "connections",
        "Connections",
        tag("p", with_code(said)),
        tag(
            "p",
            tag("label", "Search: ", tag("input", type="search", id="search", size=40)),
            tag("span", "", id="matches", class_="note"),
        ),
        tag(
            "div",
            tag(
                "table",
                tag("thead", tag("tr", [tag("th", name) for name in _NAMES])),
                tag("tbody", "", id="rows"),
                class_="wide",
            ),
            class_="scroll",
        ),
        tag("noscript", "The table needs JavaScript; all else on this page does not."),
        _data(chosen, view.recording.started),
        note="Press a row to see its ladder: every state, both ends where both were recorded. "
        "After > the time is a lower bound: not seen from its beginning, or not to its end.",
    )


def telling(connections: pd.DataFrame, most: int = MOST) -> pd.DataFrame:
    """Choose the connections most worth a look, with the other ends of those chosen."""
    outcome, end = connections["outcome"], connections["time_wait_end"]
    kinds_of_interest = [
        connections.index.isin(connections.index[leaking(connections)]),
        cases.long_in_close_wait(connections) | cases.stuck_in_fin_wait_2(connections),
        outcome.isin(FAILED_OUTCOMES) | cases.without_port(connections),
        outcome == "reset",
        end.isin(["skipped", "killed", "reset", "reused_connect", "reused_syn"]),
        cases.restarted(connections),
        cases.slow(connections),
        connections["closed_by"] == "both",
    ]
    dull = len(kinds_of_interest)
    rank = np.select(
        [np.asarray(mask, bool) for mask in kinds_of_interest], list(range(dull)), dull
    )
    lived = -connections["established_s"].fillna(0).to_numpy()
    order = np.lexsort((lived, rank))
    # A part of each kind at first, so that one kind does not push out all others.
    kinds = pd.Series(rank[order])
    place = kinds.groupby(kinds).cumcount().to_numpy()
    kept = order[np.argsort(place >= max(most // 8, 1), kind="stable")][:most]
    pairs = connections["conversation"].iloc[kept].dropna()
    others = connections["conversation"].isin(pairs) & connections["conversation"].notna()
    mask = others.to_numpy(bool).copy()
    mask[kept] = True
    table = connections.assign(rank=rank)[mask]
    return table.sort_values(["rank", "connection"], kind="stable")


def _data(chosen: pd.DataFrame, started: pd.Timestamp) -> Html:
    found = [_row(row, started) for row in rows(chosen)]
    text = to_json({"rows": found}, indent=None)
    # Inside <script>, only "<" could end the element or begin a comment.
    safe = Html(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
    return tag("script", safe, type="application/json", id="data")


def _row(row: Any, started: pd.Timestamp) -> dict[str, Any]:
    opened = None if pd.isna(row.opened) else (row.opened - started).total_seconds()
    end = text_or_none(row.time_wait_end)
    wait = "" if end is None else end.replace("_", " ")
    if wait and not np.isnan(row.time_wait_s):
        wait += f", {duration(row.time_wait_s)}"
    cells = [
        str(row.connection),
        text_or_none(row.comm) or UNKNOWN,
        UNKNOWN if pd.isna(row.pid) else str(row.pid),
        text_or_none(row.role) or UNKNOWN,
        endpoint(row.local_address, integer_or_none(row.local_port)),
        endpoint(row.remote_address, integer_or_none(row.remote_port)),
        "before" if opened is None else f"+{opened:.6f} s",
        (text_or_none(row.outcome) or UNKNOWN).replace("_", " "),
        text_or_none(row.closed_by) or "",
        wait,
    ]
    return {
        "cells": [for_terminal(cell) for cell in cells],
        "pair": integer_or_none(row.conversation),
        "steps": [[step.time, step.state, _lasted(step)] for step in steps(row, started)],
    }


def _lasted(step: Step) -> str:
    if step.state == CLOSED:
        return ""
    return ("> " if step.bound else "") + duration(step.seconds)
