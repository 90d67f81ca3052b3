"""Who takes snapshots for a recorder that may not: asked, ended, and gone with it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcptrace.tracer.snapshot import SnapshotProcess
from tcptrace.tracer.snapshot_server import SnapshotServer

from .test_snapshot import outcome


@pytest.fixture
def server() -> Iterator[SnapshotServer]:
    with contextlib.closing(SnapshotServer()) as made:
        yield made


def test_it_answers_again_and_again(server: SnapshotServer) -> None:
    for _ in range(2):
        process = SnapshotProcess([1], 250, server)
        assert len(outcome(process)) == 0
        assert process.problem is None


def test_what_stops_a_service_leaves_it_to_answer(server: SnapshotServer) -> None:
    process = SnapshotProcess([1], 250, server)
    outcome(process)  # it is up by now
    assert server._process is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(server._process.pid, number)
    process = SnapshotProcess([1], 250, server)
    outcome(process)
    assert process.problem is None


def test_one_given_up_does_not_disturb_the_next(server: SnapshotServer) -> None:
    SnapshotProcess([1], 250, server).close()
    process = SnapshotProcess([1], 250, server)
    outcome(process)
    assert process.problem is None


def test_if_it_is_gone_the_snapshot_says_so(server: SnapshotServer) -> None:
    assert server._process is not None
    server._process.kill()
    server._process.wait()
    process = SnapshotProcess([1], 250, server)
    assert len(outcome(process)) == 0
    assert process.problem is not None
    assert process.problem.startswith("sockets that made no event are not known: ")


def test_it_ends_with_the_recorder(server: SnapshotServer) -> None:
    process = SnapshotProcess([1], 250, server)  # under way
    server.close()
    assert server._process is not None
    assert not Path("/proc", str(server._process.pid)).exists()
    process.close()


def test_numbers_only_are_handed_on(server: SnapshotServer, tmp_path: Path) -> None:
    with (tmp_path / "rows").open("wb") as rows, (tmp_path / "said").open("wb") as said:
        run = server.start(["--help"], None, rows, said)  # type: ignore[list-item]
        assert run.wait() != 0
    assert (tmp_path / "rows").read_bytes() == b""
