"""Segments that come while a program of ours runs: what they do is recorded all the same."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tcptrace.tracer import capture as capture_module
from tcptrace.tracer import loader
from tcptrace.tracer.btf import Btf
from tcptrace.tracer.capture import Capture
from tcptrace.tracer.schema import KIND

from .lab import Lab
from .tally import Tally

PROGRAM = Path(__file__).parent / "programs" / "both_ends.py"
WORKERS, EACH = 4, 10_000
NOTHING = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit
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


@pytest.fixture
def interrupting(lab: Lab) -> list[str]:
    """A command that has two CPUs interrupt each other: each takes segments for the other."""
    space = lab.namespace()
    every = sum(1 << cpu for cpu in os.sched_getaffinity(0))
    space.run("sh", "-c", f"echo {every:x} >/sys/class/net/lo/queues/rx-0/rps_cpus")
    return space.command(sys.executable, str(PROGRAM), str(WORKERS), str(EACH))


def during(command: list[str], capture: Capture) -> Iterator[np.ndarray]:
    """Give what is captured while a command runs."""
    with subprocess.Popen(command) as load:
        while load.poll() is None:
            yield capture.read()
            time.sleep(0.01)
    assert load.returncode == 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU, nobody to interrupt it")
@pytest.mark.parametrize("second", [True, False])
def test_each_event_is_recorded_or_lost_that_any_program_could_see(
    interrupting: list[str],
    tallies: dict[str, Tally],
    monkeypatch: pytest.MonkeyPatch,
    second: bool,
) -> None:
    attach = loader.attach

    def attached(name: str, instructions: bytes, *more: Any) -> tuple[int, int]:
        nothing = name.endswith("_again") and not second
        return attach(name, NOTHING if nothing else instructions, *more)

    monkeypatch.setattr(loader, "attach", attached)
    # In this process instead of one of its own.
    monkeypatch.setattr(
        capture_module,
        "_load",
        lambda *maps: loader.load(dict(zip(loader.MAPS, maps, strict=True))),
    )
    with Capture.start() as capture:
        began = {kind: tally.read() for kind, tally in tallies.items()}
        batches = list(during(interrupting, capture))
        ended = {kind: tally.read() for kind, tally in tallies.items()}
        capture.detach()
        batches.append(capture.read())
        lost = capture.lost()
    # Before Linux 6.1 no program is kept from what interrupts it.
    kept = any(count.missed for count in ended.values())
    assert (lost > 0) == (kept and not second)
    events = np.concatenate(batches)
    least = most = counted = 0
    for kind, first in began.items():
        times, last = events["time"][events["kind"] == KIND[kind]], ended[kind]
        inside = ((times > first.before) & (times < last.after)).sum()
        around = ((times > first.after) & (times < last.before)).sum()
        seen = last.events - first.events
        assert seen > WORKERS * EACH / 4, kind
        assert inside <= seen, kind
        assert around >= seen or lost, kind
        least, most, counted = least + inside, most + around, counted + seen
    assert least + lost <= counted <= most + lost
