"""A snapshot says of every socket what ss and /proc/net/tcp say at the same moment."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tcptrace.tracer import snapshot
from tcptrace.tracer.header import timer_frequency
from tcptrace.tracer.namespaces import call_inside, network_namespaces, own_namespace
from tcptrace.tracer.schema import KIND, STATES
from tcptrace.tracer.snapshot import SnapshotProcess, take_snapshot

from .duo import PORT, Duo
from .lab import Lab
from .net import Namespace, wait_until
from .scenarios import REPEATS, orderly
from .sockets import End, Told, by_ss, timewait_seconds

HZ = timer_frequency() or 0


def told(rows: np.ndarray) -> list[Told]:
    """The rows of a snapshot in the witnesses' form."""
    return [
        Told(
            STATES[row["new_state"]],
            End(bytes(row["local_address"]), int(row["local_port"])),
            End(bytes(row["remote_address"]), int(row["remote_port"])),
            frozenset({(int(row["pid"]), row["comm"].decode())} if row["pid"] else ()),
            bool(row["detail"] >= 0),
        )
        for row in rows
    ]


def of(namespace: Namespace) -> np.ndarray:
    return take_snapshot([namespace.inode], HZ)


def every_kind_of_socket(lab: Lab, family: int, dual: bool) -> Duo:
    """Listeners, connections in every state that stays, and timewait sockets of both sorts."""
    duo = Duo(lab, family=family, dual=dual)
    for namespace in (duo.pair.client, duo.pair.server):
        # On a busy machine a FIN is sent again, its second ACK meets nobody: a reset.
        namespace.sysctl(tcp_rfc1337=1)
    duo.connect_many(REPEATS)
    for near, _ in duo.connect_many(REPEATS):
        near.shut()
    for near, _ in duo.connect_many(REPEATS):
        near.close()
    for near, far in duo.connect_many(REPEATS):
        orderly(near, far)
    for near, far in duo.connect_many(REPEATS):
        orderly(far, near)
    client, server = duo.pair.client, duo.pair.server
    client.wait_for(ESTABLISHED=REPEATS, FIN_WAIT_2=2 * REPEATS, TIME_WAIT=REPEATS)
    server.wait_for(ESTABLISHED=REPEATS, CLOSE_WAIT=2 * REPEATS, TIME_WAIT=REPEATS, LISTEN=1)
    return duo


@pytest.mark.parametrize(("family", "dual"), [(4, False), (6, False), (4, True)])
def test_sockets_states_and_owners_are_those_of_ss(lab: Lab, family: int, dual: bool) -> None:
    duo = every_kind_of_socket(lab, family, dual)
    for namespace in (duo.pair.client, duo.pair.server):
        rows = of(namespace)
        assert Counter(told(rows)) == Counter(by_ss(namespace))
        assert (rows["kind"] == KIND["existing"]).all()
        assert (rows["old_state"] == rows["new_state"]).all()
        assert (rows["socket"] == 0).all()
        assert set(rows["netns"]) == {namespace.inode}
    server = of(duo.pair.server)
    assert set(server["family"]) == {6 if dual or family == 6 else 4}


@pytest.mark.parametrize("family", [4, 6])
def test_time_left_is_the_kernels(lab: Lab, family: int) -> None:
    duo = every_kind_of_socket(lab, family, dual=False)
    # So that not all were armed in the same jiffy.
    for near, far in duo.connect_many(REPEATS):
        orderly(near, far)
    duo.pair.client.wait_for(TIME_WAIT=2 * REPEATS)
    before = timewait_seconds(duo.pair.client)
    rows = of(duo.pair.client)
    after = timewait_seconds(duo.pair.client)
    timewait = rows[rows["detail"] >= 0]
    assert len(timewait) == len(before) == 3 * REPEATS
    for row in timewait:
        local = End(bytes(row["local_address"]), int(row["local_port"]))
        key = local, End(bytes(row["remote_address"]), int(row["remote_port"]))
        # /proc/net/tcp cuts to hundredths of a second.
        rounding = 0.01 + 1 / HZ
        assert after[key] - rounding <= row["detail"] / HZ <= before[key] + rounding


