"""Kernel records to rows of the recording, column by column."""

from typing import Any

import numpy as np
import pyarrow as pa

from tcptrace.tracer.schema import KIND, KINDS, SCHEMA, STATES

_KINDS = pa.array(KINDS, pa.string())
_STATES = pa.array(STATES, pa.string())


def _codes(values: np.ndarray, names: pa.Array) -> pa.DictionaryArray:
    """Turn small numbers into names; a number without a name becomes the first."""
    codes = values.astype(np.int8)
    if len(codes) and codes.max() >= len(names):
        codes[codes >= len(names)] = 0
    return pa.DictionaryArray.from_arrays(pa.array(codes), names, safe=False)


def _bytes(column: np.ndarray) -> pa.Array:
    data = np.ascontiguousarray(column)
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(column.itemsize), len(column), [None, pa.py_buffer(data)]
    )


def _comm(column: np.ndarray) -> pa.DictionaryArray:
    """Decode each distinct name once; bytes that are no UTF-8 are escaped."""
    encoded = _bytes(column).dictionary_encode()
    names = [
        value.partition(b"\0")[0].decode("utf-8", "backslashreplace")
        for value in encoded.dictionary.to_pylist()
    ]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(names, pa.string()))


def to_batch(events: np.ndarray, clock_offset_ns: int) -> Any:
    """Convert records of the ring buffer to a batch of the recording.

    ``events``: dtype :data:`tcptrace.tracer.layout.EVENT`. ``clock_offset_ns``:
    CLOCK_MONOTONIC to UTC. Gives a ``pyarrow.RecordBatch`` of
    :data:`tcptrace.tracer.schema.SCHEMA`.
    """
    time = events["time"].astype(np.int64) + clock_offset_ns
    unknown = (events["kind"] == KIND["reset_sent"]) & (events["detail"] < 0)
    columns = {
        "time": pa.array(time).view(SCHEMA.field("time").type),
        "kind": _codes(events["kind"], _KINDS),
        "old_state": _codes(events["old_state"], _STATES),
        "new_state": _codes(events["new_state"], _STATES),
        "local_address": _bytes(events["local_address"]),
        "remote_address": _bytes(events["remote_address"]),
        "comm": _comm(events["comm"]),
        "detail": pa.array(events["detail"], mask=unknown),
    }
    arrays = [columns.get(name) for name in SCHEMA.names]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(events[name]) if array is None else array
            for name, array in zip(SCHEMA.names, arrays, strict=True)
        ],
        schema=SCHEMA,
    )
