"""Pandas' values as JSON has them: None for everything unknown."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

#: Seconds are given to the microsecond.
_DIGITS = 6


def text_or_none(value: Any) -> str | None:
    """Turn pandas' missing values into None."""
    return None if pd.isna(value) else str(value)


def integer_or_none(value: Any) -> int | None:
    """Turn pandas' missing values into None."""
    return None if pd.isna(value) else int(value)


def seconds(value: float | None) -> float | None:
    """Round a duration in seconds to the microsecond; None if it is unknown."""
    return None if value is None or pd.isna(value) else round(float(value), _DIGITS)


def utc(time: pd.Timestamp) -> str | None:
    """Write a time as ISO 8601 UTC with nanoseconds; None if it is unknown."""
    if pd.isna(time):
        return None
    text = time.tz_convert("UTC").tz_localize(None).isoformat(timespec="nanoseconds")
    return f"{text}Z"


def rows(table: pd.DataFrame) -> Iterator[Any]:
    """Go through a small table (one already aggregated or cut) as named tuples."""
    yield from table.itertuples(index=False)