def test_orphan_waiting_for_the_peers_fin_is_fin_wait_2_until_it_comes(lab: Lab) -> None:
    duo = Duo(lab)
    near, far = duo.connect()
    near.close()
    duo.pair.client.wait_for(FIN_WAIT_2=1)
    (row,) = of(duo.pair.client)
    assert STATES[row["new_state"]] == "FIN_WAIT_2"
    assert 0 < row["detail"] <= 60 * HZ
    far.close()
    duo.pair.client.wait_for(TIME_WAIT=1)
    (row,) = of(duo.pair.client)
    assert STATES[row["new_state"]] == "TIME_WAIT"


def test_without_hz_no_time_left_is_made_up(lab: Lab) -> None:
    duo = Duo(lab)
    orderly(*duo.connect())
    duo.pair.client.wait_for(TIME_WAIT=1)
    (row,) = take_snapshot([duo.pair.client.inode], None)
    assert (STATES[row["new_state"]], row["detail"]) == ("TIME_WAIT", -1)


def test_time_is_between_asking_and_answering(lab: Lab) -> None:
    duo = Duo(lab)
    duo.connect_many(REPEATS)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    rows = of(duo.pair.client)
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert ((before <= rows["time"]) & (rows["time"] <= after)).all()


def test_two_thousand_sockets_are_each_told_once(lab: Lab) -> None:
    duo = Duo(lab)
    for _ in range(20):
        duo.connect_many(100)
    rows = of(duo.pair.client)
    assert len(np.unique(rows["local_port"])) == len(rows) == 2000
    assert set(rows["pid"]) == {duo.client.pid}


def test_socket_that_several_processes_hold_has_no_owner(lab: Lab) -> None:
    duo = Duo(lab)
    duo.listener.fork(["tt-a", "tt-b"])
    holders = {told.holders for told in by_ss(duo.pair.server)}
    assert {len(one) for one in holders} == {3}
    (row,) = of(duo.pair.server)
    assert (row["pid"], row["comm"], row["cgroup"]) == (0, b"", 0)


def test_connection_not_yet_accepted_has_no_owner(lab: Lab) -> None:
    duo = Duo(lab)
    duo.client.connect(duo.address, PORT)
    duo.pair.server.wait_for(ESTABLISHED=1)
    rows = of(duo.pair.server)
    assert sorted(rows["pid"]) == [0, duo.server.pid]
    assert STATES[rows[rows["pid"] == 0]["new_state"][0]] == "ESTABLISHED"


def test_half_open_request_is_no_socket(lab: Lab) -> None:
    cable = lab.cable()
    duo = Duo(lab, cable.pair)
    # The answer to the SYN.
    cable.hold("syn", source="b")
    duo.client.begin("connect_all", sources=[duo.pair.client4], address=duo.address, port=PORT)
    cable.wait_held(1)
    assert duo.pair.server.states()["SYN_RECV"] == 1
    assert [STATES[row["new_state"]] for row in of(duo.pair.server)] == ["LISTEN"]
    assert [STATES[row["new_state"]] for row in of(duo.pair.client)] == ["SYN_SENT"]
    cable.release()
    assert duo.client.finish() == [0]


