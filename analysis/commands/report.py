"""``tcptrace report``: what a recording tells."""

from pathlib import Path
from typing import Any

import click

from tcptrace.analysis.filters import Filters, filter_options, filters_from
from tcptrace.analysis.findings import find
from tcptrace.analysis.groups import GROUPINGS, grouped_by
from tcptrace.analysis.hosts import Ends, ends_of, pairings
from tcptrace.analysis.hosts.summary import add_pairs
from tcptrace.analysis.hosts.words import both_sides
from tcptrace.analysis.html import render_html
from tcptrace.analysis.output import new_file
from tcptrace.analysis.parts import Parts, find_parts
from tcptrace.analysis.recording import read_parts
from tcptrace.analysis.sanitize import to_json
from tcptrace.analysis.summary import summarise
from tcptrace.analysis.text import render
from tcptrace.analysis.text.show import show
from tcptrace.analysis.view import choose


@click.command("report")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--html", metavar="OUT", type=click.Path(path_type=Path), help="One HTML file, to look at."
)
@click.option("--force", is_flag=True, help="Overwrite the HTML file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.option("--by", type=click.Choice(GROUPINGS), help="Add a table grouped so.")
@click.option("-v", "--verbose", is_flag=True, help="More rows, reasons and sources.")
@filter_options
def command(
    files: tuple[Path, ...],
    html: Path | None,
    force: bool,
    as_json: bool,
    by: str | None,
    verbose: bool,
    **options: Any,
) -> None:
    """Say who closed, how long TIME_WAIT lasted, what leaks, and what to do."""
    filters = filters_from(options)
    recordings = find_parts(files)
    if html is not None:
        if len(recordings) > 1 or as_json or by:
            raise click.UsageError("--html takes one FILE, and neither --json nor --by")
        return write_html(recordings[0], html, filters, force=force)
    hosts: list[Ends] = []
    summaries: list[dict[str, Any]] = []
    for place, parts in enumerate(recordings):
        # Pairing takes the table of all connections.
        view = choose(read_parts(parts), filters, sliced=len(recordings) == 1)
        if len(recordings) > 1:
            hosts.append(ends_of(view))
        findings = find(view)
        summary = summarise(view, findings)
        if as_json:
            if by:
                summary["by"] = {"key": by, "groups": grouped_by(view, by)}
            summaries.append(summary)
        else:
            if place:
                click.echo()
            show(render(view, summary, findings, by=by, verbose=verbose))
    found = pairings(hosts)
    if as_json:
        add_pairs(summaries, hosts, found)
        for summary in summaries:
            click.echo(to_json(summary, indent=2 if len(recordings) == 1 else None))
    for pairing in () if as_json else found:
        click.echo()
        show(both_sides(pairing, verbose=verbose))
    return None


def write_html(parts: Parts, out: Path, filters: Filters, *, force: bool) -> None:
    """Write the HTML report of one recording; say where."""
    view = choose(read_parts(parts), filters)
    findings = find(view)
    page = render_html(view, summarise(view, findings), findings).encode()
    with new_file(out, force=force) as stream:
        stream.write(page)
    click.echo(f"{out} ({len(page) / 1e6:.1f} MB): open it in a browser", err=True)
