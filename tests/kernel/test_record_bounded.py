"""`record` takes no more room than it was given: `--max-size`, `--rotate`, `--keep`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tcptrace.analysis import read
from tcptrace.tracer.parts import part_path, parts_beside

from .churn import Churn
from .duo import PORT
from .lab import Lab
from .net import Namespace, wait_until
from .record_run import Start

EACH = 100


def clients(recording: Any, space: Namespace) -> Any:
    table = recording.connections
    return table[(table["netns"] == space.inode) & (table["role"] == "client")]


def test_file_ends_within_max_size_and_with_all_until_then(lab: Lab, start: Start) -> None:
    space = lab.namespace()
    limit = 256 << 10
    run = start("--max-size", "256K", "--netns", space.name)
    run.wait_ready()
    churn = Churn(lab, space, EACH)
    churn.open(5)
    churn.until_it_ends(run)
    assert run.end() == 0, run.said
    recording = run.read()
    assert recording.complete
    assert recording.final["reason"] == "the file reached --max-size"
    assert limit // 2 < run.path.stat().st_size <= limit
    assert recording.ended == recording.events["time"].max()
    # Nothing from after its end, and nothing that began before it is missing.
    found = clients(recording, space)
    assert 5 < len(found) <= churn.closed + 5
    assert not recording.lost
    assert (found["outcome"] == "open").sum() <= 5 + EACH + 1


def test_rotated_by_size_is_bounded_and_read_as_one(lab: Lab, start: Start) -> None:
    space = lab.namespace()
    limit = 256 << 10
    run = start("--rotate", "256K", "--netns", space.name)
    run.wait_ready()
    churn = Churn(lab, space, EACH)
    churn.open(5)
    third = part_path(run.path, 3)
    while not third.exists():
        assert run.process.poll() is None, run.said
        churn.once()
    assert run.end(signal.SIGINT) == 0, run.said
    files = parts_beside(run.path)
    assert len(files) >= 3
    assert not run.path.exists()
    assert all(path.stat().st_size <= limit for path in files)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert f"Next: tcptrace report {run.path}" in run.said
    recording = read(run.path)
    assert recording.complete
    assert recording.lost == 0
    found = clients(recording, space)
    # Each once and whole, those spread over two files, too.
    assert len(found) == churn.closed + 5
    assert found["opened"].notna().all()
    assert (found["outcome"] == "open").sum() == 5
    assert (found["censored"] == "none").sum() + found["censored"].eq("right").sum() == len(found)
    # A file alone knows those that were open when it began: it has a snapshot of its own.
    last = read(files[-1])
    alone = clients_of(last, space)
    older = alone[(alone["outcome"] == "open") & (alone["comm"] == "tt-client")]
    assert len(older) >= 5
    assert set(older["censored"]) == {"both"}


def clients_of(recording: Any, space: Namespace) -> Any:
    table = recording.connections
    return table[(table["netns"] == space.inode) & (table["remote_port"] == PORT)]


def test_rotated_by_time_keeps_the_newest_and_open_connections_of_removed_files(
    lab: Lab, start: Start
) -> None:
    space = lab.namespace()
    run = start("--rotate", "1s", "--keep", "2", "--netns", space.name)
    run.wait_ready()
    churn = Churn(lab, space, EACH)
    churn.open(3)
    wait_until(part_path(run.path, 4).exists, what=lambda: f"file 4; {run.said}")
    churn.once()
    assert len(parts_beside(run.path)) <= 2
    assert run.end(signal.SIGINT) == 0, run.said
    files = parts_beside(run.path)
    assert len(files) == 2
    recording = read(run.path)
    assert recording.complete
    assert recording.header["set"]["number"] > 1
    table = clients_of(recording, space)
    older = table[table["censored"] == "both"]
    assert len(older) == 3
    assert set(older["outcome"]) == {"open"}
    assert set(older["comm"]) == {"tt-client"}


def test_set_of_another_recording_is_kept_unless_forced(start: Start, tmp_path: Path) -> None:
    old = part_path(tmp_path / "run.arrows", 7)
    old.write_text("precious")
    run = start("--rotate", "1s")
    assert run.end() == 1
    assert run.said == [f"tcptrace: {old} exists: use --force, or another name (-o)"]
    assert old.read_text() == "precious"
    run = start("--rotate", "1h", "--force", "--duration", "0.2", "--netns", "1")
    assert run.end() == 0, run.said
    assert [path.name for path in parts_beside(run.path)] == ["run.0001.arrows"]
    assert read(run.path).complete


@pytest.mark.parametrize(("option", "nice"), [((), -20), (("--priority", "5"), 5)])
def test_priority_is_the_recorders_own(start: Start, option: tuple[str, ...], nice: int) -> None:
    run = start("--netns", "1", *option)
    run.wait_ready()
    assert os.getpriority(os.PRIO_PROCESS, run.process.pid) == nice
    assert run.end(signal.SIGINT) == 0


def test_later_files_are_the_calling_users_too_even_in_roots_directory(
    start: Start, tmp_path: Path
) -> None:
    """The recorder is no longer root when it makes them."""
    tmp_path.chmod(0o755)
    sudo = {"SUDO_UID": "65534", "SUDO_GID": "65534", "SUDO_USER": "nobody"}
    run = start("--rotate", "1s", "--keep", "2", "--netns", "1", environment=os.environ | sudo)
    wait_until(part_path(run.path, 3).exists, what=lambda: f"file 3; {run.said}", timeout=60)
    assert run.end(signal.SIGINT) == 0, run.said
    files = parts_beside(run.path)
    assert len(files) == 2
    for path in files:
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65534, 65534, 0o600)
    assert read(run.path).complete
