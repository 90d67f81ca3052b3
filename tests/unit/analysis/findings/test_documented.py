"""docs/reports.md against the rules."""

import re
from pathlib import Path

from tcptrace.analysis import findings
from tcptrace.analysis.findings.cases import CASES
from tcptrace.analysis.findings.failures import _FAILURES

DOCS = Path(__file__).parents[4] / "docs" / "reports.md"
TABLE = dict(re.findall(r"^\| `([a-z0-9-]+)`( \*)? \|", DOCS.read_text(), re.MULTILINE))


def written():
    """The ids in the rules' source: no recording has all findings at once."""
    found = {f"connects-{outcome.replace('_', '-')}" for outcome in _FAILURES}
    for path in Path(findings.__file__).parent.glob("*.py"):
        found |= set(re.findall(r'^ +id="([a-z0-9-]+)"', path.read_text(), re.MULTILINE))
    return found


def test_every_finding_is_documented():
    assert set(TABLE) == written()


def test_those_that_timeline_can_draw_are_marked():
    assert {name for name, mark in TABLE.items() if mark} == set(CASES)
