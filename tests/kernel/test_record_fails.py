"""What can go wrong with a recording: one clear line, the right exit code, nothing spoilt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .duo import PORT
from .lab import Lab
from .net import Namespace, wait_until
from .record_run import RECORD, Run, Start

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def said_once(run: Run) -> str:
    """It failed, and its one line."""
    assert run.end() == 1, run.said
    assert run.printed == ""
    assert len(run.said) == 1, run.said
    assert run.said[0].startswith("tcptrace: ")
    return run.said[0]


def churn(lab: Lab, space: Namespace, run: Run) -> int:
    """Open and close connections until the recorder ends; how many."""
    server, client = lab.program("tt-server", space), lab.program("tt-client", space)
    listener = server.listen("127.0.0.1", PORT, backlog=4096)
    count = 0
    while run.process.poll() is None:
        near = client.connect_many("127.0.0.1", PORT, 50)
        far = listener.accept_many(50)
        client.close_many(near)
        server.close_many(far)
        count += 50
    return count


def test_disk_that_fills_up_ends_it_and_all_before_can_be_read(
    lab: Lab, start: Start, disk: Path
) -> None:
    space = lab.namespace()
    run = start("--netns", space.name, output=disk / "run.arrows")
    run.wait_ready()
    size = run.path.stat().st_size
    first = lab.program("tt-first", space)
    listener = first.listen("127.0.0.1", PORT + 1)
    first.connect("127.0.0.1", PORT + 1).close()
    listener.accept().close()
    wait_until(lambda: run.path.stat().st_size > size, what=lambda: f"a batch; {run.said}")
    made = 1 + churn(lab, space, run)
    line = said_once(run)
    assert "No space left on device" in line
    recording = run.read()
    assert recording.problem == "the recorder was stopped before it could finish"
    assert f"the {len(recording.events):,} events before it are in the file" in line
    clients = recording.connections[recording.connections["role"] == "client"]
    assert 0 < len(clients) <= made


def test_removed_directory_ends_it(lab: Lab, start: Start, tmp_path: Path) -> None:
    space, folder = lab.namespace(), tmp_path / "folder"
    folder.mkdir()
    run = start("--netns", space.name, output=folder / "run.arrows")
    run.wait_ready()
    shutil.rmtree(folder)
    churn(lab, space, run)
    assert "run.arrows: was removed: recording stopped" in said_once(run)


def test_full_disk_is_said_before_anything_is_recorded(start: Start, disk: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        (disk / "filler").write_bytes(b"x" * (128 << 10))
    run = start("--", "echo", "started", output=disk / "run.arrows")
    assert "No space left on device: recording stopped; nothing was recorded" in said_once(run)
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_read_only_disk_is_said(start: Start, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    run = start(output=disk / "run.arrows")
    assert "Read-only file system: use another place (-o)" in said_once(run)


def test_existing_file_is_kept(start: Start, tmp_path: Path) -> None:
    (tmp_path / "run.arrows").write_text("precious")
    assert "exists: use --force, or another name (-o)" in said_once(start())
    assert (tmp_path / "run.arrows").read_text() == "precious"


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_planted_link_is_not_followed(
    start: Start, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run.arrows").symlink_to("precious")
    assert "symbolic link" in said_once(start(*options))
    assert (tmp_path / "precious").read_text() == "precious"


def test_missing_directory_is_said(start: Start, tmp_path: Path) -> None:
    run = start(output=tmp_path / "missing" / "run.arrows")
    assert "No such file or directory" in said_once(run)


def test_ready_file_that_cannot_be_written_is_said(start: Start, tmp_path: Path) -> None:
    run = start("--ready-file", str(tmp_path / "missing" / "ready"))
    assert "missing/ready: No such file or directory" in said_once(run)


@pytest.mark.parametrize(
    "options",
    [
        ("--buffer-size", "65537"),
        ("--buffer-size", "big"),
        ("--max-size", "0"),
        ("--max-size", "100K"),
        ("--rotate", "100K"),
        ("--rotate", "5w"),
        ("--keep", "3"),
        ("--rotate", "1M", "--keep", "1"),
        ("--rotate", "1M", "--max-size", "5M"),
        ("--priority", "20"),
        ("--duration", "0"),
        ("--address", "10.0.0.0/33"),
        ("--netns", "no-such-namespace"),
        ("--port", "65536"),
        ("--no-such-option",),
    ],
)
def test_wrong_usage_is_said_with_exit_code_2(start: Start, options: tuple[str, ...]) -> None:
    run = start(*options)
    assert run.end() == 2
    assert any(line.startswith("Error: ") for line in run.said)
    assert not run.path.exists()


@pytest.fixture
def readable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An environment with a copy of the package that any user may read."""
    folder = Path("/tmp", f"tcptrace-readable-{os.getpid()}")  # noqa: S108  pytest's is private
    for name in ("tracer", "analysis", "bpf"):
        shutil.copytree(ROOT / name, folder / "tcptrace" / name)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    yield os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    shutil.rmtree(folder)


def as_nobody(readable: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *words],
        env=readable,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_root_the_fix_is_one_line(readable: dict[str, str]) -> None:
    done = as_nobody(readable, *RECORD)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "tcptrace: recording needs root: sudo tcptrace record\n"


def test_without_root_check_says_no(readable: dict[str, str]) -> None:
    done = as_nobody(readable, *RECORD[:-1], "check")
    assert done.returncode == 1
    assert done.stderr == ""
    assert "sudo tcptrace" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


#: A Python that has no module bcc.
WITHOUT_BCC = [
    sys.executable,
    "-c",
    "import pathlib, sys; from tcptrace.tracer import cli, preflight;"
    "sys.modules['bcc'] = None; preflight._SYSTEM_BCC = pathlib.Path('/none'); cli.main()",
]


def test_without_bcc_the_package_is_named_in_one_line(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [*WITHOUT_BCC, "record", "-o", str(tmp_path / "r")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("tcptrace: ")
    assert "apt-get install python3-bpfcc" in line
    assert not (tmp_path / "r").exists()


def test_without_bcc_check_says_no() -> None:
    done = subprocess.run([*WITHOUT_BCC, "check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "python3-bpfcc" in done.stdout


def test_check_is_content_where_recording_works() -> None:
    done = subprocess.run([*RECORD[:-1], "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "tcptrace record works here."
    assert max(map(len, done.stdout.splitlines())) <= 80
