"""Columns of the tables: nullable numbers, words, UTC times, censoring."""

from typing import Any

import numpy as np
import pandas as pd

_CENSORED = ["none", "left", "right", "both"]


def spread(values: np.ndarray, index: np.ndarray, otherwise: Any) -> np.ndarray:
    """Give ``values[index]``, and `otherwise` where the index is negative."""
    result = np.full(len(index), otherwise, np.result_type(values.dtype, type(otherwise)))
    seen = index >= 0
    result[seen] = values[index[seen]]
    return result


def utc(nanoseconds: np.ndarray) -> pd.DatetimeIndex:
    """Give UTC times; NEVER, which is NaT's own number, becomes NaT."""
    return pd.DatetimeIndex(nanoseconds.astype("datetime64[ns]"), tz="UTC")


def words(codes: np.ndarray, texts: tuple[str | None, ...]) -> pd.Categorical:
    """Name codes; a code whose name is None becomes null."""
    known = [name for name in texts if name is not None]
    lookup = np.array([-1 if name is None else known.index(name) for name in texts], np.int8)
    return pd.Categorical.from_codes(lookup[codes], pd.Index(known, dtype=object))


def names(codes: np.ndarray, known: np.ndarray, texts: list[str]) -> pd.Categorical:
    """Name codes of a list that may hold a name twice; null where not known."""
    where, distinct = pd.factorize(np.array([*texts, ""], object))
    lookup = np.where(known, where[np.where(known, codes, 0)], -1)
    used, compact = np.unique(lookup, return_inverse=True)
    offset = int(len(used) > 0 and used[0] == -1)
    return pd.Categorical.from_codes(
        compact - offset, pd.Index(distinct[used[offset:]], dtype=object)
    )


def nullable(values: np.ndarray, known: np.ndarray) -> Any:
    """Give an Int64 column, null where not known."""
    return pd.arrays.IntegerArray(np.where(known, values, 0).astype(np.int64), ~known)


def censored(left: np.ndarray, right: np.ndarray) -> pd.Categorical:
    """Say which end lies outside the recording: none, left, right or both."""
    codes = left.astype(np.int8) + 2 * right.astype(np.int8)
    return pd.Categorical.from_codes(codes, pd.Index(_CENSORED, dtype=object))
