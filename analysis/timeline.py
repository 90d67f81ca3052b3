"""Connections as ladders: both ends side by side where both were recorded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tcptrace.analysis.ladder import Side, StateChange, ladder
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.steps import CLOSED, steps
from tcptrace.analysis.text.layout import duration, number
from tcptrace.analysis.values import rows, text_or_none
from tcptrace.analysis.view import View

_SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True)
class Ladder:
    """One connection drawn: what it is, and its lines of at most 80 columns."""

    title: list[str]
    lines: list[str]


def ladders(view: View, chosen: pd.DataFrame, most: int) -> Iterator[Ladder]:
    """Draw the first ``most`` of the chosen connections, the earliest first.

    ``chosen``: rows of ``view.recording.connections``. The other end of each is taken
    from the whole recording, filtered out or not.
    """
    everything = view.recording.connections
    drawn: set[int] = set()
    for row in rows(chosen.sort_values(["opened", "connection"], na_position="first")):
        if len(drawn) >= most:
            return
        if not pd.isna(row.conversation):
            if int(row.conversation) in drawn:
                continue
            both = everything[(everything["conversation"] == row.conversation).fillna(False)]
            drawn.add(int(row.conversation))
            ends = list(rows(both.sort_values("role", key=lambda role: role.astype(str))))
        else:
            drawn.add(-1 - int(row.connection))
            ends = [row]
        yield _ladder(ends[:2], view.recording.started)


def count_connections(chosen: pd.DataFrame) -> int:
    """Count the ladders that all of the chosen would make."""
    paired = chosen["conversation"].dropna()
    return len(chosen) - len(paired) + int(paired.nunique())


def _ladder(ends: list[Any], started: pd.Timestamp) -> Ladder:
    changes = [
        change
        for side, end in zip(_SIDES, ends, strict=False)
        for change in changes_of(end, side, started)
    ]
    names = [text_or_none(end.role) or "unknown" for end in ends]
    drawn = ladder(names[0], names[1] if len(ends) == 2 else None, changes, start=0)
    return Ladder([title_of(end) for end in ends], drawn)


def title_of(end: Any) -> str:
    """Say whose end it is, between which endpoints, and how it went."""
    owner = text_or_none(end.comm) or "owner unknown"
    process = "" if pd.isna(end.pid) else f"[{end.pid}]"
    said = (
        f"#{end.connection} {text_or_none(end.role) or 'unknown'} {owner}{process} "
        f"{endpoint(end.local_address, end.local_port)} -> "
        f"{endpoint(end.remote_address, end.remote_port)}: "
        f"{(text_or_none(end.outcome) or 'unknown').replace('_', ' ')}"
    )
    if why := text_or_none(end.error) or text_or_none(end.reset_reason):
        said += f" ({why})"
    closer = text_or_none(end.closed_by)
    if closer:
        who = {"local": "this end", "remote": "the other end", "both": "both ends"}[closer]
        said += f", closed by {who}"
    ended = text_or_none(end.time_wait_end)
    if ended:
        lived = "" if pd.isna(end.time_wait_s) else f" after {duration(end.time_wait_s)}"
        said += f", TIME_WAIT {ended.replace('_', ' ')}{lived}"
    if not pd.isna(end.time_wait_restarts) and end.time_wait_restarts > 0:
        said += f", restarted {number(int(end.time_wait_restarts))} times"
    return said


def changes_of(end: Any, side: Side, started: pd.Timestamp) -> Iterator[StateChange]:
    """Give the changes of one end (a row); times in ns from ``started``, its recording's start."""
    for step in steps(end, started):
        state = "CLOSE" if step.state == CLOSED else step.state
        note = "since before the recording" if step.older else ""
        yield StateChange(round(step.time * 1e9), side, state, note)
        if step.goes_on:
            until = round((step.time + step.seconds) * 1e9)
            yield StateChange(until, side, "", "goes on")
