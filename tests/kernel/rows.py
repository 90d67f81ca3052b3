"""Rows of a recording's tables, found by namespace and four-tuple."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pandas as pd

from .net import Namespace
from .oracle import CLIENT, Conversation

Row = dict[str, Any]  # null is None, whatever the column's type

TUPLE = ["local_address", "local_port", "remote_address", "remote_port"]


def plain(frame: pd.DataFrame) -> list[Row]:
    """The rows as dictionaries."""
    objects = frame.astype(object)
    return [
        {str(name): value for name, value in row.items()}
        for row in objects.where(objects.notna(), None).to_dict("records")
    ]


class Rows:
    """`connections` and `time_wait` of a recording."""

    def __init__(self, recording: Any) -> None:
        assert not recording.lost, f"{recording.lost} events lost: the machine was too busy"
        self.recording = recording
        self._rows = plain(recording.connections)
        self._time_wait = plain(recording.time_wait)
        self._index: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in self._rows:
            self._index[row["netns"], *(row[name] for name in TUPLE)].append(row)

    def of(self, namespace: Namespace) -> list[Row]:
        """Every row of a namespace."""
        return [row for row in self._rows if row["netns"] == namespace.inode]

    def at(self, namespace: Namespace, port: int) -> list[Row]:
        """Every row of a namespace with `port` at either end."""
        return [
            row for row in self.of(namespace) if port in (row["local_port"], row["remote_port"])
        ]

    def time_wait(self, namespace: Namespace) -> list[Row]:
        """The namespace's rows of `time_wait`, in the order they began."""
        own = [row for row in self._time_wait if row["netns"] == namespace.inode]
        return sorted(own, key=lambda row: row["began"] or pd.Timestamp(0, tz="UTC"))

    def ends(self, seen: Conversation, side: str, namespace: Namespace) -> list[Row]:
        """The rows of one end of what the capture saw."""
        near, far = seen.client, seen.server
        if side != CLIENT:
            near, far = far, near
        return self._index[namespace.inode, *near, *far]

    def end(self, seen: Conversation, side: str, namespace: Namespace) -> Row:
        """The row of one end of what the capture saw; the nearest in time of a reused tuple."""
        found = self.ends(seen, side, namespace)
        assert found, f"no row for the {side} of {seen.client} {seen.server}"
        if len(found) == 1:
            return found[0]
        assert all(row["opened"] for row in found), found
        return min(found, key=lambda row: abs(row["opened"].value - seen.opened))

    def story(self, row: Row) -> str:
        """The events with a row's local port in its namespace, for a failing test to show."""
        events = self.recording.events
        own = events[
            (events["netns"] == row["netns"]) & (events["local_port"] == row["local_port"])
        ]
        if row["remote_port"]:
            own = own[own["remote_port"].isin([0, row["remote_port"]])]
        columns = ["time", "kind", "socket", "old_state", "new_state", "comm", "detail"]
        return f"\n{own[columns].to_string()}"
