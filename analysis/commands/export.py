"""``tcptrace export``: the tables, for other tools."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import pandas as pd

from tcptrace.analysis.export import WRITERS, chunks, event_tables, write_tables
from tcptrace.analysis.filters import choose, filter_options, filters_from
from tcptrace.analysis.output import new_file
from tcptrace.analysis.recording import read


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
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
    type=click.Choice(list(WRITERS)),
    default="csv",
    show_default=True,
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: stdout.")
@click.option("--force", is_flag=True, help="Overwrite the output file.")
@filter_options
def command(
    file: Path, table: str, file_format: str, output: Path | None, force: bool, **options: Any
) -> None:
    """Write a table as CSV, JSON Lines or Parquet."""
    filters = filters_from(options)
    if table == "events" and filters:
        raise click.UsageError("filters choose connections: use --table connections or time_wait")
    to_stdout = output is None or str(output) == "-"
    if to_stdout and file_format == "parquet":
        raise click.UsageError("parquet is not for a terminal or a pipe: give -o FILE")
    tables: Iterable[pd.DataFrame]
    if table == "events":
        tables = event_tables(file)
    else:
        view = choose(read(file), filters)
        tables = chunks(view.connections if table == "connections" else view.time_wait)
    if to_stdout:
        write_tables(tables, sys.stdout.buffer, file_format)
        sys.stdout.buffer.flush()
    else:
        assert output is not None  # noqa: S101
        with new_file(output, force=force) as stream:
            write_tables(tables, stream, file_format)