@contextmanager
def cgroup() -> Iterator[Path]:
    """A version 2 cgroup of the test's own."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    point = next((mount[1] for mount in mounts if mount[2] == "cgroup2"), None)
    if point is None:
        pytest.skip("no cgroup2 is mounted")
    made = Path(point, f"tt-{os.getpid()}")
    made.mkdir()
    try:
        yield made
    finally:
        made.rmdir()


def test_cgroup_is_the_number_that_events_have(lab: Lab) -> None:
    with cgroup() as own:
        duo = Duo(lab)
        (own / "cgroup.procs").write_text(str(duo.client.pid))
        recorder = lab.record()
        near, far = duo.connect()
        (row,) = of(duo.pair.client)
        near.shut()
        far.read_to_end()
        recorder.stop()
        events = recorder.read().events
        (shut,) = events[
            (events["netns"] == duo.pair.client.inode) & (events["new_state"] == "FIN_WAIT_1")
        ]["cgroup"]
        assert row["cgroup"] == shut == own.stat().st_ino
        duo.client.stop()


def test_namespace_without_a_process_is_looked_into(lab: Lab) -> None:
    duo = Duo(lab)
    held = duo.connect_many(REPEATS)
    for near, far in held:
        orderly(near, far)
    duo.client.stop()
    namespace = duo.pair.client
    # Only the mount keeps it now.
    inside = ["ip", "netns", "pids", namespace.name]
    assert not subprocess.run(inside, capture_output=True, check=True).stdout
    namespace.wait_for(TIME_WAIT=REPEATS)
    rows = take_snapshot(None, HZ)
    assert (rows["netns"] == namespace.inode).sum() == REPEATS
    assert (rows["netns"] == duo.pair.server.inode).sum() == 1
    assert not len(take_snapshot([duo.pair.server.inode + 10**6], HZ))


def test_namespace_without_a_name_is_looked_into(lab: Lab) -> None:
    duo = Duo(lab)
    namespace = duo.pair.server
    namespace.delete()
    rows = of(namespace)
    assert [(row["pid"], row["comm"]) for row in rows] == [(duo.server.pid, b"tt-server")]


def test_namespace_that_vanishes_is_skipped_and_the_caller_stays(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    duo = Duo(lab)
    own = own_namespace()
    left = tmp_path / "left"
    left.touch()
    here = network_namespaces()[duo.pair.server.inode]
    # No file; what is left of a mount; a process number that is another's by now.
    spaces = {5: tmp_path / "gone", 6: left, 7: here, duo.pair.server.inode: here}
    monkeypatch.setattr(snapshot, "network_namespaces", lambda: spaces)
    assert set(take_snapshot(None, HZ)["netns"]) == {duo.pair.server.inode}
    assert not caplog.messages
    assert own_namespace() == own


def test_namespace_that_may_not_be_entered_is_named_and_the_rest_is_told(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    duo = Duo(lab)
    client, server = duo.pair.client.inode, duo.pair.server.inode

    def refuse(inode: int, path: Path, function: Callable[[], socket.socket]) -> socket.socket:
        if inode == client:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return call_inside(inode, path, function)

    monkeypatch.setattr(snapshot, "call_inside", refuse)
    assert set(take_snapshot([client, server], HZ)["netns"]) == {server}
    assert caplog.messages == [
        "sockets of another network namespace are not known: CAP_SYS_ADMIN is missing"
    ]


def test_inside_a_namespace_the_caller_asks_from_there(lab: Lab) -> None:
    namespace = lab.namespace()
    path = network_namespaces()[namespace.inode]
    inode = call_inside(
        namespace.inode, path, lambda: Path("/proc/thread-self/ns/net").stat().st_ino
    )
    assert inode == namespace.inode


def test_process_of_its_own_tells_the_same(lab: Lab) -> None:
    duo = every_kind_of_socket(lab, family=4, dual=False)
    process = SnapshotProcess([duo.pair.server.inode], HZ)
    found: list[np.ndarray] = []

    def given() -> bool:
        rows = process.poll()
        if rows is not None:
            found.append(rows)
        return bool(found)

    wait_until(given, what=lambda: f"a snapshot; {process.problem}", timeout=20)
    assert process.problem is None
    assert Counter(told(found[0])) == Counter(by_ss(duo.pair.server))
