"""Events that wait, found by socket, given back in the order they came."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tcptrace.tracer.held import HeldRows
from tcptrace.tracer.layout import EVENT


def rows(*sockets: int, start: int = 0) -> np.ndarray:
    made = np.zeros(len(sockets), EVENT)
    made["socket"] = sockets
    made["time"] = np.arange(start, start + len(sockets))
    return made


def test_rows_of_a_socket_come_back_oldest_first() -> None:
    held = HeldRows()
    held.put(rows(3, 1, 3))
    held.put(rows(1, 3, start=3))
    assert held.take(np.array([3], np.uint64))["time"].tolist() == [0, 2, 4]
    assert held.take(np.array([3], np.uint64)).tolist() == []
    assert held.take_oldest(9)["time"].tolist() == [1, 3]
    assert len(held) == 0


def test_nothing_is_nothing() -> None:
    held = HeldRows()
    held.put(rows())
    assert len(held.take(np.empty(0, np.uint64))) == 0
    assert len(held.take_oldest(0)) == len(held.take_oldest(5)) == len(held) == 0


@given(st.lists(st.tuples(st.lists(st.integers(1, 6), max_size=900), st.sets(st.integers(1, 7)))))
def test_a_held_list_does_the_same(steps: list[tuple[list[int], set[int]]]) -> None:
    held, plain, time = HeldRows(), list[tuple[int, int]](), 0
    for sockets, taken in steps:
        held.put(rows(*sockets, start=time))
        plain += [(time + i, socket) for i, socket in enumerate(sockets)]
        time += len(sockets)
        got = held.take(np.array(sorted(taken), np.uint64))
        assert got["time"].tolist() == [at for at, socket in plain if socket in taken]
        plain = [(at, socket) for at, socket in plain if socket not in taken]
        oldest = held.take_oldest(len(plain) // 3)
        assert oldest["time"].tolist() == [at for at, _ in plain[: len(plain) // 3]]
        plain = plain[len(plain) // 3 :]
        assert len(held) == len(plain)
