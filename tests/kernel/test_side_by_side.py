"""Recorders beside each other: each records everything, none disturbs the other."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pandas as pd
import pytest

from .duo import PORT, Duo
from .lab import Lab
from .net import wait_until
from .record_run import Run
from .rows import TUPLE

CONNECTIONS = 50


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Duo, str], Run]]:
    runs: list[Run] = []

    def begin(duo: Duo, name: str) -> Run:
        folder = tmp_path / name
        folder.mkdir()
        spaces = (duo.pair.client.name, duo.pair.server.name)
        runs.append(Run(folder, *(word for name in spaces for word in ("--netns", name))))
        runs[-1].wait_ready()
        return runs[-1]

    yield begin
    for run in runs:
        run.kill()


def churn(duo: Duo, count: int = CONNECTIONS) -> None:
    for near, far in duo.connect_many(count):
        near.close()
        far.close()
    duo.pair.wait_quiet()


def rows(run: Run) -> pd.DataFrame:
    """What the recording says of every connection, as far as two recordings can agree."""
    recording = run.read()
    assert recording.lost == 0
    table = recording.connections
    wanted = ["netns", *TUPLE, "role", "outcome", "closed_by", "pid", "comm", "established_s"]
    text = table[wanted].astype({name: str for name in wanted if name != "established_s"})
    return text.sort_values(wanted[:-1]).reset_index(drop=True)


def ended(run: Run) -> None:
    assert run.end(signal.SIGINT) == 0, run.said


def test_two_recorders_record_the_same(lab: Lab, start: Callable[[Duo, str], Run]) -> None:
    duo = Duo(lab)
    first, second = start(duo, "first"), start(duo, "second")
    churn(duo)
    ended(second)
    ended(first)
    one, other = rows(first), rows(second)
    assert len(one) == 2 * CONNECTIONS
    durations = ["established_s"]
    pd.testing.assert_frame_equal(one.drop(columns=durations), other.drop(columns=durations))
    # Each takes its own time of an event, microseconds after the other's program ran.
    assert (one["established_s"] - other["established_s"]).abs().max() < 0.05


def test_one_that_ends_takes_nothing_from_the_other(
    lab: Lab, start: Callable[[Duo, str], Run]
) -> None:
    duo = Duo(lab)
    first, second = start(duo, "first"), start(duo, "second")
    churn(duo)
    ended(first)
    churn(duo)
    wait_until(
        lambda: len(second.read().connections) >= 4 * CONNECTIONS,
        what=lambda: "what was recorded is in the file, within a second",
        every=0.2,
    )
    second.kill()  # not even by SIGKILL
    third = start(duo, "third")
    churn(duo)
    ended(third)
    assert len(rows(first)) == 2 * CONNECTIONS
    new = rows(third)
    assert (new["outcome"] == "finished").sum() >= CONNECTIONS
    assert len(second.read().connections) == 4 * CONNECTIONS


@pytest.fixture
def states(tmp_path: Path) -> Iterator[Callable[[], IO[bytes]]]:
    """bpftrace on the same tracepoint, as bcc's tcpstates is; what it printed."""
    tool = shutil.which("bpftrace")
    if tool is None:
        pytest.skip("no bpftrace here")
    script = (
        f"tracepoint:sock:inet_sock_set_state /args->dport == {PORT} && args->newstate == 2/ "
        '{ printf("opened\\n"); }'
    )
    with (tmp_path / "states").open("wb") as out:
        process = subprocess.Popen(
            [tool, "-e", f'BEGIN {{ printf("ready\\n"); }} {script}'],
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
        wait_until(
            lambda: process.poll() is not None or b"ready" in (tmp_path / "states").read_bytes(),
            what=lambda: "bpftrace",
        )
        if process.poll() is not None:
            pytest.skip("bpftrace does not work here")

        def stop() -> IO[bytes]:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            return (tmp_path / "states").open("rb")

        yield stop
        if process.poll() is None:
            process.kill()
        process.wait()


def test_another_tool_on_the_same_tracepoint_sees_everything_too(
    lab: Lab, start: Callable[[Duo, str], Run], states: Callable[[], IO[bytes]]
) -> None:
    duo = Duo(lab)
    run = start(duo, "after")
    churn(duo)
    ended(run)
    assert len(rows(run)) == 2 * CONNECTIONS
    with states() as out:
        assert out.read().count(b"opened") >= CONNECTIONS
