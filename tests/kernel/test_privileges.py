"""With which rights a recording is made, and which are left while it runs."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .duo import Duo
from .lab import Lab
from .net import wait_until
from .record_run import RECORD, Run

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., Run]
NOBODY = pwd.getpwnam("nobody")

#: All that a recorder needs to record everything; of SYS_ADMIN on: for snapshots.
EVERYTHING = ("bpf", "perfmon", "syslog", "sys_admin", "sys_ptrace", "dac_read_search")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may write to, and in it a copy of the package to read."""
    path = Path("/tmp", f"tcptrace-rights-{os.getpid()}")  # noqa: S108  pytest's is private
    for name in ("tracer", "analysis", "bpf"):
        shutil.copytree(ROOT / name, path / "package" / "tcptrace" / name)
    (path / "out").mkdir()
    subprocess.run(["chmod", "-R", "a+rX", path], check=True)
    (path / "out").chmod(0o1777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def begin(*options: str, **more: Any) -> Run:
        # The tests may be run with sudo themselves.
        own = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}
        environment = own | {"PYTHONDONTWRITEBYTECODE": "1"} | more.pop("environment", {})
        runs.append(Run(folder / "out", *options, environment=environment, **more))
        return runs[-1]

    yield begin
    for run in runs:
        run.kill()


def as_nobody(*capabilities: str) -> list[str]:
    """A command line that runs what follows as a user with these capabilities alone."""
    held = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    return [
        *("setpriv", *user, f"--inh-caps={held}", f"--ambient-caps={held}"),
        *(f"--bounding-set={held}", "env", "--chdir=/"),
    ]


def status(pid: int | str) -> dict[str, str]:
    text = Path("/proc", str(pid), "status").read_text()
    return dict(
        re.findall(r"^(Uid|Gid|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs):\t(\S+)", text, re.M)
    )


def threads(run: Run) -> list[dict[str, str]]:
    """Of each of the recorder's threads, what it may do."""
    pid = run.process.pid
    return [status(f"{pid}/task/{each.name}") for each in os.scandir(f"/proc/{pid}/task")]


NOTHING = "0" * 16


def test_root_keeps_nothing_that_recording_does_not_need(lab: Lab, start: Start) -> None:
    space = lab.namespace()
    run = start("--netns", space.name)
    run.wait_ready()
    wait_until(lambda: status(run.process.pid)["NoNewPrivs"] == "1", what=lambda: "rights given up")
    for thread in threads(run):
        assert thread["NoNewPrivs"] == "1"
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert thread[name] == NOTHING, thread
    (server,) = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    wait_until(lambda: status(server)["NoNewPrivs"] == "1", what=lambda: "the server's given up")
    assert int(status(server)["CapPrm"], 16).bit_count() == 3
    assert run.end(signal.SIGINT) == 0
    assert run.read().final["snapshots"] == {"start": None, "end": None}


def test_under_sudo_it_goes_on_as_the_calling_user(lab: Lab, start: Start, folder: Path) -> None:
    duo = Duo(lab)
    sudo = {"SUDO_UID": str(NOBODY.pw_uid), "SUDO_GID": str(NOBODY.pw_gid)}
    run = start(environment=sudo)
    run.wait_ready()
    near, far = duo.connect()
    wait_until(lambda: status(run.process.pid)["NoNewPrivs"] == "1", what=lambda: "rights given up")
    for thread in threads(run):
        assert thread["Uid"] == str(NOBODY.pw_uid)
        assert thread["CapPrm"] == NOTHING
    near.close()
    far.close()
    duo.pair.wait_quiet()
    assert run.end(signal.SIGINT) == 0, run.said
    found = run.path.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (NOBODY.pw_uid, 0o600)
    recording = run.read()
    assert recording.final["snapshots"] == {"start": None, "end": None}
    assert recording.final["mib"]["Tcp"]
    names = recording.header["names"]["netns"]
    assert names[str(duo.pair.client.inode)] == duo.pair.client.name
    rows = recording.connections
    assert len(rows[rows["netns"] == duo.pair.client.inode]) == 1


