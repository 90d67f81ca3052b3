"""Each CPU writes to a ring of its own: what happens to a socket on two of them, in order."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tcptrace.tracer.capture import Capture
from tcptrace.tracer.ring import RingReader
from tcptrace.tracer.schema import KIND, STATE

from .duo import PORT
from .lab import Lab

MANY = 300
ROUNDS = 10


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU, one ring")
def test_a_sockets_states_on_two_cpus_follow_each_other(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    peek, used = RingReader.peek, set()

    def noted(self: RingReader) -> np.ndarray:
        events = peek(self)
        if len(events):
            used.add(self)
        return events

    monkeypatch.setattr(RingReader, "peek", noted)
    space = lab.namespace()
    server = lab.program("tt-server", space)
    client = lab.program("tt-client", space)
    # The server's sockets are born on the client's CPU, by its packets, and closed on its own.
    for program, cpu in zip((server, client), sorted(os.sched_getaffinity(0)), strict=False):
        os.sched_setaffinity(program.pid, {cpu})
    listener = server.listen("127.0.0.1", PORT, backlog=4096)
    batches = []
    with Capture.start() as capture:
        for _ in range(ROUNDS):
            near = client.connect_many("127.0.0.1", PORT, MANY)
            far = listener.accept_many(MANY)
            batches.append(capture.read())
            server.close_many(far)
            batches.append(capture.read())
            client.close_many(near)
            batches.append(capture.read())
        space.wait_for(ESTABLISHED=0, FIN_WAIT_1=0, FIN_WAIT_2=0, LAST_ACK=0)
        capture.detach()
        batches.append(capture.read())
        assert capture.lost() == 0
    assert len(used) >= 2
    events = np.concatenate(batches)
    events = events[(events["netns"] == space.inode) & (events["kind"] == KIND["state"])]
    events = events[np.argsort(events["socket"], kind="stable")]
    same = events["socket"][1:] == events["socket"][:-1]
    # An address is used again by another socket once one is closed.
    same &= events["new_state"][:-1] != STATE["CLOSE"]
    assert np.count_nonzero(same) >= 8 * ROUNDS * MANY
    before, after = events[:-1][same], events[1:][same]
    assert (before["new_state"] == after["old_state"]).all()
    assert (before["time"] < after["time"]).all()
