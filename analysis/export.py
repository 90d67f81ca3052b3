"""Tables for other tools: CSV, JSON Lines, Parquet. Large ones piece by piece."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from tcptrace.analysis.events import events_frame
from tcptrace.analysis.sanitize import guard_formulas
from tcptrace.analysis.stream import batches
from tcptrace.tracer.schema import SCHEMA

#: Rows written at a time: enough to keep pandas' cost per call small.
_CHUNK = 50_000


class Writer(Protocol):
    """Writes tables of the same columns, one after the other."""

    def write(self, table: pd.DataFrame) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file; the stream stays open."""


class CsvWriter:
    """CSV (RFC 4180) with a header; nulls are empty, formulas are disarmed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._header = True

    def write(self, table: pd.DataFrame) -> None:
        """Append rows."""
        table = _with_iso_times(table)
        for column in table.select_dtypes(include=["object", "string", "category"]):
            table[column] = guard_formulas(table[column])
        text = table.to_csv(header=self._header, index=False, lineterminator="\n")
        self._stream.write(text.encode())
        self._header = False

    def close(self) -> None:
        """Leave the stream to its owner."""


class JsonLinesWriter:
    """One JSON object per line, in ASCII; nulls are null."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, table: pd.DataFrame) -> None:
        """Append rows."""
        if table.empty:
            return
        text = _with_whole_numbers(_with_iso_times(table)).to_json(
            orient="records", lines=True, force_ascii=True, double_precision=9
        )
        self._stream.write(text.rstrip("\n").encode() + b"\n")

    def close(self) -> None:
        """Leave the stream to its owner."""


class ParquetWriter:
    """Parquet with pandas' types kept: UTC times in ns, dictionaries, nulls."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._writer: parquet.ParquetWriter | None = None

    def write(self, table: pd.DataFrame) -> None:
        """Append rows."""
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._stream, _parquet_schema(table))
        self._writer.write_table(
            pa.Table.from_pandas(table, self._writer.schema, preserve_index=False)
        )

    def close(self) -> None:
        """Write the footer, without which the file cannot be read."""
        if self._writer is not None:
            self._writer.close()


def _parquet_schema(table: pd.DataFrame) -> pa.Schema:
    """Take the types from pandas, but texts as texts even where all are missing so far."""
    found = pa.Schema.from_pandas(table, preserve_index=False).remove_metadata()
    word = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            field.with_type(word)
            if isinstance(table[field.name].dtype, pd.CategoricalDtype)
            else field
            for field in found
        ]
    )


WRITERS: dict[str, Callable[[IO[bytes]], Writer]] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
}


def write_tables(tables: Iterable[pd.DataFrame], stream: IO[bytes], file_format: str) -> None:
    """Write tables of the same columns as one; ``file_format``: one of ``WRITERS``."""
    with contextlib.closing(WRITERS[file_format](stream)) as writer:
        for table in tables:
            writer.write(table)


def chunks(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Cut a table into pieces; an empty one gives one empty piece, for its header."""
    for start in range(0, max(len(table), 1), _CHUNK):
        yield table.iloc[start : start + _CHUNK]


def event_tables(paths: Iterable[Path]) -> Iterator[pd.DataFrame]:
    """Read a recording's events batch by batch, addresses as text; at least one table.

    Holds one batch in memory at a time. Raises
    :class:`tcptrace.tracer.errors.RecordingError` as ``read`` does; stops where a
    cut-off recording ends.
    """
    found = itertools.chain.from_iterable(batches(path) for path in paths)
    # A file that cannot be read fails here, before a header is written.
    first = list(itertools.islice(found, 1))
    yield events_frame(SCHEMA.empty_table())
    for batch in itertools.chain(first, found):
        yield events_frame(pa.Table.from_batches([batch]))


def _with_iso_times(table: pd.DataFrame) -> pd.DataFrame:
    """Write times as ISO 8601 UTC with nanoseconds; the table itself stays as it is."""
    times = table.select_dtypes(include=["datetimetz"])
    return table.assign(**{str(name): _iso(column) for name, column in times.items()})


def _with_whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Keep integers that some rows lack what they are: pandas 2's to_json() makes them floats."""
    lacking = [
        name
        for name, column in table.items()
        if pd.api.types.is_integer_dtype(column.dtype) and column.hasnans
    ]
    return table.astype(dict.fromkeys(lacking, "object")) if lacking else table


def _iso(times: pd.Series) -> pd.Series:
    moments = times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[ns]")
    text = pd.Series(np.datetime_as_string(moments, unit="ns"), index=times.index, dtype="object")
    return (text + "Z").where(times.notna(), None)
