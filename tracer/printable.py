"""Names that came from outside, made safe for a terminal."""

import unicodedata

#: Unicode categories that print nothing but change what is around them:
#: control, format (direction marks, zero width), surrogates, line and
#: paragraph separators, private use and unassigned.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})


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
