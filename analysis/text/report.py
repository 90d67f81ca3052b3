"""The whole report: what it says, in what order."""

from typing import Any

from rich.text import Text

from tcptrace.analysis.findings import Finding
from tcptrace.analysis.text import closing, header, overview, states, time_wait
from tcptrace.analysis.text import findings as findings_text
from tcptrace.analysis.view import View


def render(
    view: View,
    summary: dict[str, Any],
    findings: list[Finding],
    *,
    by: str | None = None,
    verbose: bool = False,
) -> list[Text]:
    """Lay the report out as lines of at most 80 columns.

    ``summary``: of :func:`tcptrace.analysis.summary.summarise` for the same view.
    ``by``: one of ``groups.GROUPINGS``, adds that table. ``verbose``: more rows, and
    why each finding matters and where that is written.
    """
    lines = header.section(view, summary)
    if not summary["connections"]["total"]:
        return lines
    sections = [
        overview.section(summary, view),
        findings_text.section(findings, verbose=verbose),
        closing.by_group(view, by, verbose=verbose) if by else [],
        closing.active_closers(summary, verbose=verbose),
        closing.sides(view, verbose=verbose),
        time_wait.section(view, summary),
        closing.close_wait(summary, verbose=verbose),
        states.section(summary),
        closing.failures(view, verbose=verbose),
        overview.completeness(summary, verbose=verbose),
    ]
    for section in sections:
        if section:
            lines += [Text(""), *section]
    return lines
