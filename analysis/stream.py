"""Read a recording one batch at a time, for files larger than memory."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tcptrace.analysis.header import check_batch, check_header
from tcptrace.analysis.load import load
from tcptrace.analysis.mapped import Mapped
from tcptrace.analysis.reconstruct import Reconstruction
from tcptrace.analysis.validate import safe_part
from tcptrace.tracer.schema import SCHEMA


def batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Give the batches of a recording, as far as it goes.

    Raises :class:`tcptrace.tracer.errors.RecordingError` as ``load`` does.
    """
    try:
        source = Mapped(path)
        stream = pa.BufferReader(safe_part(source.bytes))
        reader = pa.ipc.open_stream(stream)
    except (pa.ArrowException, OSError, EOFError, ValueError):
        load(path, Reconstruction())  # says what is wrong, or that the file is empty
        return
    check_header(path, reader.schema)
    while True:
        try:
            batch = reader.read_next_batch()
            check_batch(batch)
        except (StopIteration, pa.ArrowException, OSError, EOFError):
            return
        yield batch
        source.read_to(stream.tell())


def table(path: Path, count: int) -> pa.Table:
    """Give the first ``count`` rows of a recording, all in memory."""
    rows = [batch.select(SCHEMA.names) for batch in batches(path)]
    return pa.Table.from_batches(rows).slice(0, count) if rows else SCHEMA.empty_table()
