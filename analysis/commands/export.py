"""``tcptrace export``: the tables, for other tools."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click

from tcptrace.analysis.export import WRITERS, chunks, event_tables, write_tables
from tcptrace.analysis.filters import Filters, filter_options, filters_from
from tcptrace.analysis.output import new_file
from tcptrace.analysis.parts import Parts, one_recording
from tcptrace.analysis.perfetto import perfetto
from tcptrace.analysis.recording import read_parts
from tcptrace.analysis.view import choose

PERFETTO = "perfetto"


@click.command("export")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--table",
    type=click.Choice(["connections", "events", "time_wait"]),
    default="connections",
    show_default=True,
    help="One row per end of a connection, per kernel event, or per TIME_WAIT.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice([*WRITERS, PERFETTO]),
    default="csv",
    show_default=True,
    help="perfetto: the connections, for ui.perfetto.dev.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: stdout.")
@click.option("--force", is_flag=True, help="Overwrite the output file.")
@filter_options
def command(
    files: tuple[Path, ...],
    table: str,
    file_format: str,
    output: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Write a table as CSV, JSON Lines or Parquet, or connections as a Perfetto trace."""
    filters = filters_from(options)
    if table == "events" and filters:
        raise click.UsageError("filters choose connections: use --table connections or time_wait")
    to_stdout = output is None or str(output) == "-"
    if to_stdout and file_format == "parquet":
        raise click.UsageError("parquet is not for a terminal or a pipe: give -o FILE")
    if file_format == PERFETTO and table != "connections":
        raise click.UsageError("perfetto shows connections: leave --table out")
    write = _writer(one_recording(files), table, file_format, filters)
    if to_stdout:
        write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        assert output is not None  # noqa: S101
        with new_file(output, force=force) as stream:
            write(stream)


def _writer(
    parts: Parts, table: str, file_format: str, filters: Filters
) -> Callable[[IO[bytes]], None]:
    """Prepare what is asked for, so that a file that cannot be read leaves no trace."""
    if table == "events":
        return lambda stream: write_tables(event_tables(parts.paths), stream, file_format)
    view = choose(read_parts(parts), filters)
    if file_format == PERFETTO:
        return lambda stream: stream.writelines(perfetto(view))
    chosen = view.connections if table == "connections" else view.time_wait
    return lambda stream: write_tables(chunks(chosen), stream, file_format)
