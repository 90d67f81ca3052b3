"""How `record` begins and ends, and what it says of that."""

from __future__ import annotations

import os
import pty
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from .duo import PORT, Duo
from .lab import Lab
from .net import Namespace, wait_until
from .record_run import Start

# One connection on loopback; the client closes first, as soon as the server has.
CONNECT = f"""
import socket
with socket.create_server(("127.0.0.1", {PORT})) as listener:
    near = socket.create_connection(("127.0.0.1", {PORT}))
    far, _ = listener.accept()
    near.close()
    far.recv(1)
    far.close()
"""


def own(recording: Any, namespace: Namespace) -> Any:
    table = recording.connections
    return table[table["netns"] == namespace.inode]


def test_duration_ends_it_and_the_header_tells_all(start: Start) -> None:
    run = start("--duration", "0.5", "--netns", "1")
    ready = run.wait_ready()
    assert ready["pid"] == run.process.pid
    assert all(probe["attached"] for probe in ready["probes"].values())
    assert run.end() == 0
    recording = run.read()
    assert recording.complete
    assert recording.final["reason"] == "the duration is over"
    header = recording.header
    assert header["format"] == 1
    assert header["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert header["kernel"] == os.uname().release
    assert header["filters"] == {"netns": [1]}
    assert header["probes"] == ready["probes"]
    assert header["hz"] in (100, 250, 300, 1000)
    assert header["sysctl"]["tcp_fin_timeout"]
    assert header["mib"]["TcpExt"].keys() == recording.final["mib"]["TcpExt"].keys()
    assert 0.5 <= (recording.ended - recording.started).total_seconds() < 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_it_cleanly_and_the_next_step_is_named(
    lab: Lab, start: Start, number: signal.Signals
) -> None:
    duo = Duo(lab)  # first: a namespace's number may have been another's until then
    run = start()
    run.wait_ready()
    near, far = duo.connect()
    near.close()
    far.close()
    duo.pair.wait_quiet()
    assert run.end(number) == 0
    assert run.printed == ""
    assert len(run.said) == 2, run.said
    assert re.fullmatch(r"[\d,]+ events in [\d.]+ s, 0 lost.*: .*run\.arrows \(.*B\)", run.said[0])
    assert run.said[1] == f"Next: tcptrace report {run.path}"
    recording = run.read()
    assert recording.complete
    assert recording.final["reason"] == {signal.SIGINT: "Ctrl-C"}.get(number, number.name)
    assert len(own(recording, duo.pair.client)) == len(own(recording, duo.pair.server)) == 1


def test_killed_recording_is_a_second_behind_at_most(lab: Lab, start: Start) -> None:
    duo = Duo(lab)  # first: a namespace's number may have been another's until then
    run = start()
    run.wait_ready()
    for near, far in duo.connect_many(23):
        near.close()
        far.close()
    duo.pair.wait_quiet()

    def finished() -> int:
        # The passive side's: the other's FIN may turn FIN_WAIT_2 to TIME_WAIT unseen.
        rows = own(run.read(), duo.pair.server)
        return int((rows["outcome"] == "finished").sum())

    # Nothing but time brings what was seen into the file.
    wait_until(lambda: finished() == 23, what=lambda: f"23 in the file, not {finished()}")
    assert run.end(signal.SIGKILL) == -signal.SIGKILL
    recording = run.read()
    assert not recording.complete
    assert recording.problem
    assert len(own(recording, duo.pair.client)) == len(own(recording, duo.pair.server)) == 23
    assert (own(recording, duo.pair.server)["outcome"] == "finished").all()


def test_terminal_shows_how_it_goes(start: Start, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        run = start("--duration", "1.5", stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while part := terminal.read(4096):
                shown += part
        except OSError:  # the other end is closed
            pass
        assert run.end() == 0
    lines = shown.decode().split("\r\x1b[K")
    assert any(
        re.match(r"[\d,]+ events  [\d,]+ connections/s  [\d,]+ in TIME_WAIT  0 lost", line)
        for line in lines
    ), lines
    assert "Next: tcptrace report" in lines[-1]


def test_terminal_that_is_closed_does_not_end_it(start: Start) -> None:
    ours, theirs = pty.openpty()
    run = start("--netns", "1", stderr=theirs)
    os.close(theirs)
    run.wait_ready()
    # What is shown twice a second is shown once; then there is nobody to show it to.
    assert os.read(ours, 1)
    os.close(ours)
    size = run.path.stat().st_size
    assert run.end(signal.SIGTERM) == 0
    assert run.path.stat().st_size > size
    assert run.read().complete


def test_command_is_recorded_whole_and_its_end_ends_the_recording(lab: Lab, start: Start) -> None:
    space = lab.namespace()
    run = start("--", sys.executable, "-c", CONNECT, before=space.command())
    assert run.end() == 0
    recording = run.read()
    assert recording.complete
    assert recording.final["reason"] == "the command ended"
    assert recording.header["command"] == [sys.executable, "-c", CONNECT]
    table = own(recording, space)
    assert sorted(table["role"]) == ["client", "server"]
    assert sorted(table["closed_by"]) == ["local", "remote"]
    assert table["opened"].notna().all()


def test_command_that_fails_is_told_and_recording_succeeded(start: Start) -> None:
    run = start("--", "sh", "-c", "exit 3")
    assert run.end() == 0
    assert run.said[-1] == "tcptrace: sh ended with status 3"
    assert run.read().complete


def test_command_that_cannot_start_leaves_nothing_behind(start: Start) -> None:
    run = start("--force", "--", "/no/such/command")
    run.path.write_text("old")
    assert run.end() == 1
    assert len(run.said) == 1
    assert run.said[0].startswith("tcptrace: /no/such/command: No such file or directory")
    assert run.path.read_text() == "old"


def test_command_runs_as_the_caller_of_sudo_who_owns_the_file(start: Start) -> None:
    sudo = {"SUDO_UID": "65534", "SUDO_GID": "65534", "SUDO_USER": "nobody"}
    run = start("--", "id", "-u", environment=os.environ | sudo)
    assert run.end() == 0
    assert run.printed == "65534\n"
    status = run.path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65534, 65534, 0o600)


# Ends by Ctrl-C or SIGTERM, and only then closes its connection.
HOLD = f"""
import signal, socket, sys, time
listener = socket.create_server(("127.0.0.1", {PORT}))
near = socket.create_connection(("127.0.0.1", {PORT}))
far, _ = listener.accept()
def end(number, frame):
    near.close(); far.close()
    print("asked by", signal.Signals(number).name, flush=True)
    sys.exit()
signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1], "w").close()
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_lets_the_command_end_before_the_recording(
    lab: Lab, start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    space, held = lab.namespace(), tmp_path / "held"
    run = start("--", sys.executable, "-c", HOLD, str(held), before=space.command())
    wait_until(held.exists, what=lambda: f"COMMAND holds; {run.said}", timeout=60)
    assert run.end(number) == 0
    assert run.printed == f"asked by {number.name}\n"
    table = own(run.read(), space)
    assert list(table["outcome"]) == ["finished", "finished"]


def test_keyboards_ctrl_c_reaches_the_command_once(lab: Lab, start: Start, tmp_path: Path) -> None:
    space, held = lab.namespace(), tmp_path / "held"
    ours, theirs = pty.openpty()
    before = ["setsid", "--ctty", "--wait", *space.command()]
    run = start("--", sys.executable, "-c", HOLD, str(held), before=before, stdin=theirs)
    os.close(theirs)
    wait_until(held.exists, what=lambda: f"COMMAND holds; {run.said}", timeout=60)
    os.write(ours, b"\x03")
    assert run.end() == 0
    os.close(ours)
    assert run.printed == "asked by SIGINT\n"
    recording = run.read()
    assert recording.final["reason"] == "Ctrl-C"
    assert list(own(recording, space)["outcome"]) == ["finished", "finished"]


def test_time_ends_a_command_that_goes_on(start: Start) -> None:
    run = start("--duration", "0.5", "--", "sleep", "600")
    assert run.end() == 0
    assert run.read().final["reason"] == "the duration is over"
    assert len(run.said) == 2, run.said


def test_command_has_the_environment_of_its_caller(start: Start) -> None:
    given = os.environ | {"GIVEN": "so"}
    run = start("--", "env", environment=given)
    assert run.end() == 0, run.said
    told = dict(line.split("=", 1) for line in run.printed.splitlines() if "=" in line)
    assert {name for name in told if name not in given} == set()
    assert told["GIVEN"] == "so"
