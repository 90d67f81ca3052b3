"""Findings as text: what was found, the evidence, what to do."""

from rich.text import Text

from tcptrace.analysis.findings import Finding, Severity
from tcptrace.analysis.text.layout import heading, line, wrapped
from tcptrace.analysis.text.words import evidence

_STYLES = {Severity.PROBLEM: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold"}

#: Rows of evidence shown without -v.
_EVIDENCE = 2


def section(findings: list[Finding], *, verbose: bool) -> list[Text]:
    """Show each finding with its evidence and advice; ``verbose``: why, and where it says so."""
    if not findings:
        return [heading("FINDINGS"), line("none")]
    lines = [heading("FINDINGS", f"{len(findings)}")]
    for finding in findings:
        label = f"{finding.severity.upper()}: "
        lines += wrapped(finding.title, _STYLES[finding.severity], 1, label)
        rows = finding.evidence if verbose else finding.evidence[:_EVIDENCE]
        for row in rows:
            lines += wrapped(evidence(row), indent=2, label="- ")
        if verbose:
            lines += wrapped(finding.why, indent=2)
        lines += wrapped(finding.advice, indent=2, label="> ")
        if verbose:
            lines += wrapped(f"[{finding.id}] {finding.source}", "dim", indent=2)
    return lines
