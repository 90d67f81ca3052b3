"""Write a recording: an Arrow IPC stream, readable up to its last flush whatever happens."""

import io
import json
import os
from typing import Any

import pyarrow as pa

from tcptrace.tracer.errors import OutputError
from tcptrace.tracer.schema import METADATA_KEY, SCHEMA

#: zstd's fastest level: 7.6 bytes an event on a uniform load, lz4 16.4, at 6 % more CPU.
_CODEC = pa.Codec("zstd", compression_level=1)


class RecordingWriter:
    """A recording being written to an open file descriptor, which it then owns.

    Each batch is written whole and at once. If the disk refuses, the file is cut back
    to the last whole batch and :class:`OutputError` says so.
    """

    def __init__(self, descriptor: int, name: str, header: dict[str, Any]) -> None:
        self.name = name
        #: Rows written so far, and bytes.
        self.events = 0
        self.size = 0
        self._descriptor = descriptor
        self._sink = io.BytesIO()
        schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(header).encode()})
        options = pa.ipc.IpcWriteOptions(compression=_CODEC, use_threads=False)
        self._stream = pa.ipc.new_stream(self._sink, schema, options=options)
        self._empty = pa.RecordBatch.from_arrays(
            [pa.nulls(0, field.type) for field in SCHEMA], schema=SCHEMA
        )
        # Arrow writes the schema with the first batch: let a recording that is killed
        # at once have its header.
        self.write(self._empty, lost=0)

    def write(self, batch: Any, lost: int, more: dict[str, Any] | None = None) -> None:
        """Add a batch of :data:`tcptrace.tracer.schema.SCHEMA` and flush it.

        ``lost``: events lost so far, in all. ``more``: further metadata of the batch.
        Raises :class:`OutputError`.
        """
        self.events += len(batch)
        self._flush(batch, {"events": self.events, "lost": lost} | (more or {}))

    def finish(self, lost: int, final: dict[str, Any]) -> None:
        """Add the last, empty batch, which makes the recording complete, and close it.

        ``final``: ``ended``, ``reason``, ``mib``, and what else is to be said.
        """
        self.write(self._empty, lost, {"final": True} | final)
        self._stream.close()
        self._put(self._sink.getvalue())
        self.close()

    def close(self) -> None:
        """Close the file as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self, batch: Any, metadata: dict[str, Any]) -> None:
        encoded = {name: json.dumps(value) for name, value in metadata.items()}
        self._stream.write_batch(batch, custom_metadata=encoded)
        self._put(self._sink.getvalue())
        self._sink.seek(0)
        self._sink.truncate()

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._cut_back()
            raise OutputError(
                f"{self.name}: {error.strerror}: recording stopped; "
                f"the {self.size:,} bytes written before can be read"
            ) from error
        self.size += len(data)

    def _cut_back(self) -> None:
        """Drop a half-written batch; where even that fails, readers stop before it."""
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            return
