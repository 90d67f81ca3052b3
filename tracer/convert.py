"""Kernel records to rows of the recording, column by column.

Arrays are made from buffers throughout: ``pyarrow.array()`` imports pandas where
it is installed, which a recorder has no use for (0.4 s, 60 MB).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

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
    codes = values.astype(np.int8)
    if len(codes) and codes.max() >= len(names):
        codes[codes >= len(names)] = 0
    return pa.DictionaryArray.from_arrays(_numbers(codes, pa.int8()), names, safe=False)


def _comm(column: np.ndarray) -> Any:
    """Decode each distinct name once; bytes that are no UTF-8 are escaped."""
    encoded = _numbers(column, pa.binary(column.itemsize)).dictionary_encode()
    names = _strings(
        value.partition(b"\0")[0].decode("utf-8", "backslashreplace")
        for value in encoded.dictionary.to_pylist()
    )
    return pa.DictionaryArray.from_arrays(encoded.indices, names, safe=False)


def to_batch(events: np.ndarray, clock_offset_ns: int) -> Any:
    """Convert records of the ring buffer to a batch of the recording.

    ``events``: dtype :data:`tcptrace.tracer.layout.EVENT`. ``clock_offset_ns``:
    CLOCK_MONOTONIC to UTC. Gives a ``pyarrow.RecordBatch`` of
    :data:`tcptrace.tracer.schema.SCHEMA`.
    """
    # Of all kinds only these say "none" by a number below 0 (bpf/event.h, DETAIL_UNKNOWN).
    kind = events["kind"]
    unknown = (kind == KIND["reset_sent"]) | (kind == KIND["existing"])
    unknown &= events["detail"] < 0
    columns = {
        "time": _numbers(events["time"].view(np.int64) + clock_offset_ns, SCHEMA.field(0).type),
        "kind": _codes(events["kind"], _KINDS),
        "old_state": _codes(events["old_state"], _STATES),
        "new_state": _codes(events["new_state"], _STATES),
        "comm": _comm(events["comm"]),
        "detail": _numbers(events["detail"], pa.int64(), ~unknown if unknown.any() else None),
    }
    plain = {
        field.name: _numbers(events[field.name], field.type)
        for field in SCHEMA
        if field.name not in columns
    }
    columns |= plain
    return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
