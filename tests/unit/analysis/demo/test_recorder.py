"""Starting the recorder, and what is said when it does not start."""

import threading
from pathlib import Path

import pytest

from tcptrace.analysis.demo.capture import ExperimentError
from tcptrace.analysis.demo.recorder import Recorder
from tcptrace.tracer.errors import PreflightError


def stand_in(folder: Path, script: str) -> None:
    """Put a `setpriv` on PATH that does something else."""
    path = folder / "setpriv"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreflightError, match="setpriv is not installed"):
        Recorder(tmp_path / "x.arrows", [])


def test_the_recorders_last_words_are_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(tmp_path, 'echo "noise" >&2; echo "tcptrace: BPF is not allowed here" >&2; exit 1')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    recorder = Recorder(tmp_path / "x.arrows", [])
    with pytest.raises(PreflightError, match="did not start: BPF is not allowed here"):
        recorder.wait(threading.Event())
    recorder.close()


def test_waiting_is_given_up_when_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(tmp_path, "exec sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    recorder = Recorder(tmp_path / "x.arrows", [])
    stop = threading.Event()
    stop.set()
    with pytest.raises(ExperimentError, match="interrupted"):
        recorder.wait(stop)
    recorder.close()
