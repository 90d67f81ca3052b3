"""`--settle`: after the end, only the TIME_WAITs already begun are followed."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from .duo import PORT
from .lab import Lab
from .net import Namespace, wait_until
from .record_run import Run

# Both ends of connections on loopback: the client's closes first, so it waits.
CONNECT = f"""
import socket, sys
with socket.create_server(("127.0.0.1", {PORT})) as listener:
    for _ in range(int(sys.argv[1])):
        near = socket.create_connection(("127.0.0.1", {PORT}))
        far, _ = listener.accept()
        near.close()
        far.recv(1)
        far.close()
"""


def start(folder: Path, space: Namespace, seconds: str, count: int = 3) -> Run:
    """Record COMMAND in a namespace, then settle."""
    words = ["--settle", seconds, "--netns", space.name, "--"]
    words += [sys.executable, "-c", CONNECT, str(count), str(folder)]
    return Run(folder, *words, before=space.command())


def command_runs(run: Run) -> bool:
    """Whether COMMAND, which has the recording's folder among its words, still runs."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if bytes(run.path.parent) in words and int(process.name) != run.process.pid:
                return True
    return False


def wait_settling(run: Run) -> None:
    """Wait until COMMAND has ended and its TIME_WAITs are in the file."""
    run.wait_ready()
    wait_until(
        lambda: len(run.read().time_wait) == 3,
        what=lambda: f"3 TIME_WAITs in the file; {run.said}",
        timeout=30,
    )
    wait_until(
        lambda: not command_runs(run),
        what=lambda: "the command's end",
        timeout=30,
    )


def end_column(recording: Any) -> list[str]:
    return [str(value) for value in recording.time_wait["end"]]


@pytest.fixture
def run_in(lab: Lab, tmp_path: Path) -> Any:
    space = lab.namespace()
    runs: list[Run] = []

    def begin(seconds: str) -> tuple[Namespace, Run]:
        runs.append(start(tmp_path, space, seconds))
        return space, runs[-1]

    yield begin
    for run in runs:
        run.kill()


def test_time_waits_are_followed_to_their_ends_and_no_longer(run_in: Any) -> None:
    _, run = run_in("300")
    assert run.end() == 0
    recording = run.read()
    assert recording.complete
    assert end_column(recording) == ["expired"] * 3
    assert (recording.time_wait["lived_s"].between(59.9, 66)).all()
    assert recording.final["reason"] == "the command ended"
    assert "settling" in recording.final
    assert "TIME_WAIT" not in run.said[0]


def test_when_time_is_over_the_rest_is_counted(run_in: Any) -> None:
    _, run = run_in("0.5")
    assert run.end() == 0
    assert ", 0 lost, 3 still in TIME_WAIT: " in run.said[0]
    recording = run.read()
    assert recording.complete
    assert end_column(recording) == ["open"] * 3


def test_settling_ends_with_the_last_time_wait(run_in: Any) -> None:
    space, run = run_in("300")
    wait_settling(run)
    began = time.monotonic()
    while space.states()["TIME_WAIT"]:
        space.run("ss", "-K", "state", "time-wait")
    assert run.end() == 0
    assert time.monotonic() - began < 30
    assert end_column(run.read()) == ["killed"] * 3


def test_ctrl_c_ends_settling(run_in: Any) -> None:
    _, run = run_in("300")
    wait_settling(run)
    began = time.monotonic()
    assert run.end(signal.SIGINT) == 0
    assert time.monotonic() - began < 30
    recording = run.read()
    assert recording.complete
    assert end_column(recording) == ["open"] * 3
