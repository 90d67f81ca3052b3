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

    def address_texts(self, codes: np.ndarray, known: np.ndarray | None = None) -> pd.Categorical:
        """Write address codes as text, null where not known; IPv4-mapped ones as IPv4."""
        known = np.ones(len(codes), bool) if known is None else known
        where = np.full(len(codes), -1)
        distinct, where[known] = np.unique(codes[known], return_inverse=True)
        texts = [
            str(ipaddress.IPv4Address(int(code)))
            if code < _V6
            else str(ipaddress.IPv6Address(self.ipv6[code - _V6].tobytes()))
            for code in distinct
        ]
        return pd.Categorical.from_codes(where, categories=pd.Index(texts, dtype=object))

    def is_unspecified(self, codes: np.ndarray) -> np.ndarray:
        """Tell 0.0.0.0 and ::, which a socket has until it gets an address."""
        unspecified: np.ndarray = codes == 0
        for index, packed in enumerate(self.ipv6):
            if not packed.any():
                unspecified |= codes == _V6 + index
        return unspecified

    def is_loopback(self, codes: np.ndarray) -> np.ndarray:
        """Tell 127.0.0.0/8 and ::1, which mean another host in each namespace."""
        loopback: np.ndarray = codes >> 24 == 127
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


def _words(column: Any) -> tuple[np.ndarray, list[str]]:
    """Turn a dictionary column into indices and the list of distinct words.

    A dictionary may hold a word twice: names that are no UTF-8 are escaped.
    """
    names: dict[str, int] = {}
    parts = []
    for chunk in column.chunks:
        words = [word or "" for word in chunk.dictionary.to_pylist()]
        lookup = np.array([names.setdefault(word, len(names)) for word in words], np.int32)
        parts.append(lookup[chunk.indices.to_numpy(zero_copy_only=False)])
    codes = np.concatenate(parts) if parts else np.empty(0, np.int32)
    return codes, list(names)


def _address_codes(columns: list[Any]) -> tuple[list[np.ndarray], np.ndarray]:
    """Code addresses: IPv4 as its number, IPv6 as 2**32 + index into the second result.

    Takes columns of 16 bytes; gives one array of codes for each.
    """
    codes: list[np.ndarray] = []
    others: list[np.ndarray] = []
    for column in columns:
        parts = [np.empty(0, np.int64)]
        for chunk in column.chunks:
            data = np.frombuffer(chunk.buffers()[1], "<u8").reshape(-1, 2)
            data = data[chunk.offset : chunk.offset + len(chunk)]
            # ::ffff:a.b.c.d, little-endian: zeros; then 00 00 ff ff a b c d.
            low = data[:, 1]
            part = (low >> np.uint64(32)).astype(np.uint32).byteswap().astype(np.int64)
            other = (data[:, 0] != 0) | (low.astype(np.uint32) != np.uint32(0xFFFF0000))
            if other.any():
                others.append(data[other])
                part[other] = -1
            parts.append(part)
        codes.append(np.concatenate(parts))
    if not others:
        return codes, np.empty((0, 16), np.uint8)
    # Big-endian words sort as the addresses do.
    words = np.ascontiguousarray(np.concatenate(others)).view(">u8").reshape(-1, 2)
    pairs = np.rec.fromarrays([words[:, 0].astype("u8"), words[:, 1].astype("u8")])
    distinct, where = np.unique(pairs, return_inverse=True)
    splits = np.cumsum([np.count_nonzero(code < 0) for code in codes])[:-1]
    for code, part in zip(codes, np.split(where, splits), strict=True):
        code[code < 0] = _V6 + part
    # column_stack() gives words of the machine's own order, whatever it was given.
    native = np.column_stack([distinct["f0"], distinct["f1"]])
    return codes, native.astype(">u8").view(np.uint8).reshape(-1, 16)


def event_arrays(table: pa.Table) -> EventArrays:
    """Take a recording's Arrow table (``tracer.schema.SCHEMA``) apart into arrays."""

    def numbers(name: str) -> np.ndarray:
        column = table[name]
        if column.null_count:
            column = pc.fill_null(column, 0)
        return np.concatenate(
            [chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks]
            or [pa.array([], SCHEMA.field(name).type).to_numpy(zero_copy_only=False)]
        )

    (local, remote), ipv6 = _address_codes([table["local_address"], table["remote_address"]])
    comm, comms = _words(table["comm"])
    return EventArrays(
        time=numbers("time").view(np.int64),
        kind=_codes(table["kind"], KINDS, -1),
        socket=numbers("socket"),
        old=_codes(table["old_state"], STATES, 0),
        new=_codes(table["new_state"], STATES, 0),
        local=local,
        local_port=numbers("local_port"),
        remote=remote,
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
    words = [field.name for field in SCHEMA if pa.types.is_dictionary(field.type)]
    rest = table.drop_columns(["local_address", "remote_address", "detail", *words])
    frame: pd.DataFrame = rest.to_pandas()
    for name in words:
        codes, distinct = _words(table[name])
        categories = pd.Index(distinct, dtype=object)
        frame[name] = pd.Categorical.from_codes(codes, categories)
    detail = pd.arrays.IntegerArray(arrays.detail.copy(), ~arrays.has_detail)
    frame = frame.assign(
        local_address=arrays.address_texts(arrays.local),
        remote_address=arrays.address_texts(arrays.remote),
        detail=detail,
    )
    return frame[list(SCHEMA.names)]