def test_rotation_makes_its_files_where_only_root_could(
    lab: Lab, start: Start, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    sudo = {"SUDO_UID": str(NOBODY.pw_uid), "SUDO_GID": str(NOBODY.pw_gid)}
    options = ("--netns", lab.namespace().name, "--rotate", "1s", "--keep", "2")
    run = start(*options, output=tmp_path / "run.arrows", environment=sudo)
    run.wait_ready()
    third = tmp_path / "run.0003.arrows"
    wait_until(lambda: third.exists() or run.process.poll() is not None, what=lambda: f"{run.said}")
    assert run.end(signal.SIGINT) == 0, run.said
    files = sorted(tmp_path.glob("run.*.arrows"))
    assert len(files) == 2
    for file in files:
        found = file.stat()
        assert (found.st_uid, found.st_mode & 0o777) == (NOBODY.pw_uid, 0o600)


def test_command_has_the_calling_users_rights_and_may_gain_more(start: Start) -> None:
    sudo = {"SUDO_UID": str(NOBODY.pw_uid), "SUDO_GID": str(NOBODY.pw_gid)}
    run = start("--", "cat", "/proc/self/status", environment=sudo)
    assert run.end() == 0, run.said
    found = dict(re.findall(r"^(\w+):\t(\S+)", run.printed, re.MULTILINE))
    assert found["Uid"] == str(NOBODY.pw_uid)
    assert found["CapEff"] == found["CapPrm"] == found["CapAmb"] == NOTHING
    assert found["NoNewPrivs"] == "0"  # it may call sudo


def test_command_that_became_another_user_is_ended_all_the_same(start: Start) -> None:
    run = start("--", "setpriv", "--reuid=12345", "sleep", "100")
    run.wait_ready()
    # COMMAND and the snapshot server are its children.
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children")

    def became() -> list[str]:
        return [each for each in children.read_text().split() if status(each)["Uid"] == "12345"]

    wait_until(became, what=lambda: f"another user among {children.read_text()}")
    (child,) = became()
    assert run.end(signal.SIGTERM) == 0, run.said
    assert not Path("/proc", child).exists()


def test_these_capabilities_are_enough_for_everything(lab: Lab, start: Start, folder: Path) -> None:
    duo = Duo(lab)
    held, held_far = duo.connect()
    run = start(before=package(as_nobody(*EVERYTHING), folder))
    ready = run.wait_ready()
    assert all(probe["attached"] for probe in ready["probes"].values())
    near, far = duo.connect()
    near.close()
    far.close()
    duo.pair.client.wait_for(TIME_WAIT=1)
    assert run.end(signal.SIGINT) == 0, run.said
    assert run.said[:-2] == []
    recording = run.read()
    assert recording.final["snapshots"] == {"start": None, "end": None}
    rows = recording.connections
    rows = rows[rows["netns"] == duo.pair.client.inode]
    assert sorted(rows["outcome"]) == ["finished", "open"]
    # Of the one that did nothing, the owner, another user's process, is known.
    assert rows["comm"].tolist() == ["tt-client"] * 2
    assert (rows["time_wait_end"] == "open").sum() == 1
    held.close()
    held_far.close()


def test_without_syslog_time_wait_is_unknown_and_not_zero(
    lab: Lab, start: Start, folder: Path
) -> None:
    duo = Duo(lab)
    run = start(before=package(as_nobody("bpf", "perfmon"), folder))
    ready = run.wait_ready()
    attached = {name: probe["attached"] for name, probe in ready["probes"].items()}
    assert attached["sock:inet_sock_set_state"]
    assert not attached["timer:timer_start"]
    near, far = duo.connect()
    near.close()
    far.close()
    duo.pair.wait_quiet()
    duo.pair.client.wait_for(TIME_WAIT=1)
    assert run.end(signal.SIGINT) == 0, run.said
    assert any("timer:timer_start not attached" in line for line in run.said)
    assert any("CAP_SYSLOG" in line for line in run.said)
    assert any("CAP_SYS_ADMIN" in line for line in run.said)
    recording = run.read()
    assert "not known" in recording.final["snapshots"]["start"]
    rows = recording.connections
    (row,) = rows[rows["netns"] == duo.pair.client.inode].to_dict("records")
    # Whether it got to TIME_WAIT before the full socket went is a matter of microseconds.
    assert row["outcome"] in ("finished", "unknown")
    assert row["time_wait_s"] != row["time_wait_s"]  # NaN: not known


@pytest.mark.parametrize("capabilities", [("bpf",), ("perfmon",), ("perfmon", "sys_ptrace")])
def test_less_is_refused_in_one_line(
    start: Start, folder: Path, capabilities: tuple[str, ...]
) -> None:
    run = start(before=package(as_nobody(*capabilities), folder))
    assert run.end() == 1
    (line,) = run.said
    assert line == "tcptrace: recording needs root: sudo tcptrace record"


def package(before: list[str], folder: Path) -> list[str]:
    return [*before, f"PYTHONPATH={folder / 'package'}"]


def test_live_keeps_no_rights_either(folder: Path) -> None:
    sudo = {"SUDO_UID": str(NOBODY.pw_uid), "SUDO_GID": str(NOBODY.pw_gid)}
    command = [*RECORD[:-1], "live", "--netns", "1"]
    with (folder / "out/said").open("wb") as said:
        process = subprocess.Popen(
            command, env=os.environ | sudo, stdout=said, stderr=said, cwd=folder
        )
    try:
        wait_until(
            lambda: process.poll() is not None or status(process.pid)["NoNewPrivs"] == "1",
            what=lambda: (folder / "out/said").read_text(),
            timeout=60,
        )
        found = status(process.pid)
        assert found["Uid"] == str(NOBODY.pw_uid)
        assert int(found["CapPrm"], 16).bit_count() == 1  # CAP_KILL
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
