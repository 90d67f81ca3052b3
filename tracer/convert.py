"""Kernel records to rows of the recording, column by column.

Arrays are made from buffers throughout: ``pyarrow.array()`` imports pandas where
it is installed, which a recorder has no use for (0.4 s, 60 MB).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow._compute import call_function

from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.schema import KIND, KINDS, SCHEMA, STATES


def _numbers(values: np.ndarray, kind: Any, valid: np.ndarray | None = None) -> Any:
    """Wrap a column of fixed-width values; ``valid``: False where the row is null."""
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [bitmap, data])


def _strings(names: Iterable[str]) -> Any:
    encoded = [name.encode() for name in names]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


_KINDS = _strings(KINDS)
_STATES = _strings(STATES)


def _codes(values: np.ndarray, names: Any) -> Any:
    """Turn small numbers into names; a number without a name becomes the first."""
    codes = values.view(np.int8)
    if len(values) and values.max() >= len(names):
        codes = np.where(values < len(names), codes, np.int8(0))
    return pa.DictionaryArray.from_arrays(_numbers(codes, pa.int8()), names, safe=False)


def _comm(column: np.ndarray) -> Any:
    """Decode each distinct name once; bytes that are no UTF-8 are escaped."""
    raw = _numbers(column, pa.binary(column.itemsize))
    encoded = call_function("dictionary_encode", [raw])
    names = _strings(
        value.partition(b"\0")[0].decode("utf-8", "backslashreplace")
        for value in encoded.dictionary.to_pylist()
    )
    return pa.DictionaryArray.from_arrays(encoded.indices, names, safe=False)


class Columns:
    """Records of the ring buffer on their way to a batch, in memory that is used again.

    Taken apart while they are in the CPU's cache: 48 ns an event less than keeping
    records and converting many at once.
    """

    def __init__(self, capacity: int) -> None:
        self.rows = 0
        self.room = capacity
        self._columns = {name: np.empty(capacity, EVENT[name]) for name in EVENT.names or ()}

    def add(self, events: np.ndarray) -> None:
        """Take in records of dtype ``EVENT``, ``room`` at most."""
        end = self.rows + len(events)
        for name, column in self._columns.items():
            column[self.rows : end] = events[name]
        self.rows = end
        self.room -= len(events)

    def take(self, clock_offset_ns: int) -> Any:
        """Give all rows as a ``pyarrow.RecordBatch`` of :data:`tcptrace.tracer.schema.SCHEMA`.

        ``clock_offset_ns``: CLOCK_MONOTONIC to UTC. The batch is good until the next
        :meth:`add`.
        """
        rows = {name: column[: self.rows] for name, column in self._columns.items()}
        self.room += self.rows
        self.rows = 0
        time = rows["time"].view(np.int64)
        time += clock_offset_ns
        # Of all kinds only these say "none" by a number below 0 (bpf/event.h, DETAIL_UNKNOWN).
        unknown = rows["detail"] < 0
        if unknown.any():
            kind = rows["kind"]
            unknown &= (kind == KIND["reset_sent"]) | (kind == KIND["existing"])
        known = ~unknown if unknown.any() else None
        special = {
            "kind": _codes(rows["kind"], _KINDS),
            "old_state": _codes(rows["old_state"], _STATES),
            "new_state": _codes(rows["new_state"], _STATES),
            "comm": _comm(rows["comm"]),
            "detail": _numbers(rows["detail"], pa.int64(), known),
        }
        arrays = [
            special[field.name] if field.name in special else _numbers(rows[field.name], field.type)
            for field in SCHEMA
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def to_batch(events: np.ndarray, clock_offset_ns: int) -> Any:
    """Convert records of dtype ``EVENT`` to a batch (:meth:`Columns.take`)."""
    columns = Columns(len(events))
    columns.add(events)
    return columns.take(clock_offset_ns)
