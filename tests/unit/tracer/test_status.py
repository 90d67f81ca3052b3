"""The status line: on a terminal only, never wider than it."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from tcptrace.tracer import status
from tcptrace.tracer.status import StatusLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr(status.time, "monotonic", lambda: made.now)
    return made


def session(**more: Any) -> Any:
    return SimpleNamespace(**{"seen": 0, "opened": 0, "lost": 0, "waiting": []} | more)


def last(stream: io.StringIO) -> str:
    return stream.getvalue().rpartition("\r\x1b[K")[2]


def test_line_tells_events_rate_time_waits_lost_and_size(clock: Any) -> None:
    stream = Terminal()
    line = StatusLine(lambda: 1_500_000, stream)
    clock.now += 2
    line.show(session(seen=12345, opened=3000, waiting=[0] * 1234, lost=7))
    assert last(stream) == (
        "12,345 events  1,500 connections/s  1,234 in TIME_WAIT  7 lost  1.5 MB"
    )


def test_line_is_written_twice_a_second_at_most(clock: Any) -> None:
    stream = Terminal()
    line = StatusLine(lambda: 0, stream)
    for _ in range(100):
        clock.now += 0.1
        line.show(session())
    assert 15 <= stream.getvalue().count("\r") <= 21


def test_settling_shows_time_and_how_many_have_ended(clock: Any) -> None:
    stream = Terminal()
    line = StatusLine(lambda: 0, stream)
    line.show_settling(session(waiting=[0] * 10))
    clock.now += 31
    line.show_settling(session(waiting=[0] * 4))
    shown = last(stream)
    assert shown.startswith("following TIME_WAITs [")
    assert shown.endswith("31 s, 6 of 10 ended")
    assert shown.count("#") == 12


def test_line_fits_the_terminal(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_columns", lambda stream: 40)
    stream = Terminal()
    line = StatusLine(lambda: 0, stream)
    clock.now += 1
    line.show(session(seen=10**12))
    assert len(last(stream)) <= 39


def test_nothing_is_written_where_there_is_no_terminal(clock: Any) -> None:
    stream = io.StringIO()
    line = StatusLine(lambda: 0, stream)
    for _ in range(3):
        clock.now += 1
        line.show(session())
        line.show_settling(session(waiting=[0]))
    line.clear()
    assert stream.getvalue() == ""


def test_line_is_cleared_for_the_summary(clock: Any) -> None:
    stream = Terminal()
    line = StatusLine(lambda: 0, stream)
    clock.now += 1
    line.show(session())
    line.clear()
    assert stream.getvalue().endswith("\r\x1b[K")
