"""Sorting by key and place together is what numpy's stable sorts do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tcptrace.analysis.order import numbered, order_within, ranks, stable_order

TYPES = st.sampled_from([np.int8, np.uint16, np.uint32, np.int64, np.uint64])


def of_any_type(size: int) -> st.SearchStrategy[np.ndarray]:
    return TYPES.flatmap(
        lambda dtype: arrays.arrays(dtype, size, elements=arrays.from_dtype(np.dtype(dtype)))
    )


@given(st.integers(0, 40).flatmap(of_any_type))
def test_any_integers_are_sorted_as_numpy_sorts_them(keys: np.ndarray) -> None:
    before = keys.copy()
    np.testing.assert_array_equal(stable_order(keys), np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(keys, before)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5))))
def test_within_groups_entries_of_one_time_keep_their_order(pairs: list[tuple[int, int]]) -> None:
    groups = np.array([group for group, _ in pairs], np.int64)
    times = np.array([time for _, time in pairs], np.int64)
    np.testing.assert_array_equal(order_within(groups, times), np.lexsort((times, groups)))


@given(st.integers(0, 40).flatmap(of_any_type))
def test_equal_numbers_have_equal_ranks_in_order(values: np.ndarray) -> None:
    before = values.copy()
    np.testing.assert_array_equal(ranks(values), np.unique(values, return_inverse=True)[1])
    np.testing.assert_array_equal(values, before)


def test_kernel_addresses_far_apart_keep_their_order() -> None:
    keys = np.array([0xFFFFFFFFFFFFFFC0, 0, 0xFFFF888000000940, 0, 1, 0xFFFF888000000940], "u8")
    assert stable_order(keys).tolist() == [1, 3, 4, 2, 5, 0]


@given(st.lists(st.booleans()))
def test_groups_are_numbered_by_their_first(rest: list[bool]) -> None:
    begins = np.array([True, *rest])
    np.testing.assert_array_equal(numbered(begins), np.cumsum(begins) - 1)


def test_no_elements_are_in_no_group() -> None:
    assert numbered(np.zeros(0, bool)).tolist() == []
