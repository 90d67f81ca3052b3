"""The probes whose arguments the kernel types and, where it does not, without."""

from __future__ import annotations

import time
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest

from tcptrace.tracer import capture, loader
from tcptrace.tracer.owners import Cgroups
from tcptrace.tracer.probes import PROBES
from tcptrace.tracer.schema import KIND, STATES

from .duo import PORT, Duo
from .lab import Lab
from .scenarios import orderly
from .sockets import mapped

TYPED = sum(len(probe.programs) for probe in PROBES if probe.typed)


#: Of the client, which closes first, and of the server, from ESTABLISHED on.
CLOSED = [
    [("ESTABLISHED", "FIN_WAIT_1"), ("FIN_WAIT_1", "FIN_WAIT_2"), ("FIN_WAIT_2", "CLOSE")],
    [("ESTABLISHED", "CLOSE_WAIT"), ("CLOSE_WAIT", "LAST_ACK"), ("LAST_ACK", "CLOSE")],
]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("typed", [True, False])
def test_a_close_is_seen_either_way(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, typed: bool, family: int
) -> None:
    attach, attached = loader.attach, []

    def counted(
        name: str, instructions: bytes, tracepoint: str, type_id: int | None = None
    ) -> tuple[int, int]:
        # All but the first of a pair, which must not stay then.
        if type_id is not None and not typed and name != "set_state":
            raise OSError("as the verifier of an older kernel would")
        descriptors = attach(name, instructions, tracepoint, type_id)
        attached.append(type_id is not None)
        return descriptors

    monkeypatch.setattr(loader, "attach", counted)
    # In this process instead of one of its own.
    monkeypatch.setattr(
        capture, "_load", lambda *maps: loader.load(dict(zip(loader.MAPS, maps, strict=True)))
    )
    duo = Duo(lab, family=family)
    inodes = [duo.pair.client.inode, duo.pair.server.inode]
    own = capture.Capture.start()
    try:
        assert all(own.probes[probe.name]["attached"] for probe in PROBES if probe.typed)
        assert sum(attached) == (TYPED if typed else 1)
        near, far = duo.connect()
        orderly(near, far)
        batches: list[np.ndarray] = []
        end = time.monotonic() + 60
        while _of_kind(batches, "timewait_start") < 1 and time.monotonic() < end:
            events = own.read()
            batches.append(events[np.isin(events["netns"], inodes)])
            time.sleep(0.05)
    finally:
        own.close()
    events = np.concatenate(batches)
    events = events[np.isin(events["netns"], inodes)]
    assert np.count_nonzero(events["kind"] == KIND["timewait_start"]) == 1
    addresses = [mapped(ip_address(each)) for each in duo.pair.both(family)]
    for inode, ports, (local, remote), closed in (
        (inodes[0], (near.port, PORT), addresses, CLOSED[0]),
        (inodes[1], (PORT, near.port), addresses[::-1], CLOSED[1]),
    ):
        mine = events[(events["netns"] == inode) & (events["kind"] == KIND["state"])]
        mine = mine[(mine["local_port"] == ports[0]) & (mine["remote_port"] == ports[1])]
        steps = zip(mine["old_state"].tolist(), mine["new_state"].tolist(), strict=True)
        assert [(STATES[old], STATES[new]) for old, new in steps][-3:] == closed
        mine = mine[-3:]
        assert set(mine["family"].tolist()) == {family}
        assert {each.tobytes() for each in mine["local_address"]} == {local}
        assert {each.tobytes() for each in mine["remote_address"]} == {remote}
        # Bits and sk_err (0) are read from the socket, too: its program had closed it, and the
        # server's peer, too. The client's may have waited on for the FIN as a timewait socket.
        assert mine["detail"][:-1].tolist() == [0, 0]
        assert mine["detail"][-1] in ((2, 3) if inode == inodes[0] else (3,))
    # The task, which typed programs read by themselves. It was python before it had this name.
    for program, inode, state in (
        (duo.client, inodes[0], "SYN_SENT"),
        (duo.client, inodes[0], "FIN_WAIT_1"),
        (duo.server, inodes[1], "LAST_ACK"),
    ):
        made = (events["netns"] == inode) & (events["new_state"] == STATES.index(state))
        task = events[made & (events["kind"] == KIND["state"])][0]
        assert task["pid"] == program.pid
        assert task["comm"] == program.name.encode()
        assert task["cgroup"] == _control_group(program.pid)


def _control_group(pid: int) -> int:
    """Give the number of a process's control group, version 2, by the file system."""
    paths = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    path = next(line for line in paths if line.startswith("0::")).removeprefix("0::")
    point = Cgroups(Path("/proc/self/mountinfo").read_text()).point
    assert point, "no control groups, version 2, are mounted"
    return Path(point + path).stat().st_ino


def _of_kind(batches: list[np.ndarray], kind: str) -> int:
    return sum(int(np.count_nonzero(events["kind"] == KIND[kind])) for events in batches)
