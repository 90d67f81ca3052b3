import json

import pandas as pd
import pytest

from tcptrace.analysis.sanitize import for_terminal, guard_formulas, to_json


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nginx", "nginx"),
        ("caf\u00e9", "caf\u00e9"),
        ("\u4e2d\u6587", "\u4e2d\u6587"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028end", "line\\u2028end"),
        ("\x7f", "\\x7f"),
    ],
)
def test_terminals_get_only_visible_characters(name, shown):
    assert for_terminal(name) == shown


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_disarmed(start):
    column = pd.Series([f"{start}cmd|' /C calc'!A0", "curl", None], dtype="category")
    assert guard_formulas(column).tolist()[:2] == [f"'{start}cmd|' /C calc'!A0", "curl"]
    assert guard_formulas(column).isna().tolist() == [False, False, True]


def test_json_is_plain_ascii_and_reads_back():
    value = {"comm": "\x1b]0;x\x07\u202e\x7f", "n": [1, float("nan"), float("inf"), None]}
    text = to_json(value)
    assert text.isascii()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert json.loads(text) == {"comm": "\x1b]0;x\x07\u202e\x7f", "n": [1, None, None, None]}
