"""A recording's rows as plain arrays of small numbers, and as the `events` table."""

import ipaddress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tcptrace.tracer.schema import KINDS, SCHEMA, STATES

_V6 = 1 << 32  # codes below are IPv4 addresses themselves


@dataclass(frozen=True)
class EventArrays:
    """One entry per kernel event, in the order of the recording.

    ``time``: ns since 1970 UTC. ``kind``, ``old``, ``new``: index into KINDS and
    STATES of :mod:`tcptrace.tracer.schema` (a name this version does not know: kind -1,
    state 0).
    ``local``, ``remote``: address codes, see :meth:`address_texts`. ``comm``: index
    into ``comms``. ``detail``: 0 where ``has_detail`` is False.
    """

    time: np.ndarray
    kind: np.ndarray
    socket: np.ndarray
    old: np.ndarray
    new: np.ndarray
    local: np.ndarray
    local_port: np.ndarray
    remote: np.ndarray
    remote_port: np.ndarray
    netns: np.ndarray
    cgroup: np.ndarray
    pid: np.ndarray
    comm: np.ndarray
    detail: np.ndarray
    has_detail: np.ndarray
    comms: list[str]
    ipv6: np.ndarray

    def __len__(self) -> int:
        return len(self.time)

    def address_texts(self, codes: np.ndarray) -> pd.Categorical:
        """Write address codes as text; IPv4-mapped addresses as IPv4."""
        distinct, where = np.unique(codes, return_inverse=True)
        texts = [
            str(ipaddress.IPv4Address(int(code)))
            if code < _V6
            else str(ipaddress.IPv6Address(self.ipv6[code - _V6].tobytes()))
            for code in distinct
        ]
        return pd.Categorical.from_codes(where, categories=pd.Index(texts, dtype=object))

    def is_loopback(self, codes: np.ndarray) -> np.ndarray:
        """Tell 127.0.0.0/8 and ::1, which mean another host in each namespace."""
        loopback = codes >> 24 == 127
        for index, packed in enumerate(self.ipv6):
            if packed.tobytes() == ipaddress.IPv6Address("::1").packed:
                loopback |= codes == _V6 + index
        return loopback


def _codes(column: Any, names: tuple[str, ...], unknown: int) -> np.ndarray:
    """Turn a dictionary column into indices of `names`; `unknown` for any other name."""
    known = {name: code for code, name in enumerate(names)}
    parts = []
    for chunk in column.chunks:
        table = [known.get(name, unknown) for name in chunk.dictionary.to_pylist()]
        lookup = np.array([*table, unknown], np.int8)
        parts.append(lookup[chunk.indices.fill_null(len(table)).to_numpy(zero_copy_only=False)])
    return np.concatenate(parts) if parts else np.empty(0, np.int8)


def _comms(column: Any) -> tuple[np.ndarray, list[str]]:
    """Turn the name column into indices and the list of distinct names."""
    names: dict[str, int] = {}
    parts = []
    for chunk in column.chunks:
        words = [word or "" for word in chunk.dictionary.to_pylist()]
        lookup = np.array([names.setdefault(word, len(names)) for word in [*words, ""]], np.int32)
        parts.append(lookup[chunk.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)])
    codes = np.concatenate(parts) if parts else np.empty(0, np.int32)
    return codes, list(names)


def _packed(column: Any) -> np.ndarray:
    """Give addresses as an (n, 16) array of bytes."""
    parts = [np.empty((0, 16), np.uint8)]
    for chunk in column.chunks:
        data = np.frombuffer(chunk.buffers()[1], np.uint8)
        parts.append(data[chunk.offset * 16 : (chunk.offset + len(chunk)) * 16].reshape(-1, 16))
    return np.concatenate(parts)


def _address_codes(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code addresses: IPv4 as its number, IPv6 as 2**32 + index into the second result."""
    words = np.ascontiguousarray(packed).view(">u4").astype(np.int64)
    codes = words[:, 3].copy()
    other = (words[:, 0] != 0) | (words[:, 1] != 0) | (words[:, 2] != 0xFFFF)
    if not other.any():
        return codes, np.empty((0, 16), np.uint8)
    whole = np.ascontiguousarray(packed[other]).view("V16").ravel()
    # Sorting bytes needs an order: two big-endian words have one.
    pairs = whole.view([("high", ">u8"), ("low", ">u8")])
    distinct, where = np.unique(pairs, return_inverse=True)
    codes[other] = _V6 + where
    return codes, distinct.view(np.uint8).reshape(-1, 16)


def event_arrays(table: pa.Table) -> EventArrays:
    """Take a recording's Arrow table (``tracer.schema.SCHEMA``) apart into arrays."""

    def numbers(name: str) -> np.ndarray:
        column = table[name]
        if column.null_count:
            column = pc.fill_null(column, 0)
        return np.concatenate(
            [chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks]
            or [np.empty(0, SCHEMA.field(name).type.to_pandas_dtype())]
        )

    size = len(table)
    packed = [_packed(table[name]) for name in ("local_address", "remote_address")]
    codes, ipv6 = _address_codes(np.concatenate(packed))
    comm, comms = _comms(table["comm"])
    return EventArrays(
        time=numbers("time").astype("datetime64[ns]").astype(np.int64),
        kind=_codes(table["kind"], KINDS, -1),
        socket=numbers("socket"),
        old=_codes(table["old_state"], STATES, 0),
        new=_codes(table["new_state"], STATES, 0),
        local=codes[:size],
        local_port=numbers("local_port"),
        remote=codes[size:],
        remote_port=numbers("remote_port"),
        netns=numbers("netns"),
        cgroup=numbers("cgroup"),
        pid=numbers("pid"),
        comm=comm,
        comms=comms,
        detail=numbers("detail"),
        has_detail=np.concatenate(
            [np.empty(0, bool)]
            + [chunk.is_valid().to_numpy(zero_copy_only=False) for chunk in table["detail"].chunks]
        ),
        ipv6=ipv6,
    )


def events_frame(table: pa.Table) -> pd.DataFrame:
    """Give the recording's rows as a DataFrame, addresses as text.

    Columns as in DESIGN: ``time`` (UTC, ns), ``kind``, ``socket``, ``old_state``,
    ``new_state``, ``family``, ``local_address``, ``local_port``, ``remote_address``,
    ``remote_port``, ``netns``, ``cgroup``, ``pid``, ``comm``, ``detail`` (Int64).
    """
    arrays = event_arrays(table)
    frame = table.drop_columns(["local_address", "remote_address", "detail"])
    frame = frame.unify_dictionaries().to_pandas()
    detail = pd.arrays.IntegerArray(arrays.detail.copy(), ~arrays.has_detail)
    return frame.assign(
        local_address=arrays.address_texts(arrays.local),
        remote_address=arrays.address_texts(arrays.remote),
        detail=detail,
    )[SCHEMA.names]
