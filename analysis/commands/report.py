"""``tcptrace report``: what a recording tells."""

from pathlib import Path
from typing import Any

import click

from tcptrace.analysis.filters import choose, filter_options, filters_from
from tcptrace.analysis.findings import find
from tcptrace.analysis.groups import GROUPINGS, grouped_by
from tcptrace.analysis.recording import read
from tcptrace.analysis.sanitize import to_json
from tcptrace.analysis.summary import summarise
from tcptrace.analysis.text import render
from tcptrace.analysis.text.show import show


@click.command("report")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.option("--by", type=click.Choice(GROUPINGS), help="Add a table grouped so.")
@click.option("-v", "--verbose", is_flag=True, help="More rows, reasons and sources.")
@filter_options
def command(
    files: tuple[Path, ...], as_json: bool, by: str | None, verbose: bool, **options: Any
) -> None:
    """Say who closed, how long TIME_WAIT lasted, what leaks, and what to do."""
    filters = filters_from(options)
    for place, file in enumerate(files):
        view = choose(read(file), filters)
        findings = find(view)
        summary = summarise(view, findings)
        if as_json:
            if by:
                summary["by"] = {"key": by, "groups": grouped_by(view, by)}
            click.echo(to_json(summary, indent=2 if len(files) == 1 else None))
        else:
            if place:
                click.echo()
            show(render(view, summary, findings, by=by, verbose=verbose))
