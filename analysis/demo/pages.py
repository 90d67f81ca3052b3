"""What a demo leaves to look at: a report of each recording, and an index of all."""

from collections.abc import Iterable
from pathlib import Path

from tcptrace.analysis.demo.claims import CLAIMS
from tcptrace.analysis.demo.folder import INDEX
from tcptrace.analysis.demo.runner import Run
from tcptrace.analysis.filters import Filters
from tcptrace.analysis.findings import find
from tcptrace.analysis.hosts import Ends, ends_of, pairings
from tcptrace.analysis.hosts.words import both_sides
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
    experiments = []
    for run in runs:
        ends = [_write_report(recording) for recording in run.recordings]
        experiments.append(_experiment(run, [each for each in ends if each is not None]))
    with new_file(folder / INDEX, force=True) as stream:
        stream.write(document("tcptrace demo", [_head(runs), *experiments]).encode())


def _write_report(recording: Path) -> Ends | None:
    """Write the report of one recording; give what it says to another host's."""
    try:
        view = choose(read(recording), Filters())
    except RecordingError:
        return None  # its experiment says that it failed
    findings = find(view)
    page = render_html(view, summarise(view, findings), findings).encode()
    with new_file(recording.with_suffix(".html")) as stream:
        stream.write(page)
    return ends_of(view)


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


def _experiment(run: Run, ends: list[Ends]) -> Html:
    """Tell one experiment, with links to its files; ``ends``: of each recording."""
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
        [_lines(line.plain for line in both_sides(pairing)) for pairing in pairings(ends)],
        tag("p", _links(run)),
        note=run.experiment.summary,
    )


def _lines(lines: Iterable[str]) -> Html:
    """Set lines as they are."""
    return tag("pre", [[line, _NEWLINE] for line in lines], class_="scroll")


def _links(run: Run) -> list[Html | str]:
    files = [*run.reports, *run.recordings, *run.captures]
    return [part for path in files for part in (tag("a", path.name, href=path.name), "  ")]
