"""What the tables should say, the slow way: one event after the other, plain Python.

Written from what the kernel does (bpf/event.h, net/ipv4/tcp_minisocks.c), to compare the
vectorised reconstruction with. It shares no code with it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .sockets import Machine, Row, four_tuple, mark_reborn, watched
from .table import tables
from .waits import find_waits, match_snapshots

__all__ = ["Row", "reconstruct"]


def reconstruct(
    rows: list[Row], header: dict[str, Any], observed: Any
) -> tuple[list[Row], list[Row]]:
    """Rows of the `connections` and `time_wait` tables."""
    for number, row in enumerate(rows):
        row["row"] = number
    machine = Machine()
    for row in rows:
        machine.take(row)
    machine.finish()
    mark_reborn(machine.lives)
    by_tuple = defaultdict(list)
    for life in sorted(machine.lives, key=lambda life: life.first):
        by_tuple[four_tuple(life.place)].append(life)
    if not watched(header):
        machine.timers = [
            row
            for row in machine.timers
            if not any(life.first <= row["time"] for life in by_tuple[four_tuple(row)])
        ]
    waits = find_waits(machine, by_tuple, header.get("hz"))
    idle = match_snapshots(machine, by_tuple)
    return tables(machine, waits, idle, header, observed)
