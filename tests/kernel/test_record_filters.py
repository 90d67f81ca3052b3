"""Filters while recording, held against the same filters on a recording of everything."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .duo import PORT, Duo
from .lab import Lab
from .net import Pair
from .record_run import Run

COUNT = 100

COLUMNS = [
    "netns",
    "role",
    "family",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "pid",
    "comm",
    "closed_by",
    "outcome",
    "time_wait_end",
    "censored",
]
# Each recorder has times of its own, microseconds apart.
TIMES = ["opened", "established", "closed", "time_wait_began"]


@dataclass(frozen=True)
class Question:
    """Options of `record`, and which of the traffic's connections' ends they ask for."""

    options: tuple[str, ...]
    wanted: set[str]


def play(duo: Duo, count: int) -> None:
    """Either side closes first, one connection after the other and at once."""
    for near, far in duo.connect_many(count):
        near.close()
        far.close()
    near, far = duo.connect()
    far.close()
    near.close()


def questions(pair: Pair, client: int, server: int) -> dict[str, Question]:
    both = {"client", "server"}
    path = f"/run/netns/{pair.client.name}"
    return {
        "port": Question(("--port", str(PORT)), both),
        "local port": Question(("--local-port", str(PORT)), {"server"}),
        "other port": Question(("--port", "1"), set()),
        "address": Question(("--address", f"{pair.client4}/32"), both),
        "client's name": Question(("--comm", "tt-client"), {"client"}),
        "server's name": Question(("--comm", "tt-server"), {"server"}),
        "client's pid": Question(("--pid", str(client)), {"client"}),
        "netns by path": Question(("--netns", path), {"client"}),
        "netns by name": Question(("--netns", pair.server.name), {"server"}),
        "IPv6": Question(("-6",), set()),
    }


def ends(recording: Any, pair: Pair) -> list[tuple[Any, ...]]:
    """What is told of every connection's end in the two namespaces."""
    table = recording.connections
    table = table[table["netns"].isin([pair.client.inode, pair.server.inode])]
    # By owner a snapshot's sockets without one are kept, such as one not yet accepted.
    table = table[table["opened"].notna()]
    table = table[COLUMNS].join(table[TIMES].notna())
    return sorted(tuple(map(str, row)) for row in table.itertuples(index=False))


def test_each_filter_writes_whole_connections_and_no_others(lab: Lab, tmp_path: Path) -> None:
    duo = Duo(lab)
    asked = {"everything": Question((), {"client", "server"})}
    asked |= questions(duo.pair, duo.client.pid, duo.server.pid)
    with ExitStack() as stack:
        runs = {}
        for name, question in asked.items():
            folder = tmp_path / name
            folder.mkdir()
            runs[name] = Run(folder, *question.options)
            stack.callback(runs[name].kill)
        for run in runs.values():
            run.wait_ready()
        play(duo, COUNT)
        duo.pair.wait_quiet()
        for run in runs.values():
            run.process.send_signal(signal.SIGINT)
        for run in runs.values():
            assert run.end() == 0, run.said

    netns = {"client": str(duo.pair.client.inode), "server": str(duo.pair.server.inode)}
    whole = ends(runs["everything"].read(), duo.pair)
    assert Counter(row[0] for row in whole) == dict.fromkeys(netns.values(), COUNT + 1)
    for name, question in asked.items():
        recording = runs[name].read()
        wanted = {netns[side] for side in question.wanted}
        assert ends(recording, duo.pair) == [row for row in whole if row[0] in wanted], name
        assert bool(recording.header["filters"]) == bool(question.options), name
