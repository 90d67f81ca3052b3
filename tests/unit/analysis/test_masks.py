"""Choosing by masks is what numpy's own does."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tcptrace.analysis.masks import fill, one_of, where

MASKS = st.lists(st.booleans(), max_size=20).map(lambda mask: np.array(mask, bool))


@given(MASKS, st.booleans(), st.booleans(), st.sampled_from([np.int8, np.int64, np.float64]))
def test_where_takes_numbers_and_arrays(
    mask: np.ndarray, one: bool, other: bool, dtype: type
) -> None:
    values = np.arange(len(mask), dtype=dtype)
    either = values if one else 7, -values if other else 9
    found = where(mask, *either)
    np.testing.assert_array_equal(found, np.where(mask, *either))
    assert found.dtype == np.where(mask, *either).dtype
    # A copy: whoever gets it may change it.
    found[:] = 1
    np.testing.assert_array_equal(values, np.arange(len(mask)))


def test_a_number_of_another_kind_makes_the_result_of_that_kind() -> None:
    found = where(np.array([True, False]), np.array([1, 2]), np.nan)
    np.testing.assert_array_equal(found, [1.0, np.nan])


@given(MASKS)
def test_filling_changes_what_the_mask_says(mask: np.ndarray) -> None:
    values, same = np.arange(len(mask)), np.arange(len(mask))
    fill(values, mask, -1)
    same[mask] = -1
    np.testing.assert_array_equal(values, same)


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5), min_size=1, max_size=3))
def test_one_of_some_numbers(values: list[int], these: list[int]) -> None:
    array = np.array(values, np.int64)
    np.testing.assert_array_equal(one_of(array, *these), np.isin(array, these))
