"""Write a recording: an Arrow IPC stream, readable up to its last flush whatever happens."""

import io
import json
import os
from typing import Any

import pyarrow as pa

from tcptrace.tracer.errors import OutputError
from tcptrace.tracer.schema import METADATA_KEY, SCHEMA

#: Measured on tests/bench/load.c, in batches of 32,768 rows: zstd 3 takes 7.3 bytes an
#: event on the uniform load and 13.2 on the mixed one, zstd 1 8.0 and 13.8 at 5 % less
#: CPU; lz4 about twice the bytes at half the CPU.
_CODEC = pa.Codec("zstd", compression_level=3)

_OPTIONS = pa.ipc.IpcWriteOptions(compression=_CODEC, use_threads=False)
#: Bytes that a batch takes beside its rows, at most: 2,700 measured, names included.
_BESIDE = 8 << 10
#: What the last one says beside the kernel's counters.
_LAST_WORDS = 8 << 10


class RecordingWriter:
    """A recording being written to an open file descriptor.

    Each batch is written whole and at once. If the disk refuses, the file is cut back
    to the last whole batch and :class:`OutputError` says so.
    """

    #: Whether nothing more can be written; whether the next file is due (rotation).
    full = due = False

    def __init__(self, descriptor: int, name: str, header: dict[str, Any]) -> None:
        self.name = name
        #: Events and bytes in the file.
        self.events = 0
        self.size = 0
        self._descriptor = descriptor
        self._sink = io.BytesIO()
        schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(header).encode()})
        self._stream = pa.ipc.new_stream(self._sink, schema, options=_OPTIONS)
        # The last batch has the kernel's counters, as the header has.
        self._reserved = len(json.dumps(header.get("mib"))) + _LAST_WORDS
        self._empty = pa.RecordBatch.from_arrays(
            [pa.nulls(0, field.type) for field in SCHEMA], schema=SCHEMA
        )
        # Arrow writes the schema with the first batch: let a recording that is killed
        # at once have its header.
        self.write(self._empty, seen=0, lost=0)

    def fitting(self, batch: Any, limit: int) -> int:
        """Count the rows of a batch that can be added, and the end, within ``limit`` bytes."""
        room = limit - self._reserved - self.size
        if _largest_size(batch) <= room or _size_of(batch) <= room:
            return len(batch)
        # Between the largest number known to fit and the smallest known not to.
        fits, fits_not = 0, len(batch)
        while fits_not - fits > 1 + len(batch) // 256:
            middle = (fits + fits_not) // 2
            if _size_of(batch.slice(0, middle)) <= room:
                fits = middle
            else:
                fits_not = middle
        return fits

    def write(self, batch: Any, seen: int, lost: int, more: dict[str, Any] | None = None) -> None:
        """Add a batch of :data:`tcptrace.tracer.schema.SCHEMA` and flush it.

        ``seen``, ``lost``: the kernel's events received and lost so far, in all, wanted
        or not. ``more``: further metadata of the batch. Raises :class:`OutputError`.
        """
        metadata = {"events": seen, "lost": lost} | (more or {})
        encoded = {name: json.dumps(value) for name, value in metadata.items()}
        self._stream.write_batch(batch, custom_metadata=encoded)
        self._flush()
        self.events += len(batch)

    def finish(self, seen: int, lost: int, final: dict[str, Any]) -> None:
        """Add the last, empty batch, which makes the recording complete.

        ``final``: ``ended``, ``reason``, ``mib``, and what else is to be said.
        """
        self.end(seen, lost, final)
        self.sync()

    def end(self, seen: int, lost: int, final: dict[str, Any]) -> None:
        """Do what :meth:`finish` does, but for :meth:`sync`."""
        self.write(self._empty, seen, lost, {"final": True} | final)
        self._stream.close()
        self._flush()

    def sync(self) -> None:
        """Wait until all is on the disk. Raises :class:`OutputError`."""
        try:
            os.fsync(self._descriptor)  # some file systems tell of errors only here
        except OSError as error:
            raise OutputError(
                f"{self.name}: {error.strerror}: the end of the recording may be missing"
            ) from error

    def _flush(self) -> None:
        data = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._cut_back()
            kept = f"the {self.events:,} events before it are in the file"
            raise OutputError(
                f"{self.name}: {error.strerror}: recording stopped; "
                f"{kept if self.size else 'nothing was recorded'}"
            ) from error
        self.size += len(data)
        if os.fstat(self._descriptor).st_nlink == 0:
            raise OutputError(f"{self.name}: was removed: recording stopped, nothing is left of it")

    def _cut_back(self) -> None:
        """Drop a half-written batch; where even that fails, readers stop before it."""
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            return


def _largest_size(batch: Any) -> int:
    """Give what a batch takes at most; compressed it is a tenth of that."""
    size: int = batch.nbytes + _BESIDE
    return size


def _size_of(batch: Any) -> int:
    """Give what a batch takes in a file, at most: it may be the first with its names."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, SCHEMA, options=_OPTIONS) as stream:
        stream.write_batch(batch)
    return sink.tell()
