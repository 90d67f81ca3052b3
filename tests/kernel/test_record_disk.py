"""The disk fails while recording: one line says so, and what is on it can be read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcptrace.analysis import read
from tcptrace.tracer.parts import parts_beside

from .churn import Churn
from .lab import Lab
from .net import wait_until
from .record_run import Run, Start

EACH = 50


class Mounts:
    """A mount namespace of its own: what is mounted in it is gone with it, whatever happens."""

    def __init__(self) -> None:
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec cat"]
        self._holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout
        self._holder.stdout.readline()

    def command(self, *words: str) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *words]

    def run(self, *words: str) -> None:
        subprocess.run(self.command(*words), check=True, capture_output=True)

    def seen(self, path: Path) -> Path:
        """The path by which others see a file in here."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def device(self, folder: Path) -> str:
        for line in Path(f"/proc/{self._holder.pid}/mounts").read_text().splitlines():
            source, point, *_ = line.split()
            if point == str(folder):
                return Path(source).name
        raise LookupError(folder)

    def close(self) -> None:
        self._holder.communicate()


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    made = Mounts()
    yield made
    made.close()


def said_once(run: Run) -> str:
    """It failed, and its one line."""
    assert run.end() == 1, run.said
    assert len(run.said) == 1, run.said
    assert run.said[0].startswith("tcptrace: ")
    return run.said[0]


def test_file_system_turned_read_only_ends_it_and_all_before_can_be_read(
    lab: Lab, start: Start, tmp_path: Path, mounts: Mounts
) -> None:
    """As ext4 does on an error it finds: from then on nothing can be written."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    try:
        mounts.run("mount", "-o", "loop,errors=remount-ro", str(image), str(disk))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device or ext4: {error.stderr.decode()}")
    space = lab.namespace()
    run = start("--netns", str(space.inode), output=disk / "run.arrows", before=mounts.command())
    run.wait_ready()
    churn = Churn(lab, space, EACH)
    seen = mounts.seen(run.path)
    churn.once()
    wait_until(lambda: len(read(seen).table) > 4 * EACH, what=lambda: f"events; {run.said}")
    before = len(read(seen).table)
    Path(f"/sys/fs/ext4/{mounts.device(disk)}/trigger_fs_error").write_text("made by a test")
    churn.until_it_ends(run)
    line = said_once(run)
    assert "Read-only file system: recording stopped" in line or "Input/output error" in line
    recording = read(seen)
    assert len(recording.table) >= before
    assert recording.problem


def test_full_disk_ends_a_rotated_recording_and_every_file_can_be_read(
    lab: Lab, start: Start, tmp_path: Path, mounts: Mounts
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounts.run("mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk))
    space = lab.namespace()
    run = start(
        *("--rotate", "256K", "--netns", str(space.inode)),
        output=disk / "run.arrows",
        before=mounts.command(),
    )
    run.wait_ready()
    churn = Churn(lab, space, EACH)
    churn.until_it_ends(run)
    assert "No space left on device" in said_once(run)
    files = parts_beside(mounts.seen(run.path))
    assert len(files) >= 2
    recording = read(mounts.seen(run.path))
    assert recording.problem
    assert recording.lost == 0
    clients = recording.connections[recording.connections["role"] == "client"]
    assert 2 * EACH < len(clients) <= churn.closed


def test_full_disk_hurts_no_kept_set(
    lab: Lab, start: Start, tmp_path: Path, mounts: Mounts
) -> None:
    """Where old files are removed in time, the disk does not fill up at all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounts.run("mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk))
    space = lab.namespace()
    run = start(
        *("--rotate", "256K", "--keep", "2", "--netns", str(space.inode)),
        output=disk / "run.arrows",
        before=mounts.command(),
    )
    run.wait_ready()
    churn = Churn(lab, space, EACH)
    fourth = mounts.seen(run.path).with_name("run.0004.arrows")
    while not fourth.exists():
        assert run.process.poll() is None, run.said
        churn.once()
    run.process.terminate()
    assert run.end() == 0, run.said
    assert read(mounts.seen(run.path)).complete
