"""``tcptrace timeline``: connections as ladders."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from tcptrace.analysis.filters import Filters, filter_options, filters_from
from tcptrace.analysis.findings.cases import CASES
from tcptrace.analysis.hosts.timeline import BothSides
from tcptrace.analysis.parts import Parts, find_parts, one_recording
from tcptrace.analysis.recording import read_parts
from tcptrace.analysis.text.layout import line, number, wrapped
from tcptrace.analysis.text.show import show
from tcptrace.analysis.timeline import Ladder, count_connections, ladders
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
    """Draw connections as ladders, both ends where both were recorded.

    Two recordings of different machines: the connections between them, one end from each.
    """
    recordings = find_parts(files)
    if len(recordings) == 2:
        if connection:
            raise click.UsageError("--connection takes one recording: its ids are each one's own")
        return _both_sides(recordings, finding, most, filters_from(options))
    view = choose(read_parts(one_recording(files)), filters_from(options))
    chosen = view.connections
    if connection:
        chosen = chosen[chosen["connection"].isin(connection)]
    if finding:
        chosen = chosen[CASES[finding](chosen).astype(bool)]
    if chosen.empty:
        return _nothing()
    _draw(ladders(view, chosen, most))
    _say_more(count_connections(chosen), most)
    return None


def _both_sides(recordings: list[Parts], finding: str | None, most: int, filters: Filters) -> None:
    one, two = (read_parts(parts) for parts in recordings)
    if one.header.get("boot_id") == two.header.get("boot_id"):
        one_recording([*recordings[0].paths, *recordings[1].paths])  # says what is wrong
    passing = [choose(each, filters).connections for each in (one, two)]
    if finding:
        passing = [each[CASES[finding](each).astype(bool)] for each in passing]
    between = BothSides(one, two)
    chosen = between.chosen(passing)
    if between.ambiguous:
        ends = number(between.ambiguous)
        click.echo(f"{ends} ends are ambiguous, and not drawn: see the report of both", err=True)
    if chosen.empty:
        return _nothing()
    show([*wrapped(between.note, indent=0), Text("")])
    _draw(between.ladders(chosen, most))
    _say_more(len(chosen), most)
    return None


def _nothing() -> None:
    click.echo("no connection passes: fewer filters show more", err=True)


def _draw(drawn: Iterable[Ladder]) -> None:
    for place, each in enumerate(drawn):
        lines = [Text("")] if place else []
        for title in each.title:
            lines += wrapped(title, "bold", indent=0)
        lines += [line(text, indent=0) for text in each.lines]
        show(lines)


def _say_more(whole: int, most: int) -> None:
    if whole > most:
        click.echo(f"{number(whole - most)} more: --most shows them", err=True)
