"""Findings: rules that look at a recording and say what to do about it.

Each module holds the rules on one subject. A rule takes a
:class:`tcptrace.analysis.filters.View` and yields findings, none on a healthy
recording; thresholds are named constants with their reason.
"""

from tcptrace.analysis.findings import closing, failures, ports, recording, stuck, time_wait
from tcptrace.analysis.findings.finding import ORDER, Finding, Severity
from tcptrace.analysis.view import View

__all__ = ["Finding", "Severity", "find"]

_RULES = (
    *recording.RULES,
    *ports.RULES,
    *stuck.RULES,
    *time_wait.RULES,
    *closing.RULES,
    *failures.RULES,
)


def find(view: View) -> list[Finding]:
    """Apply every rule; the worst findings first."""
    found = [finding for rule in _RULES for finding in rule(view)]
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))
