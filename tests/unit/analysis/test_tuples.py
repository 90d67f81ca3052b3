"""Numbers for four-tuples, and what was there at a time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tcptrace.analysis.tuples import last_before, tuple_ids

small = st.integers(0, 2)
five = st.tuples(small, small, small, small, small)


@given(st.lists(five, max_size=60))
def test_equal_tuples_and_only_they_have_equal_ids(tuples: list[tuple[int, ...]]) -> None:
    columns = np.array(tuples, np.int64).reshape(-1, 5).T
    ids, _ = tuple_ids(*columns)
    for one, its in zip(tuples, ids, strict=True):
        for other, others in zip(tuples, ids, strict=True):
            assert (one == other) == (its == others)


def test_large_numbers_do_not_run_into_each_other() -> None:
    top = np.array([2**32 - 1, 2**32 - 1, 0, 2**32 - 1], np.int64)
    ports = np.array([65535, 65535, 65535, 0], np.int64)
    addresses = np.array([2**32 - 1, 2**33, 2**32 - 1, 2**32 - 1], np.int64)
    ids, _ = tuple_ids(top, addresses, ports, addresses[::-1], ports[::-1])
    assert len(set(ids.tolist())) == 4


entries = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30)


@given(entries, entries)
def test_the_last_entry_at_or_before_a_time_is_found(
    entries: list[tuple[int, int]], queries: list[tuple[int, int]]
) -> None:
    keys, times = np.array(entries, np.int64).reshape(-1, 2).T
    at_keys, at_times = np.array(queries, np.int64).reshape(-1, 2).T
    found = last_before(keys, times, at_keys, at_times)
    for (key, time), place in zip(queries, found, strict=True):
        before = [each for name, each in entries if name == key and each <= time]
        if before:
            assert entries[place] == (key, max(before))
        else:
            assert place == -1
