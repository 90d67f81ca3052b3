"""TIME_WAIT as the timers tell it, held against the functions that make and end it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from .duo import Duo
from .lab import Lab
from .net import Namespace
from .scenarios import REPEATS, orderly
from .traffic import Socket
from .witness import KINDS, Witness, missing

CLIENT_PORT = 40000
NEAR = 100_000  # ns

# What happened to a socket: the kind, its two ends, and how often the same had happened before.
Fact = tuple[str, tuple[str, int, str, int], int]


@pytest.fixture
def witness() -> Iterator[Witness]:
    reason = missing()
    if reason and os.environ.get("TCPTRACE_REQUIRE_KPROBES") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    made = Witness()
    yield made
    made.close()


def numbered(whats: list[tuple[str, tuple[str, int, str, int]]]) -> list[Fact]:
    before: Counter[Any] = Counter()
    facts = []
    for kind, socket in whats:
        facts.append((kind, socket, before[kind, socket]))
        before[kind, socket] += 1
    return facts


def recorded(recording: Any, namespace: Namespace) -> dict[Fact, int]:
    """What tcptrace recorded of a namespace's timewait sockets, in order, and when (ns)."""
    events = recording.events
    own = events[(events["netns"] == namespace.inode) & events["kind"].isin(KINDS)]
    times = own["time"].astype("int64") - recording.header["clock_offset_ns"]
    ends = own[["local_address", "local_port", "remote_address", "remote_port"]]
    rows = without_moves(
        list(zip(times, own["kind"], ends.itertuples(index=False, name=None), strict=True))
    )
    facts = numbered([(kind, socket) for _, kind, socket in rows])
    return dict(zip(facts, (time for time, _, _ in rows), strict=True))


def without_moves(rows: list[tuple[int, Any, Any]]) -> list[tuple[int, Any, Any]]:
    """A timer that expires or is moved is cancelled first: no socket is by that."""
    kept: list[tuple[int, Any, Any]] = []
    for row in rows:
        time, kind, socket = row
        cancelled = bool(kept) and kept[-1][1:] == ("timewait_cancel", socket)
        if cancelled and kind != "timewait_cancel" and time - kept[-1][0] < NEAR:
            kept.pop()
            if kind == "timewait_start":
                continue
        kept.append(row)
    return kept


def in_one_piece(first: Socket, second: Socket) -> None:
    """Close so that the first holds a full socket until TIME_WAIT begins."""
    first.shut()
    second.read_to_end()
    second.close()
    first.read_to_end()
    first.close()


def test_each_time_wait_begins_and_ends_when_the_kernel_says(lab: Lab, witness: Witness) -> None:
    four, six, again = Duo(lab), Duo(lab, family=6), Duo(lab)
    recorder = lab.record()
    for near, far in four.connect_many(REPEATS):
        orderly(near, far)
    for near, far in six.connect_many(REPEATS):
        in_one_piece(far, near)
    for _ in range(REPEATS):  # each takes the place of the one before
        near, far = again.connect(CLIENT_PORT)
        orderly(far, near)
        again.pair.server.wait_for(TIME_WAIT=1, FIN_WAIT_2=0)
        again.pair.client.wait_quiet()
    waiting = (four.pair.client, six.pair.server, again.pair.server)
    for namespace in waiting:
        namespace.wait_for(80, 0.5, TIME_WAIT=0, FIN_WAIT_2=0)
    recorder.stop()
    recording = recorder.read()
    assert recording.lost == 0

    ends: Counter[str] = Counter()
    late: list[tuple[str, int]] = []
    for namespace in waiting:
        calls = witness.calls(namespace.inode)
        facts = numbered([(call.kind, call.socket) for call in calls])
        told = recorded(recording, namespace)
        assert sorted(told) == sorted(facts)
        # What one CPU did has one order; two CPUs' timers expire side by side.
        cpus = {fact: call.cpu for fact, call in zip(facts, calls, strict=True)}
        for cpu in set(cpus.values()):
            on_it = [fact for fact in facts if cpus[fact] == cpu]
            assert [fact for fact in told if cpus[fact] == cpu] == on_it
        ends.update(kind for kind, *_ in facts)
        late += [(f[0], told[f] - c.time) for f, c in zip(facts, calls, strict=True)]
    assert ends == {
        "timewait_start": 3 * REPEATS,
        "timewait_cancel": REPEATS - 1,
        "timewait_expire": 2 * REPEATS + 1,
    }
    times = pd.DataFrame(late, columns=["kind", "ns"])
    summary = times.groupby("kind")["ns"].describe().to_string()
    sys.stdout.write(f"recorded so much later than the function was called:\n{summary}\n")
    assert times["ns"].abs().max() <= NEAR, summary
