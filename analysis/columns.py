"""Columns of the tables: nullable numbers, words, UTC times, censoring."""

from typing import Any

import numpy as np
import pandas as pd

from tcptrace.analysis.masks import where
from tcptrace.analysis.order import stable_order

_CENSORED = ["none", "left", "right", "both"]


def spread(values: np.ndarray, index: np.ndarray, otherwise: Any) -> np.ndarray:
    """Give ``values[index]``, and `otherwise` where the index is negative."""
    dtype = np.result_type(values.dtype, type(otherwise))
    if not len(values):
        return np.full(len(index), otherwise, dtype)
    result: np.ndarray = values.take(np.maximum(index, 0)).astype(dtype, copy=False)
    result[index < 0] = otherwise
    return result


def utc(nanoseconds: np.ndarray) -> pd.DatetimeIndex:
    """Give UTC times; NEVER, which is NaT's own number, becomes NaT."""
    return pd.DatetimeIndex(nanoseconds.astype("datetime64[ns]"), tz="UTC")


def words(codes: np.ndarray, texts: tuple[str | None, ...]) -> pd.Categorical:
    """Name codes; a code whose name is None becomes null."""
    known = [name for name in texts if name is not None]
    lookup = np.array([-1 if name is None else known.index(name) for name in texts], np.int8)
    return pd.Categorical.from_codes(lookup.take(codes), pd.Index(known, dtype=object))


def names(codes: np.ndarray, known: np.ndarray, texts: list[str]) -> pd.Categorical:
    """Name codes of a list that may hold a name twice; null where not known."""
    where, distinct = pd.factorize(np.array([*texts, ""], object))
    chosen = where[codes[known]]
    used = np.flatnonzero(np.bincount(chosen, minlength=1))[: len(chosen)]
    compact = np.zeros(len(distinct), np.int64)
    compact[used] = np.arange(len(used))
    result = np.full(len(codes), -1)
    result[known] = compact[chosen]
    return pd.Categorical.from_codes(result, pd.Index(distinct[used], dtype=object))


def distinct(numbers: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the different numbers among those known, in order, and each entry's place there.

    The place of what is not known is 0.
    """
    places, found = pd.factorize(numbers[known])
    order = stable_order(found)
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found))
    result = np.zeros(len(numbers), np.int64)
    result[known] = rank.take(places)
    return found[order], result


def nullable(values: np.ndarray, known: np.ndarray) -> Any:
    """Give an Int64 column, null where not known."""
    return pd.arrays.IntegerArray(where(known, values, 0).astype(np.int64, copy=False), ~known)


def censored(left: np.ndarray, right: np.ndarray) -> pd.Categorical:
    """Say which end lies outside the recording: none, left, right or both."""
    codes = left.astype(np.int8) + 2 * right.astype(np.int8)
    return pd.Categorical.from_codes(codes, pd.Index(_CENSORED, dtype=object))
