"""Rows are grouped as by pandas' own groupby, whatever the numbers are."""

from collections import Counter
from itertools import chain

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tcptrace.analysis.grouping import grouped, joined

PORTS = st.sampled_from([None, 0, 1, 80, 65535])
NUMBERS = st.sampled_from([None, 0, 1, 65536, 1 << 32, (1 << 63) - 1, -(1 << 63)])
ROWS = st.lists(st.tuples(PORTS, NUMBERS, st.sampled_from([None, "curl", "nginx"])), max_size=30)


def table(rows: list[tuple[int | None, int | None, str | None]]) -> pd.DataFrame:
    one, other, word = zip(*rows, strict=True) if rows else ((), (), ())
    return pd.DataFrame(
        {
            "one": pd.array(one, "Int64"),
            "other": pd.array(other, "Int64"),
            "word": pd.Categorical(word, categories=["curl", "nginx"]),
        }
    )


def keys(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    columns = [[None if pd.isna(value) else value for value in frame[name]] for name in frame]
    return list(zip(*columns, strict=True))


@given(ROWS)
def test_a_row_is_in_the_group_that_has_its_keys(rows: list[tuple[int, int, str]]) -> None:
    found = grouped(table(rows))
    of_groups = keys(found.keys)
    assert [of_groups[group] for group in found.group] == rows
    assert dict(zip(of_groups, found.size, strict=True)) == Counter(rows)


@given(st.lists(ROWS, min_size=1, max_size=3))
def test_groups_of_several_tables_are_those_of_all_rows(
    parts: list[list[tuple[int, int, str]]],
) -> None:
    found = joined([grouped(table(rows)) for rows in parts])
    assert dict(zip(keys(found.keys), found.size, strict=True)) == Counter(
        chain.from_iterable(parts)
    )
