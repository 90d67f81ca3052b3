"""Connections by outcome, who closed, and how complete the recording is."""

from typing import Any

from rich.text import Text

from tcptrace.analysis.counts import outcome_counts
from tcptrace.analysis.findings.finding import several
from tcptrace.analysis.summary import seen_twice
from tcptrace.analysis.text.layout import (
    UNKNOWN,
    WIDTH,
    bar,
    heading,
    line,
    number,
    share,
    table,
)
from tcptrace.analysis.text.words import COUNTERS
from tcptrace.analysis.view import View

_BAR = 30
_OUTCOMES = ("finished", "reset", "refused", "timed_out", "open")
_SIDES = {
    "local": "this end (active close)",
    "remote": "the other end (passive close)",
    "both": "both at once",
    "unknown": "not seen",
}


def section(summary: dict[str, Any], view: View) -> list[Text]:
    """Show how many connections there were, how they went and who closed them."""
    counts = dict(summary["connections"])
    total = counts.pop("total")
    outcomes = outcome_counts(view)
    for name in ("unreachable", "unknown"):
        counts[name] = outcomes.get(name, 0)
    lines = [heading("CONNECTIONS", several(total, "end"))]
    both = seen_twice(view)
    if both:
        lines.append(
            line(
                f"each end is a row: of {several(both, 'connection')} both ends were seen",
                "dim",
            )
        )
    shown = [*_OUTCOMES, *(name for name in ("unreachable", "unknown") if counts[name])]
    lines += _bars({name.replace("_", " "): counts[name] for name in shown}, total)
    sides = summary["closed_by"]
    closed = sum(sides.values())
    lines += [Text(""), heading("WHO CLOSED", several(closed, "end"))]
    return lines + _bars({text: sides[side] for side, text in _SIDES.items()}, closed)


def _bars(counts: dict[str, int], whole: int) -> list[Text]:
    wide = max(len(name) for name in counts)
    room = WIDTH - wide - len("    123456789  100.0 %  ")
    return [
        line(
            f"{name:<{wide}}  {number(count):>9}  {share(count, whole):>7}  "
            f"{bar(count, whole, min(_BAR, room))}".rstrip()
        )
        for name, count in counts.items()
        if count or name in ("finished", "open")
    ] or [line("none")]


def completeness(summary: dict[str, Any], *, verbose: bool) -> list[Text]:
    """Compare what was recorded with what the kernel counted."""
    found = summary["completeness"]
    rows = [
        (
            COUNTERS[name],
            UNKNOWN if pair["recorded"] is None else number(pair["recorded"]),
            UNKNOWN if pair["kernel"] is None else number(pair["kernel"]),
        )
        for name, pair in found["counters"].items()
        if verbose or pair["kernel"] or pair["recorded"]
    ]
    title = heading("COMPLETENESS", "recorded here, and counted by the kernel meanwhile")
    if not found["comparable"]:
        reason = "filters leave connections out" if found["filtered"] else "netns not recorded"
        return [title, line(f"cannot be compared: {reason}", "dim")]
    if not rows:
        return [title, line("nothing to compare", "dim")]
    return [title, *table(("", "recorded", "kernel"), rows)]
