"""What a demo leaves to look at: a report of each recording, and an index of all."""

from pathlib import Path

from tcptrace.analysis.demo.claims import CLAIMS
from tcptrace.analysis.demo.folder import INDEX
from tcptrace.analysis.demo.runner import Run
from tcptrace.analysis.filters import Filters
from tcptrace.analysis.findings import find
from tcptrace.analysis.html import render_html
from tcptrace.analysis.html.markup import Html, tag
from tcptrace.analysis.html.page import document
from tcptrace.analysis.html.tables import section, table
from tcptrace.analysis.output import new_file
from tcptrace.analysis.recording import read
from tcptrace.analysis.summary import summarise
from tcptrace.analysis.view import choose
from tcptrace.tracer.errors import RecordingError

_NEWLINE = Html("\n")


def write_pages(runs: list[Run], folder: Path) -> None:
    """Write ``NAME.html`` beside every recording, and ``index.html``.

    Raises :class:`tcptrace.tracer.errors.OutputError`.
    """
    for run in runs:
        for recording in run.recordings:
            _write_report(recording, recording.with_suffix(".html"))
    with new_file(folder / INDEX, force=True) as stream:
        stream.write(document("tcptrace demo", [_head(runs), *map(_experiment, runs)]).encode())


def _write_report(recording: Path, out: Path) -> None:
    try:
        view = choose(read(recording), Filters())
    except RecordingError:
        return  # its experiment says that it failed
    findings = find(view)
    page = render_html(view, summarise(view, findings), findings).encode()
    with new_file(out) as stream:
        stream.write(page)


def _head(runs: list[Run]) -> Html:
    shown = sum(run.shown for run in runs)
    rows = [
        (
            tag("a", run.experiment.name, href=f"#{run.experiment.name}"),
            run.experiment.summary,
            run.status,
        )
        for run in runs
    ]
    return tag(
        "header",
        tag("h1", "tcptrace demo"),
        tag("p", f"{shown} of {len(runs)} experiments showed what they are for"),
        table(("Experiment", "", ""), rows, left=3),
    )


def _experiment(run: Run) -> Html:
    """Tell one experiment, with links to its files."""
    findings = run.findings
    verdicts = [
        (one.claim, CLAIMS[one.claim], one.verdict, one.measured) for one in findings.verdicts
    ]
    wrong = [f"Not shown: {one}" for one in findings.failures]
    wrong += [f"Failed: {run.error}"] if run.error else []
    return section(
        run.experiment.name,
        run.experiment.name,
        [tag("p", text, class_="warning") for text in wrong],
        [tag("p", f"Skipped: {text}") for text in run.skipped],
        [tag("p", note, class_="note") for note in run.notes],
        table(("", "The texts say", "Verdict", "Measured"), verdicts, left=4) if verdicts else None,
        [
            tag(
                "div",
                tag("h3", title),
                tag("pre", [[line, _NEWLINE] for line in lines], class_="scroll"),
            )
            for title, lines in findings.ladders
        ],
        tag("p", _links(run)),
        note=run.experiment.summary,
    )


def _links(run: Run) -> list[Html | str]:
    files = [*run.reports, *run.recordings, *run.captures]
    return [part for path in files for part in (tag("a", path.name, href=path.name), "  ")]
