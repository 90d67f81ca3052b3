"""COMMAND: who it runs as, how it is told to end, what is said of its end."""

from __future__ import annotations

import os
import pwd
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcptrace.tracer import command
from tcptrace.tracer.command import Command
from tcptrace.tracer.errors import TcptraceError

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(autouse=True)
def _no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)


def finish(running: Command) -> None:
    running._process.wait(30)


def test_missing_command_is_said_in_one_line() -> None:
    with pytest.raises(TcptraceError, match="No such file or directory: the command was not"):
        Command(["/no/such/command"])


def test_good_end_needs_no_words() -> None:
    running = Command(["true"])
    finish(running)
    assert running.ended()
    assert running.outcome() is None


def test_failure_is_told_by_its_status() -> None:
    running = Command(["sh", "-c", "exit 7"])
    finish(running)
    assert running.outcome() == "sh ended with status 7"


def test_death_is_told_by_its_signal() -> None:
    running = Command(["sh", "-c", "kill -KILL $$"])
    finish(running)
    assert running.outcome() == "sh was ended by SIGKILL"


def test_what_still_runs_is_ended_without_complaint() -> None:
    running = Command(SLEEPER)
    assert not running.ended()
    running.stop()
    assert running.ended()
    assert running.outcome() is None


def test_what_will_not_end_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "_PATIENCE", 0.2)
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"open({str(ready)!r}, 'w').close(); time.sleep(60)"
    )
    running = Command([sys.executable, "-c", program])
    ready.read_text()
    running.stop()
    assert running.outcome() == (
        f"{sys.executable} (process {running._process.pid}) is still running"
    )
    running._process.kill()
    finish(running)


def test_sigterm_is_handed_on() -> None:
    running = Command(SLEEPER)
    running.forward(signal.SIGTERM)
    finish(running)
    assert running.outcome() == f"{sys.executable} was ended by SIGTERM"


def test_ctrl_c_is_handed_on_only_if_the_keyboard_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    running = Command(["true"])
    finish(running)
    sent: list[int] = []
    monkeypatch.setattr(running._process, "send_signal", sent.append)
    for foreground in (True, False):
        monkeypatch.setattr(command, "_in_foreground", lambda here=foreground: here)
        running.forward(signal.SIGINT)
        running.forward(signal.SIGTERM)
    assert sent == [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def _groups_of_root() -> Iterator[None]:
    own = os.getgroups()
    os.setgroups([0, 4])
    yield
    os.setgroups(own)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.usefixtures("_groups_of_root")
def test_command_runs_as_the_user_who_called_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    user = pwd.getpwnam("nobody")
    monkeypatch.setenv("SUDO_UID", str(user.pw_uid))
    monkeypatch.setenv("SUDO_GID", str(user.pw_gid))
    monkeypatch.setenv("SUDO_COMMAND", "tcptrace")
    monkeypatch.setenv("HOME", "/root")
    groups = " ".join(map(str, os.getgrouplist(user.pw_name, user.pw_gid)))
    wanted = f"{user.pw_uid} {user.pw_gid} {groups} {user.pw_dir} {user.pw_name}"
    test = f'test "$(id -u) $(id -g) $(id -G) $HOME $USER" = "{wanted}" && ! env | grep SUDO_'
    running = Command(["sh", "-c", test])
    finish(running)
    assert running.outcome() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.usefixtures("_groups_of_root")
def test_user_without_a_name_has_no_other_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "54321")
    monkeypatch.setenv("SUDO_GID", "54322")
    running = Command(["sh", "-c", 'test "$(id -u) $(id -G)" = "54321 54322"'])
    finish(running)
    assert running.outcome() is None
