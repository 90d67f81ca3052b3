"""What a finding is."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much it matters: worth knowing, will hurt, hurts already."""

    INFO = "info"
    WARNING = "warning"
    PROBLEM = "problem"


#: Worst first: the order in which findings are shown.
ORDER = (Severity.PROBLEM, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True)
class Finding:
    """One thing a reader should know or do something about.

    ``evidence``: one dictionary of names and numbers per process, peer or
    destination it was seen at, the weightiest first (keys ending in ``_s`` are
    seconds); never empty. ``why``: why it matters. ``source``: where that is laid
    down: an RFC's section, the kernel's documentation, a man page.
    """

    id: str
    severity: Severity
    title: str
    evidence: list[dict[str, Any]]
    why: str
    advice: str
    source: str

    def as_dict(self) -> dict[str, Any]:
        """Give the finding as ``report --json`` shows it."""
        return {**asdict(self), "severity": str(self.severity)}


#: Rows of evidence kept per finding; its title says how many there are in all.
MOST_EVIDENCE = 5


def several(count: int, what: str) -> str:
    """Write a count and what is counted: ``1 connection``, ``2 connections``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
