"""Snapshots within a recording: written beside the events, never in their way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tcptrace.tracer.filters import ConnectionFilter
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.selection import Selection
from tcptrace.tracer.session import Session

from .events import End, batch

UNKNOWN = "sockets that made no event are not known"


class Kernel:
    """Gives one batch of events a poll, while there are any."""

    clock_offset_ns = 0

    def __init__(self, *batches: np.ndarray) -> None:
        self.batches = list(batches)

    def read(self) -> np.ndarray:
        return self.batches.pop(0) if self.batches else batch()

    def lost(self) -> int:
        return 0


class Snapshot:
    """One that is there at the poll of that number."""

    def __init__(self, rows: np.ndarray, polls: int = 1, problem: str | None = None) -> None:
        self.rows, self.polls, self.later = rows, polls, problem
        self.problem: str | None = None
        self.closed = False

    def poll(self) -> np.ndarray | None:
        self.polls -= 1
        if self.polls:
            return None
        self.problem = self.later
        return self.rows

    def close(self) -> None:
        self.closed = True


class File:
    """Keeps what is written, by kind and local port."""

    full = due = False

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = []
        self.seen = 0

    def write(self, made: Any, seen: int, lost: int, more: Any = None) -> None:
        kinds, ports = made["kind"].to_pylist(), made["local_port"].to_pylist()
        self.rows += list(zip(kinds, ports, strict=True))
        self.seen = seen


class NoSignals:
    def wait(self, seconds: float) -> None:
        assert seconds <= 1


def existing(port: int, state: str = "ESTABLISHED", detail: int = -1) -> np.ndarray:
    end = End(socket=0, local_port=port)
    return end.row(5, "existing", state, state, detail=detail, pid=7, comm=b"holder")


def session(*batches: np.ndarray, keep: Selection | None = None) -> tuple[Session, File]:
    file = File()
    chosen = ConnectionFilter(keep) if keep else None
    made = Session(Kernel(*batches), file, chosen, NoSignals())  # type: ignore[arg-type]
    return made, file


def never() -> None:
    return None


def test_events_go_on_while_a_snapshot_is_under_way() -> None:
    one = End(local_port=1)
    recorded, file = session(batch(one.opens(1)), batch(one.closes_first(3)), batch(one.gone(6)))
    recorded.ask("start", Snapshot(existing(2), polls=3))
    recorded.complete(never)
    recorded.finish()
    assert [kind for kind, _ in file.rows] == ["state"] * 5 + ["existing"]
    assert recorded.snapshots == {"start": None}


def test_only_the_kernels_events_are_counted_as_events() -> None:
    recorded, file = session(batch(End().opens(1)))
    recorded.ask("start", Snapshot(batch(existing(2), existing(3))))
    recorded.complete(never)
    recorded.finish()
    assert len(file.rows) == 4
    assert recorded.seen == file.seen == 2


def test_what_a_snapshot_lacks_is_kept_by_when_it_was_asked_for() -> None:
    recorded, file = session()
    recorded.ask("start", Snapshot(existing(1), problem="no namespace 5"))
    recorded.complete(never)
    recorded.ask("end", Snapshot(existing(1)))
    recorded.complete(never)
    recorded.finish()
    assert recorded.snapshots == {"start": "no namespace 5", "end": None}
    assert file.rows == [("existing", 1)] * 2


def test_who_will_not_wait_gets_no_snapshot_and_it_is_said() -> None:
    recorded, file = session()
    asked = Snapshot(existing(1), polls=100)
    recorded.ask("end", asked)
    recorded.complete(lambda: "Ctrl-C")
    recorded.finish()
    assert asked.closed
    assert recorded.snapshots == {"end": f"{UNKNOWN}: Ctrl-C"}
    assert file.rows == []


@pytest.mark.parametrize(
    ("keep", "ports"),
    [
        (Selection(local_port=(2,)), [2]),
        (Selection(netns=(1,)), []),
        (Selection(comm=("holder",)), [1, 2]),
        (Selection(pid=(8,)), []),
    ],
)
def test_filters_hold_for_snapshots(keep: Selection, ports: list[int]) -> None:
    recorded, file = session(keep=keep)
    recorded.ask("start", Snapshot(batch(existing(1), existing(2))))
    recorded.complete(never)
    recorded.finish()
    assert [port for _, port in file.rows] == ports


def test_after_recording_only_timewait_sockets_are_of_interest() -> None:
    wait = End().timewait(1, "start")
    recorded, file = session(batch(wait))
    recorded.poll()
    recorded.settle(lambda: "the time is over", "2026-01-01T00:00:00Z", lambda _: None)
    rows = batch(existing(1), existing(2, "TIME_WAIT", detail=250), existing(3, "FIN_WAIT_2", 0))
    recorded.ask("end", Snapshot(rows))
    recorded.complete(never)
    recorded.finish()
    assert [port for kind, port in file.rows if kind == "existing"] == [2, 3]


def test_ends_of_time_waits_older_than_the_recording_are_followed_too() -> None:
    old, young, started = End(local_port=1), End(local_port=2), End(local_port=3)
    recorded, file = session(
        batch(started.timewait(1, "start", 0x1000)),
        batch(),  # settling begins
        batch(young.timewait(6, "start", 0x2000)),
        batch(
            old.timewait(7, "cancel", 0x3000),
            old.timewait(8, "start", 0x3000),
            young.timewait(9, "cancel", 0x2000),
            started.timewait(10, "cancel", 0x1000),
        ),
        batch(old.timewait(11, "cancel", 0x3000), old.timewait(12, "expire", 0x3000)),
    )
    recorded.ask("end", Snapshot(existing(1, "TIME_WAIT", detail=250)))
    recorded.poll()
    recorded.settle(never, "2026-01-01T00:00:00Z", lambda _: None)
    recorded.finish()
    assert file.rows == [
        ("timewait_start", 3),
        ("existing", 1),
        ("timewait_cancel", 1),
        ("timewait_start", 1),
        ("timewait_cancel", 3),
        ("timewait_cancel", 1),
        ("timewait_expire", 1),
    ]


def test_empty_snapshot_is_no_row() -> None:
    recorded, file = session()
    recorded.ask("start", Snapshot(np.empty(0, EVENT)))
    recorded.complete(never)
    recorded.finish()
    assert file.rows == []
