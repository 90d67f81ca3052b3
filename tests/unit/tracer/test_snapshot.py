"""A snapshot that goes wrong says why, and costs nothing but itself."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tcptrace.tracer import snapshot
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.namespaces import mounted_namespaces
from tcptrace.tracer.snapshot import SnapshotProcess

UNKNOWN = "sockets that made no event are not known"


def program(folder: Path, text: str) -> str:
    """An executable that stands in for Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def outcome(process: SnapshotProcess) -> np.ndarray:
    deadline = time.monotonic() + 30
    while (rows := process.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.poll() is None  # given once
    return rows


def test_rows_are_given_once_and_are_records(tmp_path: Path) -> None:
    process = SnapshotProcess(hz=250)
    rows = outcome(process)
    assert process.problem is None
    assert rows.dtype == EVENT
    assert (rows["kind"] == snapshot.EVENT_KINDS.index("existing")).all()


def test_asking_does_not_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", program(tmp_path, "exec sleep 20"))
    process = SnapshotProcess()
    began = time.monotonic()
    assert process.poll() is None
    process.close()
    assert time.monotonic() - began < 5
    assert process.poll() is None


def test_one_that_takes_too_long_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    monkeypatch.setattr(sys, "executable", program(tmp_path, f"echo $$ >{pid}; exec sleep 20"))
    monkeypatch.setattr(snapshot, "TIME_LIMIT", 0.5)
    process = SnapshotProcess()
    assert len(outcome(process)) == 0
    assert process.problem == f"{UNKNOWN}: asking for them took longer than 0.5 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("echo one >&2; echo two >&2; exit 1", "two"),
        ("exit 3", "the process that asks ended with 3"),
        ("kill -9 $$", "the process that asks ended with -9"),
        ("printf 0123456789; exit 0", "the answer is cut off"),
    ],
)
def test_one_that_fails_gives_none_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, problem: str
) -> None:
    monkeypatch.setattr(sys, "executable", program(tmp_path, text))
    process = SnapshotProcess()
    assert len(outcome(process)) == 0
    assert process.problem == f"{UNKNOWN}: {problem}"


def test_one_that_cannot_be_started_does_not_end_a_recording(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    process = SnapshotProcess()
    assert len(outcome(process)) == 0
    assert process.problem == f"{UNKNOWN}: no process to ask for them: No such file or directory"


def test_what_is_missing_is_said_beside_what_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = tmp_path / "rows"
    rows.write_bytes(np.zeros(2, EVENT).tobytes())
    text = f"for each in 5 6 7; do echo no namespace $each >&2; done; cat {rows}"
    monkeypatch.setattr(sys, "executable", program(tmp_path, text))
    process = SnapshotProcess()
    assert len(outcome(process)) == 2
    assert process.problem == "no namespace 5; no namespace 6 (and 1 more)"


def test_directory_it_is_started_in_is_not_imported_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('planted')\n")
    monkeypatch.chdir(tmp_path)
    process = SnapshotProcess()
    outcome(process)
    assert process.problem is None


def test_mounted_namespaces_are_told_from_other_mounts() -> None:
    text = (
        "22 1 0:4 net:[4026532246] /run/netns/blue\\040sky rw shared:2 - nsfs nsfs rw\n"
        "23 1 0:4 mnt:[4026532247] /run/mnt rw - nsfs nsfs rw\n"
        "24 1 0:5 / /proc rw,nosuid - proc proc rw\n"
    )
    assert mounted_namespaces(text) == {4026532246: Path("/run/netns/blue sky")}
