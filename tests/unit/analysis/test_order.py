"""Sorting by key and place together is what numpy's stable sorts do."""

from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tcptrace.analysis import order
from tcptrace.analysis.order import (
    alike,
    numbered,
    order_within,
    sorted_with_places,
    stable_order,
)

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


@given(st.integers(0, 40).flatmap(of_any_type))
def test_the_keys_are_given_sorted_with_their_places(keys: np.ndarray) -> None:
    found, places = sorted_with_places(keys)
    np.testing.assert_array_equal(found, np.sort(keys))
    np.testing.assert_array_equal(places, np.argsort(keys, kind="stable"))
    assert found.dtype == keys.dtype


def test_what_is_in_order_for_long_may_not_be_in_the_end() -> None:
    keys = np.append(np.arange(1000), [5, 1000])
    np.testing.assert_array_equal(stable_order(keys), np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(stable_order(keys[:1000]), np.arange(1000))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5))))
def test_within_groups_entries_of_one_time_keep_their_order(pairs: list[tuple[int, int]]) -> None:
    groups = np.array([group for group, _ in pairs], np.int64)
    times = np.array([time for _, time in pairs], np.int64)
    np.testing.assert_array_equal(order_within(groups, times), np.lexsort((times, groups)))


def assert_alike(columns: list[np.ndarray]) -> None:
    before = [column.copy() for column in columns]
    numbers = alike(*columns).tolist()
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert len(set(zip(rows, numbers, strict=True))) == len(set(rows)) == len(set(numbers))
    assert sorted(set(numbers)) == list(range(len(set(rows))))
    for column, was in zip(columns, before, strict=True):
        np.testing.assert_array_equal(column, was)


COLUMNS = st.integers(0, 40).flatmap(lambda size: st.lists(of_any_type(size), min_size=1))


@given(COLUMNS)
def test_equal_entries_have_equal_numbers_and_others_different_ones(
    columns: list[np.ndarray],
) -> None:
    assert_alike(columns)


@given(COLUMNS, st.sampled_from([(1,), (0,), (0, order._FACTORS[0])]))
def test_even_if_their_mixes_agree(columns: list[np.ndarray], factors: tuple[int, ...]) -> None:
    with patch.object(order, "_FACTORS", factors):
        assert_alike(columns)


def test_many_entries_with_few_different_ones() -> None:
    rng = np.random.default_rng(1)
    assert_alike([rng.integers(0, most, 50_000) << low for most, low in ((9, 0), (300, 32))])


def test_kernel_addresses_far_apart_keep_their_order() -> None:
    keys = np.array([0xFFFFFFFFFFFFFFC0, 0, 0xFFFF888000000940, 0, 1, 0xFFFF888000000940], "u8")
    assert stable_order(keys).tolist() == [1, 3, 4, 2, 5, 0]


@given(st.lists(st.booleans()))
def test_groups_are_numbered_by_their_first(rest: list[bool]) -> None:
    begins = np.array([True, *rest])
    np.testing.assert_array_equal(numbered(begins), np.cumsum(begins) - 1)


def test_no_elements_are_in_no_group() -> None:
    assert numbered(np.zeros(0, bool)).tolist() == []
