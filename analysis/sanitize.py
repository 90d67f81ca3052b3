"""Names that came from outside, made safe to show: terminals, CSV, JSON.

A process chooses its own name (``comm``), so a recording may hold terminal
escapes, text direction marks, newlines or spreadsheet formulas.
"""

import json
import math
from typing import Any

import pandas as pd

from tcptrace.tracer.printable import for_terminal

__all__ = ["for_terminal", "guard_formulas", "to_json"]

#: A spreadsheet takes a cell that begins so for a formula (OWASP, CSV Injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def guard_formulas(column: pd.Series) -> pd.Series:
    """Put an apostrophe before each text a spreadsheet would run as a formula.

    Nulls stay null. The column comes back as strings.
    """
    text = column.astype("string")
    return text.mask(text.str.startswith(_FORMULA_STARTS).fillna(False), "'" + text)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """Write JSON in plain ASCII, so that it is safe on a terminal too.

    NaN and infinities, which JSON does not know, become null.
    """
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=True, allow_nan=False)
    return text.replace("\x7f", "\\u007f")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
