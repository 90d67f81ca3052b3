"""The rings of several CPUs as one stream: what happens to one socket stays in its order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.ring import RingReader
from tcptrace.tracer.rings import Rings, ring_count

from .test_ring import Ring

MB = 1 << 20


@pytest.mark.parametrize(
    ("buffer_size", "cpus", "count"),
    [
        (64 * MB, 1, 1),
        (64 * MB, 2, 2),
        (64 * MB, 3, 2),
        (64 * MB, 4, 4),
        (64 * MB, 128, 4),
        (512 * MB, 128, 32),
        (16 * MB, 8, 1),
        (4096, 8, 1),
    ],
)
def test_as_many_rings_as_cpus_and_none_too_small(buffer_size: int, cpus: int, count: int) -> None:
    assert ring_count(buffer_size, cpus) == count


@contextmanager
def _machine(cpus: int, reader: Any = RingReader) -> Iterator[tuple[list[Ring], Rings]]:
    made = [Ring() for _ in range(cpus)]
    for ring in made:
        ring.reader.__class__ = reader
    try:
        yield made, Rings([ring.reader for ring in made])
    finally:
        for ring in made:
            ring.close()


def _times(events: np.ndarray) -> list[int]:
    times: list[int] = events["time"].tolist()
    return times


def test_events_of_two_cpus_come_in_order_of_time() -> None:
    with _machine(2) as ((one, other), rings):
        for time, ring in enumerate((other, one, one, other, one, other, other)):
            ring.put(time=time)
        assert rings.pending() == 7
        assert _times(rings.read()) == list(range(7))
        assert rings.pending() == 0
        assert len(rings.read()) == 0


def test_what_is_behind_an_unfinished_event_comes_before_what_follows_it() -> None:
    with _machine(2) as ((one, other), rings):
        one.put(time=1)
        unfinished = one.put(time=2, busy=True)
        one.put(time=3, socket=7)
        other.put(time=4, socket=7)
        assert rings.busy()
        assert _times(rings.read()) == [1]
        assert rings.pending() == 3
        one.finish(unfinished)
        assert _times(rings.read()) == [2, 3, 4]


def test_everything_is_had_when_no_more_will_come() -> None:
    with _machine(2) as ((one, other), rings):
        one.put(busy=True)
        one.put(time=3)
        other.put(time=4)
        assert len(rings.read()) == 0
        assert _times(rings.read(everything=True)) == [4]
        assert rings.pending() == 2


class _Interrupted(RingReader):
    """Something happens on the machine before each look at a ring."""

    happens: Any = None

    def pending(self) -> int:
        self.happens()
        return super().pending()

    def peek(self) -> np.ndarray:
        self.happens()
        return super().peek()


def test_an_event_waits_for_one_before_it_that_came_too_late_to_be_found() -> None:
    with _machine(2, _Interrupted) as ((one, other), rings):
        one.put(time=1)
        looks = 0

        def happens() -> None:
            nonlocal looks
            looks += 1
            if looks == 6:  # both were counted (pending), the first was read (peek)
                one.put(time=2, socket=7)
                other.put(time=3, socket=7)

        _Interrupted.happens = staticmethod(happens)
        assert _times(rings.read()) == [1]
        assert looks >= 6
        assert rings.pending() == 2
        assert _times(rings.read()) == [2, 3]


@st.composite
def _histories(draw: st.DrawFn) -> list[tuple[int, int, bool, int]]:
    """Steps: (CPU, socket, whether its event takes a while, steps until the next look)."""
    step = st.tuples(
        st.integers(0, 2), st.integers(0, 3), st.booleans(), st.sampled_from([0, 0, 0, 1, 2])
    )
    return draw(st.lists(step, max_size=40))


@given(_histories(), st.booleans())
def test_whatever_happens_while_the_rings_are_looked_at(
    history: list[tuple[int, int, bool, int]], unfinished: bool
) -> None:
    with _machine(3, _Interrupted) as (made, rings):
        steps = iter(history)
        under_way: dict[int, tuple[Ring, int]] = {}  # by socket: it is locked meanwhile
        wait = time = 0

        def happens() -> None:
            nonlocal wait, time
            if wait:
                wait -= 1
                return
            for cpu, socket, slow, wait in steps:
                if socket in under_way:
                    ring, number = under_way.pop(socket)
                    ring.finish(number)
                time += 1
                slow = slow and unfinished
                number = made[cpu].put(busy=slow, time=time, socket=socket)
                if slow:
                    under_way[socket] = made[cpu], number
                if wait:
                    break

        _Interrupted.happens = staticmethod(happens)
        read = [rings.read() for _ in range(len(history) * 3 + 3)]
        for ring, number in under_way.values():
            ring.finish(number)
        read += [rings.read(everything=True)]
        events = np.concatenate(read).view(EVENT)
        assert sorted(_times(events)) == list(range(1, len(history) + 1))
        for socket in range(4):
            times = _times(events[events["socket"] == socket])
            assert times == sorted(times)
        if not unfinished:
            assert _times(events) == sorted(_times(events))
