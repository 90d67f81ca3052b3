"""Segments that come while a program of ours runs: what they do is recorded all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tcptrace.tracer.btf import Btf
from tcptrace.tracer.capture import Capture
from tcptrace.tracer.schema import KIND

from .lab import Lab
from .tally import Tally

PROGRAM = Path(__file__).parent / "programs" / "both_ends.py"
WORKERS, EACH = 4, 10_000
TRACEPOINTS = {
    "state": "inet_sock_set_state",
    "reset_received": "tcp_receive_reset",
    "reset_sent": "tcp_send_reset",
    "error": "inet_sk_error_report",
}


@pytest.fixture
def tallies() -> Iterator[dict[str, Tally]]:
    btf = Btf()
    made = {
        kind: Tally(name)
        for kind, name in TRACEPOINTS.items()
        if btf.tracepoint_arguments(name) is not None
    }
    yield made
    for tally in made.values():
        tally.close()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU, nobody to interrupt it")
def test_each_event_is_recorded_that_any_program_could_see(
    lab: Lab, tallies: dict[str, Tally]
) -> None:
    space = lab.namespace()
    # Either CPU takes segments for the other and interrupts it for them.
    every = sum(1 << cpu for cpu in os.sched_getaffinity(0))
    space.run("sh", "-c", f"echo {every:x} >/sys/class/net/lo/queues/rx-0/rps_cpus")
    batches = []
    with Capture.start() as capture:
        began = {kind: tally.read() for kind, tally in tallies.items()}
        command = space.command(sys.executable, str(PROGRAM), str(WORKERS), str(EACH))
        with subprocess.Popen(command) as load:
            while load.poll() is None:
                batches.append(capture.read())
                time.sleep(0.01)
        assert load.returncode == 0
        ended = {kind: tally.read() for kind, tally in tallies.items()}
        capture.detach()
        batches.append(capture.read())
        assert capture.lost() == 0
    # Before Linux 6.1 no program is kept from what interrupts it: then nothing is tried here.
    if not ended["state"].missed:
        pytest.skip("this kernel kept no event from a program that was interrupted")
    events = np.concatenate(batches)
    for kind, first in began.items():
        times = events["time"][events["kind"] == KIND[kind]]
        last = ended[kind]
        counted = last.events - first.events
        assert counted > WORKERS * EACH / 4, kind
        assert ((times > first.before) & (times < last.after)).sum() <= counted, kind
        assert ((times > first.after) & (times < last.before)).sum() >= counted, kind
