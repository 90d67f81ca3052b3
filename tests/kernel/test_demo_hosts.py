"""`tcptrace demo --hosts`: experiments between two machines, and a report of both recordings."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tcptrace.analysis import read

from .demo_run import FIN, MARK, RST, SYN, read_capture
from .net import wait_until
from .test_demo_ends import alive, children
from .two_machines import TwoMachines

#: Two on the machines' own network, two over a link of ours.
PLAYED = ("linger-reset", "port-exhaustion", "simultaneous-close", "three-way-handshake")
SSH = 22


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoMachines]:
    made = TwoMachines(tmp_path_factory.mktemp("machines"))
    try:
        yield made
    finally:
        made.delete()


class Chatter:
    """Connects to port 22 of the server again and again, as ssh might."""

    def __init__(self, machines: TwoMachines) -> None:
        self._stop = threading.Event()
        self.made = 0
        self._listener = machines.server.inside(
            lambda: socket.create_server((machines.pair.server4, SSH))
        )
        self._machines = machines
        self._thread = threading.Thread(target=self._talk)

    def _talk(self) -> None:
        def connect() -> socket.socket:
            return socket.create_connection((self._machines.pair.server4, SSH))

        while not self._stop.wait(0.2):
            with self._machines.client.inside(connect), self._listener.accept()[0]:
                self.made += 1

    def __enter__(self) -> Chatter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()


class Played:
    """What a run printed and left, and what stood on the machines before and after."""

    def __init__(self, machines: TwoMachines, folder: Path) -> None:
        self.before = machines.settings()
        with Chatter(machines) as chatter:
            process = machines.start(*PLAYED, "--json", "-o", str(folder))
            out, self.said = process.communicate(timeout=300)
        self.chatter = chatter.made
        self.code = process.returncode
        self.after = machines.settings()
        assert out, self.said
        self.results: dict[str, dict[str, Any]] = {one["name"]: one for one in json.loads(out)}


@pytest.fixture(scope="module")
def played(machines: TwoMachines, tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(machines, tmp_path_factory.mktemp("demo") / "new")


def test_they_show_what_they_are_for(played: Played) -> None:
    failed = {
        name: (one["error"], one["failures"])
        for name, one in played.results.items()
        if not one["shown"]
    }
    assert failed == {}
    assert list(played.results) == list(PLAYED)
    assert played.code == 0


def test_the_machines_are_left_as_they_were(played: Played) -> None:
    assert played.after == played.before


def test_where_it_was_played_is_said(played: Played, machines: TwoMachines) -> None:
    plain, wire = (played.results[name]["notes"][0] for name in (PLAYED[0], PLAYED[2]))
    assert f"({machines.pair.server4}), on their own network" in plain
    assert "travelled through tcptrace, over ssh" in wire


@pytest.mark.parametrize("name", PLAYED)
def test_each_host_has_a_recording_of_its_own(
    played: Played, machines: TwoMachines, name: str
) -> None:
    one = played.results[name]
    hosts = [read(path) for path in one["recordings"]]
    assert [recording.header["host"] for recording in hosts] == ["client", "server"]
    for recording, host in zip(hosts, ("client", "server"), strict=True):
        assert recording.complete
        assert recording.lost == 0
        assert set(recording.events["netns"]) == {one["netns"][host]}
        roles = set(recording.connections["role"].dropna())
        assert roles == {host}
        page = Path(one["recordings"][0]).with_suffix(".html")
        assert page.exists()
    own = {machines.client.inode, machines.server.inode}
    direct = name in PLAYED[:2]
    assert (set(one["netns"].values()) == own) == direct


def test_nothing_of_other_connections_is_recorded_or_captured(played: Played) -> None:
    assert played.chatter > 5
    for name in PLAYED:
        for path in played.results[name]["recordings"]:
            table = read(path).connections
            assert SSH not in set(table["remote_port"]) | set(table["local_port"])
        for path in played.results[name]["captures"]:
            segments = read_capture(Path(path))
            assert segments
            assert not any(SSH in (one.source_port, one.target_port) for one in segments)


def test_both_machines_captured_the_same_segments(played: Played) -> None:
    here, there = (read_capture(Path(path)) for path in played.results["linger-reset"]["captures"])
    for flags in (SYN, FIN, RST):
        seen = [
            sorted((one.host, one.source_port, one.sequence) for one in side if one.flags & flags)
            for side in (here, there)
        ]
        assert seen[0] == seen[1] != []


@pytest.mark.parametrize("name", PLAYED)
def test_the_report_pairs_every_connection(played: Played, name: str) -> None:
    paths = played.results[name]["recordings"]
    command = [sys.executable, "-m", "tcptrace.tracer", "report", *paths]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    ours, theirs = (json.loads(line)["pairs"][0] for line in done.stdout.splitlines())
    table = read(paths[0]).connections
    opened = table[table["established"].notna()]
    assert ours["connections"] == theirs["connections"] == len(opened) > 0
    assert ours["ambiguous"] == ours["one_side_only"] == {"here": 0, "there": 0}
    assert ours["closed_by"]["disagree"] == 0
    counted = opened["closed_by"].value_counts()
    told = [counted.get(word, 0) for word in ("local", "remote", "both")]
    assert [ours["closed_by"][word] for word in ("here", "there", "both")] == told
    assert ours["time_wait"]["here"] == table["time_wait_began"].notna().sum()
    # Both have the same clock: it is one kernel.
    clock = ours["clock_ahead_s"]
    assert clock["constant"]
    assert clock["high"] > 0
    assert clock["low"] is None or clock["low"] < 0
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "BOTH SIDES: client and server" in text


def test_the_index_tells_both_sides_of_each_experiment(played: Played) -> None:
    page = Path(played.results["linger-reset"]["recordings"][0]).with_name("index.html").read_text()
    assert page.count("BOTH SIDES: client and server") == len(PLAYED)
    for name in PLAYED:
        for path in map(
            Path, played.results[name]["recordings"] + played.results[name]["captures"]
        ):
            assert f'href="{path.name}"' in page


def test_the_timeline_draws_both_machines_side_by_side(played: Played) -> None:
    paths = played.results["linger-reset"]["recordings"]
    command = [sys.executable, "-m", "tcptrace.tracer", "timeline", *paths]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "client: #" in out
    assert "server: #" in out
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    left, right = (
        next(place for place, line in enumerate(lines) if state in line and "|" in line)
        for state in ("SYN_SENT |", "| SYN_RECV")
    )
    assert left < right


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_ends_leaves_the_machines_as_they_were(
    machines: TwoMachines, number: signal.Signals, tmp_path: Path
) -> None:
    before = machines.settings()
    environment = {MARK: str(tmp_path), "TMPDIR": str(tmp_path)}
    process = machines.start("same-four-tuple", "four-way-close", env=environment)
    try:
        wait_until(
            lambda: machines.settings()[0][0].split() == ["40001", "40001"],
            what=lambda: "ip_local_port_range set for the experiment",
            timeout=90,
        )
        below = children(process.pid)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    wait_until(
        lambda: machines.settings() == before,
        what=lambda: f"{machines.settings()} as {before}",
        timeout=60,
    )
    wait_until(
        lambda: not any(map(alive, below)),
        what=lambda: f"ended: {[pid for pid in below if alive(pid)]}",
        timeout=30,
    )
    # Of the helpers nothing is left; a driver that is killed leaves its folder.
    left = [path.name for path in tmp_path.iterdir()]
    assert not any(name.startswith("tcptrace-demo-host-") for name in left)
    assert not left or number == signal.SIGKILL


def test_a_machine_out_of_reach_is_one_line(machines: TwoMachines) -> None:
    process = machines.start("linger-reset", "--hosts", f"{machines.pair.client4},10.255.255.254")
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "10.255.255.254: ssh: connect to host 10.255.255.254 port 22: No route" in said
    assert said.count("\n") == 1


def test_one_machine_given_twice_is_refused(machines: TwoMachines) -> None:
    address = machines.pair.client4
    process = machines.start("linger-reset", "--hosts", f"{address},{address}")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "are one machine: leave --hosts out" in said
