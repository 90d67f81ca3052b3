"""Names that came from outside, made safe to show: terminals, CSV, JSON.

A process chooses its own name (``comm``), so a recording may hold terminal
escapes, text direction marks, newlines or spreadsheet formulas.
"""

import json
import math
import unicodedata
from typing import Any

import pandas as pd

#: Unicode categories that print nothing but change what is around them:
#: control, format (direction marks, zero width), surrogates, line and
#: paragraph separators, private use and unassigned.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})

#: A spreadsheet takes a cell that begins so for a formula (OWASP, CSV Injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def for_terminal(text: str) -> str:
    r"""Replace every character that is not plainly visible by its escape, ``\x1b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(character) if unicodedata.category(character) in _UNSAFE_CATEGORIES else character
        for character in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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
