"""How `tcptrace demo` ends when something is wrong: nothing shown, or interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from tcptrace.analysis.commands.demo import command
from tcptrace.analysis.demo.experiments import EXPERIMENTS
from tcptrace.analysis.demo.experiments.simultaneous_close import PORT, SimultaneousClose
from tcptrace.analysis.demo.stage import Stage

from .demo_run import run
from .net import wait_until


class OneAfterTheOther(SimultaneousClose):
    """Closes one side, then the other: nothing crosses."""

    def play(self, stage: Stage) -> None:
        client, server = stage.program("client", "left"), stage.program("server", "right")
        server.do("listen", name="l", port=PORT)
        stage.connect(client, server, PORT, 40000)
        stage.close_in_order(client, server)


class Refused(SimultaneousClose):
    """Connects where nobody listens."""

    def play(self, stage: Stage) -> None:
        client = stage.program("client", "left")
        client.do("connect", name="c", address=stage.address("right"), port=PORT)


@pytest.fixture
def _terminate() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_terminate")
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (OneAfterTheOther, "NOT SHOWN: the FINs did not cross"),
        (Refused, "FAILED: connect() of client failed: ECONNREFUSED"),
    ],
)
def test_what_did_not_happen_is_said_and_the_exit_code_is_1(
    broken: type[SimultaneousClose], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(EXPERIMENTS, broken.name, broken)
    result = CliRunner().invoke(command, [broken.name, "-o", str(tmp_path / "new")])
    assert said in result.output
    assert result.exit_code == 1


def test_the_text_fits_80_columns(tmp_path: Path) -> None:
    done = run("simultaneous-close", "three-way-handshake", "-o", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if str(tmp_path) not in line]
    assert len(lines) > 60
    assert max(map(len, lines)) <= 80


def children(pid: int) -> list[int]:
    """Every living process below `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            for child in map(int, task.read_text().split()):
                found += [child, *children(child)]
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def namespaces(pids: list[int]) -> set[int]:
    held = set()
    for pid in pids:
        try:
            held.add(Path(f"/proc/{pid}/ns/net").stat().st_ino)
        except OSError:
            continue  # it ended
    return held


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_demo_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tcptrace.tracer", "demo", "four-way-close", "server-closes-first"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        own = {Path("/proc/self/ns/net").stat().st_ino}
        # Both hosts of both experiments have a program in them.
        wait_until(
            lambda: len(namespaces(children(process.pid)) - own) == 4,
            what=lambda: "programs on four hosts",
            timeout=90,
        )
        below = children(process.pid)
        process.send_signal(number)
        assert process.wait(60) == (-9 if number == signal.SIGKILL else 1)
    finally:
        process.kill()
        process.wait()
    # Namespaces without processes or mounts are gone.
    wait_until(
        lambda: not any(map(alive, below)),
        what=lambda: f"ended: {[pid for pid in below if alive(pid)]}",
        timeout=30,
    )
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []
