"""Rows with the same keys, told by one number: faster than a groupby by many columns."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

_MOST = 1 << 62


@dataclass(frozen=True)
class Grouped:
    """``group``: of each row, from 0 on. ``keys``: one row per group; texts, no categories.

    ``size``: the rows in each group.
    """

    group: np.ndarray
    keys: pd.DataFrame
    size: np.ndarray


def grouped(table: pd.DataFrame) -> Grouped:
    """Group a table's rows by all of its columns; nulls are alike."""
    code, size = np.zeros(len(table), np.int64), 1
    for name in table:
        codes, count = _codes(table[name])
        if size * count >= _MOST:
            code, distinct = pd.factorize(code)
            size = len(distinct)
        code = code * count + codes
        size *= count
    group, distinct = pd.factorize(code)
    first = np.empty(len(distinct), np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]
    return Grouped(group, plain(table.iloc[first]), np.bincount(group, minlength=len(first)))


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Give a small table's categories as texts: they differ from one table to the next."""
    categories = table.select_dtypes("category").columns
    return table.astype(dict.fromkeys(categories, "object")).reset_index(drop=True)


def _codes(column: pd.Series) -> tuple[np.ndarray, int]:
    """Give each value of a column a number, nulls one too, and how many there may be."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(np.int64) + 1, len(column.cat.categories) + 1
    if column.dtype == bool:
        return column.to_numpy(np.int64), 2
    codes, distinct = pd.factorize(column)
    return codes + 1, len(distinct) + 1


def joined(parts: list[Grouped]) -> Grouped:
    """Put the groups of several tables together: equal keys are one group."""
    if len(parts) == 1:
        return parts[0]
    keys = pd.concat([part.keys for part in parts], ignore_index=True)
    number = keys.groupby(list(keys), dropna=False, sort=False).ngroup().to_numpy()
    ends = np.cumsum([len(part.keys) for part in parts])
    group = np.concatenate(
        [number[end - len(part.keys) :][part.group] for end, part in zip(ends, parts, strict=True)]
    )
    sizes = np.concatenate([part.size for part in parts])
    first = ~pd.Series(number).duplicated().to_numpy()
    size = np.bincount(number, sizes, number.max(initial=-1) + 1).astype(np.int64)
    return Grouped(group, keys[first].reset_index(drop=True), size)
