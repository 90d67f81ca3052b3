"""How long connections stayed in each state."""

from typing import Any

from rich.text import Text

from tcptrace.analysis.text.layout import duration, heading, number, table


def section(summary: dict[str, Any]) -> list[Text]:
    """Show the dwell times; quantiles count unfinished stays as "at least so long"."""
    rows = [
        (
            state,
            number(found["count"]),
            duration(found["p50_s"]),
            duration(found["p95_s"]),
            duration(found["max_s"]),
        )
        for state, found in summary["states"].items()
    ]
    if not rows:
        return []
    names = ("state", "ends", "median", "p95", "longest seen")
    return [
        heading("TIME IN EACH STATE", "-: most were still in it at the end"),
        *table(names, rows),
    ]
