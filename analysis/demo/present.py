"""An experiment's outcome as text within 80 columns, and as JSON."""

import math
import textwrap
from typing import Any

from tcptrace.analysis.demo.claims import CLAIMS
from tcptrace.analysis.demo.evidence import CONDITIONS, FAILS, HOLDS
from tcptrace.analysis.demo.runner import Run

WIDTH = 80
_SHORT = {HOLDS: "holds", CONDITIONS: "conditional", FAILS: "not here"}


def paragraph(text: str, first: str = "", rest: str | None = None) -> str:
    """Wrap a text; ``first`` and ``rest`` begin its lines."""
    rest = " " * len(first) if rest is None else rest
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )


def text(run: Run) -> str:
    """Tell one experiment: the claims, what happened, what was measured, the verdicts."""
    experiment, findings = run.experiment, run.findings
    lines = [experiment.name.upper(), paragraph(experiment.summary), "", "The texts say"]
    lines += [paragraph(CLAIMS[claim], f"  {claim}  ") for claim in experiment.claims]
    for title, ladder in findings.ladders:
        lines += ["", title, *ladder]
    lines += ["", "Measured"]
    for verdict in findings.verdicts:
        lines.append(f"  {verdict.claim}  {verdict.verdict.upper()}")
        lines.append(paragraph(verdict.measured, " " * 6))
    lines += [paragraph(one, "  Skipped: ") for one in run.skipped]
    lines += [paragraph(one, "  NOT SHOWN: ") for one in findings.failures]
    if run.error:
        lines.append(paragraph(run.error, "  FAILED: "))
    lines += ["", *map(paragraph, run.notes)] if run.notes else []
    files = [f"Recording: {path}" for path in run.recordings]
    files += [f"Capture:   {path}" for path in run.captures]
    if files:
        lines += ["", *files]
    return "\n".join(lines)


def summary(runs: list[Run]) -> str:
    """Tell many experiments in one table."""
    lines = [f"{'experiment':23} {'':2} {'the claim':11} measured"]
    for run in runs:
        name = run.experiment.name
        if not run.shown:
            reason = run.error or "; ".join(run.findings.failures)
            lines.append(paragraph(reason, f"{name:23} {'--':2} NOT SHOWN: ", " " * 27))
            continue
        for verdict in run.findings.verdicts:
            word = _SHORT[verdict.verdict]
            lines.append(paragraph(verdict.brief, f"{name:23} {verdict.claim:2} {word:11} "))
            name = ""
        lines += [paragraph(one, " " * 27 + "skipped: ") for one in run.skipped]
    shown = sum(run.shown for run in runs)
    return "\n".join([*lines, "", f"{shown} of {len(runs)} experiments showed what they are for"])


def _plain(value: Any) -> Any:
    """Replace what is not a number: JSON has no word for it but null."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def as_json(run: Run) -> dict[str, Any]:
    """Give one experiment's outcome for ``--json``."""
    findings, stage = run.findings, run.stage
    return {
        "name": run.experiment.name,
        "summary": run.experiment.summary,
        "shown": run.shown,
        "error": run.error,
        "failures": findings.failures,
        "skipped": run.skipped,
        "claims": [
            {
                "claim": verdict.claim,
                "text": CLAIMS[verdict.claim],
                "verdict": verdict.verdict,
                "brief": verdict.brief,
                "measured": verdict.measured,
            }
            for verdict in findings.verdicts
        ],
        "measured": {name: _plain(value) for name, value in findings.measured.items()},
        "ladders": [{"title": title, "lines": lines} for title, lines in findings.ladders],
        "notes": run.notes,
        "recordings": [str(path) for path in run.recordings],
        "captures": [str(path) for path in run.captures],
        "recording": str(run.recordings[0]) if len(run.recordings) == 1 else None,
        "capture": str(run.captures[0]) if len(run.captures) == 1 else None,
        "report": next((str(one) for one in run.reports), None),
        "netns": {"client": stage.left.inode, "server": stage.right.inode} if stage else None,
    }
