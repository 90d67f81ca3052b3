"""Which rows are two ends of one connection."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from typing import Any

from .sockets import LATE, Row


def pair(table: list[Row]) -> None:
    """Find the rows that are two ends of one connection."""
    usable = [row for row in table if "paired_from" in row and _near(row)[1] and _far(row)[1]]
    usable = [row for row in usable if _near(row) != _far(row)]
    pairs = _neighbours(usable, across=False)
    taken = {id(row) for both in pairs for row in both}
    lonely = [row for row in usable if id(row) not in taken and not _loopback(row)]
    same = defaultdict(list)
    for row in lonely:
        same[_ends(row)].append(row)
    crowded = {
        ends
        for ends, rows in same.items()
        if any(_crowd(row, other) for row in rows for other in rows)
    }
    pairs += _neighbours([row for row in lonely if _ends(row) not in crowded], across=True)
    numbers = sorted(pairs, key=lambda both: min(row["connection"] for row in both))
    for number, both in enumerate(numbers, 1):
        known = [row["role"] for row in both]
        for row, role in zip(both, known[::-1], strict=True):
            row["conversation"] = number
            if row["role"] == "unknown" and role != "unknown":
                row["role"] = "server" if role == "client" else "client"


def _near(row: Row) -> tuple[bytes, int]:
    return row["place"]["local_address"], row["place"]["local_port"]


def _far(row: Row) -> tuple[bytes, int]:
    return row["place"]["remote_address"], row["place"]["remote_port"]


def _ends(row: Row) -> tuple[Any, ...]:
    return tuple(sorted((_near(row), _far(row))))


def _loopback(row: Row) -> bool:
    address = row["place"]["remote_address"]
    return bool(address == ipaddress.IPv6Address("::1").packed or address[10:13] == b"\xff\xff\x7f")


def _crowd(row: Row, other: Row) -> bool:
    return (
        row is not other
        and (_near(row), _far(row)) == (_near(other), _far(other))
        and row["paired_from"] < other["paired_to"]
        and other["paired_from"] < row["paired_to"]
    )


def _part(row: Row) -> int:
    if row["is_client"] != row["is_server"]:
        return 1 if row["is_client"] else 2
    return 0


def _neighbours(rows: list[Row], *, across: bool) -> list[tuple[Row, Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[_ends(row) if across else (_ends(row), row["place"]["netns"])].append(row)
    pairs = []
    for group in groups.values():
        group.sort(key=lambda row: (row["paired_from"], _part(row), row["connection"]))
        waiting: Row | None = None
        for row in group:
            if waiting is not None and _fit(waiting, row):
                pairs.append((waiting, row))
                waiting = None
            else:
                waiting = row
    return pairs


def _fit(row: Row, later: Row) -> bool:
    late = LATE if (_part(row), _part(later)) == (1, 2) else 0
    opposite = _near(row) == _far(later)
    servers = _part(row) == _part(later) == 2
    return opposite and not servers and bool(later["paired_from"] <= row["paired_to"] + late)
