"""The record loop: what is written when, what is counted, what settling leaves out."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest

from tcptrace.tracer import session as module
from tcptrace.tracer.filters import ConnectionFilter
from tcptrace.tracer.selection import Selection
from tcptrace.tracer.session import Session
from tcptrace.tracer.stop import Stop

from .events import End, batch

SINCE = "2026-01-01T00:00:00Z"
CLIENT = End(socket=0x1000)
OTHER = End(socket=0x2000, local_port=50000)


class Kernel:
    """Gives one batch of events a poll, while there are any."""

    clock_offset_ns = 0

    def __init__(self, *batches: np.ndarray, lost: int = 0) -> None:
        self.batches, self.lost_now = list(batches), lost

    def read(self) -> np.ndarray:
        return self.batches.pop(0) if self.batches else batch()

    def lost(self) -> int:
        return self.lost_now


class File:
    """Keeps what is written: kinds and ports of each batch, and its totals."""

    full = due = False

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, int]]] = []
        self.totals: list[tuple[int, int, dict[str, Any]]] = []

    def write(self, rows: Any, seen: int, lost: int, more: dict[str, Any]) -> None:
        kinds, ports = rows["kind"].to_pylist(), rows["local_port"].to_pylist()
        self.batches.append(list(zip(kinds, ports, strict=True)))
        self.totals.append((seen, lost, more))

    @property
    def rows(self) -> list[tuple[str, int]]:
        return [row for one in self.batches for row in one]


class Unhurried:
    """A :class:`Stop` that nothing stops."""

    def wait(self, seconds: float) -> None:
        pass


def make(kernel: Kernel, file: File, wanted: Selection | None = None) -> Session:
    keep = ConnectionFilter(wanted) if wanted else None
    return Session(kernel, file, keep, Unhurried())  # type: ignore[arg-type]


def show(_: Session) -> None:
    pass


def ended(kernel: Kernel) -> Any:
    return lambda: None if kernel.batches else "done"


def test_everything_pending_is_read_once_more_after_the_end() -> None:
    kernel, file = Kernel(batch(CLIENT.opens(0))), File()
    session = make(kernel, file)
    assert session.run(lambda: "at once", show) == "at once"
    kernel.batches = [batch(CLIENT.closes_first(5))]
    session.finish()
    assert len(file.rows) == 4


def test_few_events_are_written_when_it_is_time_and_many_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FLUSH_ROWS", 4)
    kernel, file = Kernel(batch(CLIENT.opens(0)), batch(OTHER.opens(5))), File()
    session = make(kernel, file)
    session.poll()
    assert file.batches == []
    session.poll()
    assert [len(rows) for rows in file.batches] == [4]
    kernel.batches = [batch(CLIENT.closes_first(9))]
    session.poll()
    assert len(file.batches) == 1
    monkeypatch.setattr(module, "FLUSH", 0)
    session.poll()
    assert [len(rows) for rows in file.batches] == [4, 2]


def test_nothing_is_written_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH", 0)
    file = File()
    make(Kernel(batch(), batch()), file).poll()
    assert file.batches == []


def test_file_that_waits_for_its_time_is_told_that_it_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FLUSH", 0)
    file = File()
    file.due = True
    make(Kernel(), file).poll()
    assert file.batches == [[]]


def test_nothing_is_taken_for_a_file_that_is_full() -> None:
    kernel, file = Kernel(batch(CLIENT.opens(0))), File()
    session = make(kernel, file)
    file.full = True
    session.poll()
    session.finish()
    assert (file.batches, session.seen) == ([], 0)


def test_totals_are_the_kernels_and_not_the_filters() -> None:
    kernel, file = Kernel(batch(CLIENT.opens(0), OTHER.opens(1)), lost=3), File()
    session = make(kernel, file, Selection(local_port=(50000,)))
    session.run(ended(kernel), show)
    session.finish()
    assert file.rows == [("state", 0), ("state", 50000)]
    assert file.totals == [(4, 3, {})]
    assert (session.seen, session.opened, session.lost) == (4, 2, 3)


def test_what_was_lost_is_told_behind_what_the_full_ring_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FLUSH_ROWS", 4)
    kernel, file = Kernel(batch(*[CLIENT.opens(time) for time in range(6)])), File()
    session = make(kernel, file)
    kernel.lost_now = 7  # what came once the ring was full of these: after all of them
    session.poll()
    assert [lost for _, lost, _ in file.totals] == [0, 0, 0]
    kernel.batches = [batch(CLIENT.closes_first(9), CLIENT.closes_first(10))]
    session.poll()
    session.finish()
    assert [lost for _, lost, _ in file.totals] == [0, 0, 0, 7]


def test_unwanted_time_waits_are_not_waited_for() -> None:
    kernel, file = (
        Kernel(batch(CLIENT.timewait(0, "start", 1), OTHER.timewait(1, "start", 2))),
        File(),
    )
    session = make(kernel, file, Selection(local_port=(50000,)))
    session.poll()
    assert len(session.waiting) == 1


def settled(*later: np.ndarray, seconds: float = 60) -> tuple[Session, File]:
    """A session with a TIME_WAIT at 0x9000 that settles while `later` comes."""
    kernel, file = Kernel(batch(CLIENT.timewait(0, "start"))), File()
    session = make(kernel, file)
    session.run(ended(kernel), show)
    # The first of these comes before settling begins.
    kernel.batches = [batch(OTHER.closes_first(1)), *later]
    deadline = time.monotonic() + seconds
    session.settle(lambda: "over" if time.monotonic() > deadline else None, SINCE, show)
    session.finish()
    return session, file


def test_settling_follows_what_had_begun_and_ends_with_it() -> None:
    session, file = settled(
        batch(CLIENT.timewait(10, "cancel"), CLIENT.timewait(11, "start")),
        batch(OTHER.closes_second(12), OTHER.timewait(13, "start", 0x9999)),
        batch(CLIENT.timewait(20, "expire")),
    )
    assert [kind for kind, _ in file.rows] == [
        "timewait_start",
        "state",
        "state",
        "timewait_cancel",
        "timewait_start",
        "timewait_expire",
    ]
    assert not session.waiting
    assert file.totals[0][2] == {}
    assert file.totals[-1][2] == {"settling": SINCE}


def test_settling_tells_by_whom_a_time_wait_was_replaced() -> None:
    _, file = settled(
        batch(CLIENT.timewait(10, "cancel")),
        batch(CLIENT.row(11, "timewait_reused", "TIME_WAIT", "NEW_SYN_RECV", socket=0x9000)),
    )
    assert ("timewait_cancel", 40000) in file.rows

    _, file = settled(
        batch(
            CLIENT.opens(9),
            CLIENT.timewait(10, "cancel"),
            CLIENT.row(11, "timewait_reused", "TIME_WAIT", "NEW_SYN_RECV", socket=0x9000),
        )
    )
    assert [kind for kind, _ in file.rows[3:]] == [
        "state",
        "state",
        "timewait_cancel",
        "timewait_reused",
    ]


def test_settling_that_runs_out_of_time_says_how_many_are_left() -> None:
    session, _ = settled(seconds=0.05)
    assert len(session.waiting) == 1


def test_signals_are_kept_one_by_one_and_cut_waiting_short() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        began = time.monotonic()
        stop.wait(30)
        assert time.monotonic() - began < 10
        assert {stop.take(), stop.take()} == {signal.SIGTERM, signal.SIGINT}
        assert stop.take() is None
    assert signal.getsignal(signal.SIGTERM) == before
