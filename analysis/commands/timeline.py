"""``tcptrace timeline``: connections as ladders."""

from pathlib import Path
from typing import Any

import click
from rich.text import Text

from tcptrace.analysis.filters import filter_options, filters_from
from tcptrace.analysis.findings.cases import CASES
from tcptrace.analysis.recording import read
from tcptrace.analysis.text.layout import line, number, wrapped
from tcptrace.analysis.text.show import show
from tcptrace.analysis.timeline import count_connections, ladders
from tcptrace.analysis.view import choose


@click.command("timeline")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--connection", type=int, multiple=True, help="Its id in the connections table.")
@click.option("--finding", type=click.Choice(list(CASES)), help="Those a finding is about.")
@click.option(
    "--most", type=click.IntRange(1), default=10, show_default=True, help="Ladders at most."
)
@filter_options
def command(
    files: tuple[Path, ...],
    connection: tuple[int, ...],
    finding: str | None,
    most: int,
    **options: Any,
) -> None:
    """Draw connections as ladders, both ends where both were recorded."""
    view = choose(read(files), filters_from(options))
    chosen = view.connections
    if connection:
        chosen = chosen[chosen["connection"].isin(connection)]
    if finding:
        chosen = chosen[CASES[finding](chosen).astype(bool)]
    if chosen.empty:
        click.echo("no connection passes: fewer filters show more", err=True)
        return
    for place, drawn in enumerate(ladders(view, chosen, most)):
        lines = [Text("")] if place else []
        for title in drawn.title:
            lines += wrapped(title, "bold", indent=0)
        lines += [line(each, indent=0) for each in drawn.lines]
        show(lines)
    whole = count_connections(chosen)
    if whole > most:
        click.echo(f"{number(whole - most)} more: --most shows them", err=True)
