"""Lines, tables, bars and numbers for a report 80 columns wide."""

import re
import textwrap
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tcptrace.analysis.sanitize import for_terminal

WIDTH = 80
_INDENT = "  "
_BLOCKS = " ▏▎▍▌▋▊▉█"
_COMMAND = re.compile("`[^`]+`")
_NBSP = "\u00a0"
_SPARKS = "▁▂▃▄▅▆▇█"

UNKNOWN = "?"
NOT_REACHED = "-"


def number(value: int | None) -> str:
    """Write a count: ``12,345``; None is not known."""
    return UNKNOWN if value is None else f"{value:,}"


def share(part: int, whole: int) -> str:
    """Write a part of a whole: ``12.3 %``; nothing of nothing is empty."""
    return f"{part / whole:.1%}".replace("%", " %") if whole else ""


def duration(seconds: float | None) -> str:
    """Write a duration in the unit that suits it: ``35 us``, ``1.20 ms``, ``61.3 s``."""
    if seconds is None:
        return NOT_REACHED
    for factor, unit in ((1e6, "us"), (1e3, "ms"), (1, "s")):
        value = seconds * factor
        if value < 999.5 or unit == "s":
            digits = 0 if unit == "us" or value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:,.{digits}f} {unit}"
    raise AssertionError


def bar(part: float, whole: float, width: int) -> str:
    """Draw a part of a whole in eighths of a character; something is never nothing."""
    eighths = round(part / whole * width * 8) if whole else 0
    if part > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return _BLOCKS[8] * full + (_BLOCKS[rest] if rest else "")


def sparkline(values: Sequence[float]) -> str:
    """Draw values as a row of bars, the largest the tallest; zero is a space."""
    top = max(values, default=0)
    return "".join(" " if value <= 0 else _SPARKS[min(7, int(value / top * 8))] for value in values)


def heading(title: str, note: str = "") -> Text:
    """Start a section."""
    line = Text(title, style="bold")
    if note:
        line.append(f"  {note}", style="dim")
    return line


def line(text: str, style: str = "", indent: int = 1) -> Text:
    """Make one line, cut to the width; escapes in it are shown, not obeyed."""
    return Text(fit(_INDENT * indent + for_terminal(text), WIDTH), style=style)


def wrapped(text: str, style: str = "", indent: int = 1, label: str = "") -> list[Text]:
    """Break a text into lines, not within `commands`; ``label`` stands before the first."""
    start = _INDENT * indent
    unbroken = _COMMAND.sub(lambda command: command[0].replace(" ", _NBSP), for_terminal(text))
    # textwrap counts characters; East Asian ones are two columns wide.
    lines = textwrap.wrap(
        unbroken,
        max(WIDTH - (cell_len(unbroken) - len(unbroken)), WIDTH // 2),
        initial_indent=start + label,
        subsequent_indent=start + " " * len(label),
        break_on_hyphens=False,
    )
    return [Text(fit(each.replace(_NBSP, " "), WIDTH), style=style) for each in lines]


def fit(text: str, width: int) -> str:
    """Cut a text that is too wide, marking it with ``…``."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1, indent: int = 1
) -> list[Text]:
    """Lay out rows under a header; the first ``left`` columns to the left, others right.

    If it is too wide, the widest of the left columns give way.
    """
    cells = [[for_terminal(cell) for cell in row] for row in rows]
    widths = [
        max([cell_len(name), *(cell_len(row[column]) for row in cells)])
        for column, name in enumerate(header)
    ]
    room = WIDTH - len(_INDENT) * indent - 2 * (len(header) - 1)
    while sum(widths) > room:
        widest = max(range(left), key=widths.__getitem__)
        if widths[widest] <= 6:
            break
        widths[widest] -= 1
    lines = [Text(_row(header, widths, left, indent), style="dim")]
    return lines + [Text(_row(row, widths, left, indent)) for row in cells]


def _row(cells: Sequence[str], widths: Sequence[int], left: int, indent: int) -> str:
    placed = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        shown = fit(cell, width)
        space = " " * (width - cell_len(shown))
        placed.append(shown + space if column < left else space + shown)
    return (_INDENT * indent + "  ".join(placed)).rstrip()


def more(left_out: int, what: str, hint: str = "-v shows more") -> list[Text]:
    """Say how many rows a section left out; nothing if none."""
    return [line(f"... and {number(left_out)} more {what} ({hint})", "dim")] if left_out else []
