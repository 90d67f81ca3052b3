"""A recording's rows as plain arrays of small numbers, and as the `events` table."""

import ipaddress
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tcptrace.analysis.columns import distinct
from tcptrace.tracer.schema import KINDS, SCHEMA, STATES

_V6 = 1 << 32  # codes below are IPv4 addresses themselves
_NO_IPV6 = np.empty((0, 16), np.uint8)


@dataclass(frozen=True)
class EventArrays:
    """One entry per kernel event, in the order of the recording.

    ``row``: its number there. ``time``: ns since 1970 UTC. ``kind``, ``old``, ``new``:
    index into KINDS and STATES of :mod:`tcptrace.tracer.schema` (a name this version does
    not know: kind -1, state 0).
    ``local``, ``remote``: address codes, see :meth:`address_texts`. ``comm``: index
    into ``comms``. ``detail``: 0 where ``has_detail`` is False.
    """

    row: np.ndarray
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

    def columns(self) -> dict[str, np.ndarray]:
        """Give what has an entry per event, by name."""
        return {name: getattr(self, name) for name in _ARRAYS}

    def take(self, rows: np.ndarray) -> "EventArrays":
        """Give some of the events."""
        columns = {name: values.take(rows) for name, values in self.columns().items()}
        return replace(self, **dict[str, Any](columns))

    @classmethod
    def concatenate(cls, parts: list["EventArrays"]) -> "EventArrays":
        """Put events of one :class:`Decoder` one behind the other."""
        if len(parts) == 1:
            return parts[0]
        columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _ARRAYS}
        return replace(parts[0], **dict[str, Any](columns))

    def address_texts(self, codes: np.ndarray, known: np.ndarray | None = None) -> pd.Categorical:
        """Write address codes as text, null where not known; IPv4-mapped ones as IPv4."""
        known = np.ones(len(codes), bool) if known is None else known
        values, where = distinct(codes, known)
        where[~known] = -1
        texts = [
            str(ipaddress.IPv4Address(int(code)))
            if code < _V6
            else str(ipaddress.IPv6Address(self.ipv6[code - _V6].tobytes()))
            for code in values
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


_ARRAYS = [field.name for field in fields(EventArrays) if field.name not in ("comms", "ipv6")]


def _codes(column: Any, names: tuple[str, ...], unknown: int) -> np.ndarray:
    """Turn a dictionary column into indices of `names`; `unknown` for any other name."""
    known = {name: code for code, name in enumerate(names)}
    parts = []
    for chunk in column.chunks:
        table = [known.get(name, unknown) for name in chunk.dictionary.to_pylist()]
        lookup = np.array([*table, unknown], np.int8)
        indices = chunk.indices.fill_null(len(table)) if chunk.null_count else chunk.indices
        parts.append(lookup.take(indices.to_numpy(zero_copy_only=False)))
    return _joined(parts) if parts else np.empty(0, np.int8)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Decoder:
    """Takes a recording's Arrow tables apart into arrays, one after the other.

    Codes of names and addresses mean the same in all that it gives. ``comms``: the
    distinct names so far. ``rows``: how many rows it was given.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.comms: list[str] = []
        self._names: dict[str, int] = {}
        self._ipv6: dict[bytes, int] = {}

    def arrays(self, table: pa.Table) -> EventArrays:
        """Take one table (``tracer.schema.SCHEMA``) apart; its ``ipv6`` is left empty."""

        def numbers(name: str) -> np.ndarray:
            column = table[name]
            if column.null_count:
                column = pc.fill_null(column, 0)
            chunks = column.chunks or [pa.array([], SCHEMA.field(name).type)]
            return _joined([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])

        first, self.rows = self.rows, self.rows + len(table)
        comm = self.words(table["comm"])
        return EventArrays(
            row=np.arange(first, self.rows),
            time=numbers("time").view(np.int64),
            kind=_codes(table["kind"], KINDS, -1),
            socket=numbers("socket"),
            old=_codes(table["old_state"], STATES, 0),
            new=_codes(table["new_state"], STATES, 0),
            local=self._addresses(table["local_address"]),
            local_port=numbers("local_port"),
            remote=self._addresses(table["remote_address"]),
            remote_port=numbers("remote_port"),
            netns=numbers("netns"),
            cgroup=numbers("cgroup"),
            pid=numbers("pid"),
            comm=comm,
            comms=self.comms,
            detail=numbers("detail"),
            has_detail=np.concatenate(
                [np.empty(0, bool)]
                + [
                    chunk.is_valid().to_numpy(zero_copy_only=False)
                    for chunk in table["detail"].chunks
                ]
            ),
            ipv6=_NO_IPV6,
        )

    def events(self, columns: dict[str, np.ndarray]) -> EventArrays:
        """Put the columns of some of these events together again."""
        return EventArrays(**columns, comms=self.comms, ipv6=_NO_IPV6)

    def words(self, column: Any) -> np.ndarray:
        """Turn a dictionary column into indices of ``comms``.

        A dictionary may hold a word twice: names that are no UTF-8 are escaped.
        """
        names, parts = self._names, [np.empty(0, np.int32)]
        for chunk in column.chunks:
            words = [word or "" for word in chunk.dictionary.to_pylist()]
            lookup = np.array([names.setdefault(word, len(names)) for word in words], np.int32)
            parts.append(lookup.take(chunk.indices.to_numpy(zero_copy_only=False)))
        self.comms += list(names)[len(self.comms) :]
        return np.concatenate(parts)

    def _addresses(self, column: Any) -> np.ndarray:
        """Code addresses of 16 bytes: IPv4 as its number, IPv6 by when it was first seen."""
        parts = [np.empty(0, np.int64)]
        for chunk in column.chunks:
            data = np.frombuffer(chunk.buffers()[1], "<u8").reshape(-1, 2)
            data = data[chunk.offset : chunk.offset + len(chunk)]
            # ::ffff:a.b.c.d, little-endian: zeros; then 00 00 ff ff a b c d.
            low = data[:, 1]
            part = (low >> np.uint64(32)).astype(np.uint32).byteswap().astype(np.int64)
            other = (data[:, 0] != 0) | (low.astype(np.uint32) != np.uint32(0xFFFF0000))
            if other.any():
                part[other] = self._ipv6_codes(np.ascontiguousarray(data[other]))
            parts.append(part)
        return np.concatenate(parts)

    def _ipv6_codes(self, data: np.ndarray) -> np.ndarray:
        pairs = np.rec.fromarrays([data[:, 0].astype("u8"), data[:, 1].astype("u8")])
        distinct, where = np.unique(pairs, return_inverse=True)
        packed = np.column_stack([distinct["f0"], distinct["f1"]]).astype("<u8").tobytes()
        known = self._ipv6
        codes = [
            known.setdefault(packed[place : place + 16], len(known))
            for place in range(0, len(packed), 16)
        ]
        return _V6 + np.array(codes, np.int64)[where]

    def finish(self, events: EventArrays) -> EventArrays:
        """Give events with ``ipv6`` and the codes they have there, in the addresses' order."""
        ipv6 = np.frombuffer(b"".join(sorted(self._ipv6)), np.uint8).reshape(-1, 16)
        return replace(
            events, local=self.ranked(events.local), remote=self.ranked(events.remote), ipv6=ipv6
        )

    def ranked(self, codes: np.ndarray) -> np.ndarray:
        """Renumber IPv6 addresses in their own order, as :meth:`finish` does."""
        if not self._ipv6:
            return codes
        ranks = np.empty(len(self._ipv6), np.int64)
        ranks[[self._ipv6[packed] for packed in sorted(self._ipv6)]] = np.arange(len(ranks))
        codes, others = codes.copy(), codes >= _V6
        codes[others] = _V6 + ranks[codes[others] - _V6]
        return codes


def event_arrays(table: pa.Table) -> EventArrays:
    """Take a recording's Arrow table (``tracer.schema.SCHEMA``) apart into arrays."""
    decoder = Decoder()
    return decoder.finish(decoder.arrays(table))


def events_frame(table: pa.Table) -> pd.DataFrame:
    """Give the recording's rows as a DataFrame, addresses as text.

    Columns as in DESIGN: ``time`` (UTC, ns), ``kind``, ``socket``, ``old_state``,
    ``new_state``, ``family``, ``local_address``, ``local_port``, ``remote_address``,
    ``remote_port``, ``netns``, ``cgroup``, ``pid``, ``comm``, ``detail`` (Int64).
    """
    decoder = Decoder()
    arrays = decoder.finish(decoder.arrays(table))
    rest = table.select([field.name for field in SCHEMA if not pa.types.is_dictionary(field.type)])
    frame: pd.DataFrame = rest.drop_columns(
        ["local_address", "remote_address", "detail"]
    ).to_pandas()
    for name in ("kind", "old_state", "new_state", "comm"):
        words = Decoder()
        codes = words.words(table[name])
        frame[name] = pd.Categorical.from_codes(codes, pd.Index(words.comms, dtype=object))
    detail = pd.arrays.IntegerArray(arrays.detail.copy(), ~arrays.has_detail)
    frame = frame.assign(
        local_address=arrays.address_texts(arrays.local),
        remote_address=arrays.address_texts(arrays.remote),
        detail=detail,
    )
    return frame[list(SCHEMA.names)]
