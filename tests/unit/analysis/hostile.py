"""Recordings that nobody's recorder wrote: damaged, contradictory, or made to hurt.

Each is made from a number, so that what was found with one can be made again.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tcptrace.tracer.schema import KINDS, METADATA_KEY, SCHEMA, STATES

from .scenario import CLIENT_END, CURL, NGINX, SERVER_END, START, Story

#: Names that a terminal, a browser or a spreadsheet would act upon.
NAMES = (
    "<script>alert(1)",
    "\x1b[2J\x1b]0;x\x07",
    "=cmd|'/C calc'!A0",
    "\u202egnp.exe",
    "a\nb\r\tc",
    '"},{"x":"',
    "</script>",
    "-->'\"`&",
    "\x00\x7f\x9b",
    "[bold]x[/bold]",
    "",
    "@SUM(1)",
    "\ud7ff\ue000\U0010ffff",
    "x" * 5000,
)
_INT64 = (-(1 << 63), -(1 << 63) + 1, -1, 0, 1, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 250, 1 << 31, 1 << 63, 10**30, -(10**30), 1e308, -0.0),
    *(float("nan"), float("inf"), "", "0", "-1", "9" * 4000, "32768 60999", "9 9 9", "1e9 2e9"),
    *("soon", "2026-11-20T19:00:00Z", "0001-01-01", "9999-12-31T23:59:59.999999+00:00"),
    *("2026-11-20T19:00:30.123456789Z", "1677-09-21T00:12:43.145224193", *NAMES),
    *([], [[]], [None, {}], ["32768", "60999"], [1, 99999], {}, {"": None}, {"a": {"b": {}}}),
)

HEADER_FIELDS = (
    *("format", "version", "host", "boot_id", "kernel", "arch", "cpus", "netns", "hz", "started"),
    *(
        "clock_offset_ns",
        "command",
        "filters",
        "buffer_size",
        "probes",
        "lacks",
        "notes",
        "reset_reasons",
    ),
    *("sysctl", "mib", "names"),
)
BATCH_FIELDS = (
    *("events", "lost", "final", "ended", "reason", "mib", "settling", "snapshots", "names"),
)
_SYSCTLS = ("tcp_fin_timeout", "tcp_tw_reuse", "tcp_max_tw_buckets", "ip_local_port_range")
_COUNTERS = ("TW", "TWRecycled", "TWKilled", "TCPTimeWaitOverflow", "ActiveOpens", "PassiveOpens")


@cache
def _story(number: int) -> Story:
    """A believable recording; `number` picks how much of what happens in it."""
    chance = random.Random(number)  # noqa: S311
    told = Story(hz=chance.choice([None, 100, 250, 1000]), timers=chance.random() < 0.8)
    told.reset_reasons = {"0": "not_specified", "1": "tcp_abort_on_close"}
    for each in range(chance.randrange(1, 6)):
        end = CLIENT_END._replace(local_port=40_000 + each)
        near, far = told.socket(end).connect(), told.socket(end.other()).accept()
        told.after(chance.random() * 3)
        how = chance.randrange(7)
        if how < 3:
            near.close(CURL)
            far.to("CLOSE_WAIT").to("LAST_ACK", by=NGINX)
            wait = near.time_wait()
            far.gone(fin=True)
            told.after(chance.random() * 70)
            (wait.expire, wait.cancel, wait.reused_by_syn)[how]()
        elif how == 3:
            near.close(CURL)
            wait = near.time_wait("FIN_WAIT_2")
            wait.rearm(silent=chance.random() < 0.5)
        elif how == 4:
            near.reset_received().gone(error=104)
            far.reset_sent(1, by=NGINX).gone()
        elif how == 5:
            told.lose(each)
            far.to("CLOSE_WAIT")
        else:
            told.existing(SERVER_END._replace(remote_port=50_000 + each), "CLOSE_WAIT", by=NGINX)
            told.timewait(SERVER_END._replace(remote_port=51_000 + each)).snapshot()
    return told


@cache
def _file(number: int) -> bytes:
    """A believable recording's bytes, compressed in every other."""
    told = _story(number)
    batches = told.table.to_batches(max_chunksize=1 + number % 9)
    events = 0
    parts = []
    for part in batches:
        events += len(part)
        parts.append((part, {"events": events, "lost": told.lost}))
    if number % 3:
        parts.append((told.table.slice(0, 0).to_batches() or [], {"final": True}))  # type: ignore[arg-type]
    return _written(told.header, parts, compressed=number % 2 == 0)


def _written(
    header: Any, parts: list[tuple[Any, dict[str, Any]]], *, schema: Any = SCHEMA, compressed: bool
) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    options = pa.ipc.IpcWriteOptions(compression="zstd" if compressed else None)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, schema.with_metadata({METADATA_KEY: raw}), options=options
    ) as writer:
        for part, metadata in parts:
            encoded = {key: json.dumps(value) for key, value in metadata.items()}
            batch = part if isinstance(part, pa.RecordBatch) else _empty(schema)
            writer.write_batch(batch, custom_metadata=encoded)
    return bytes(sink.getvalue())


def _empty(schema: Any) -> Any:
    return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)


def _messages(content: bytes) -> list[bytes]:
    """A stream's messages, each with its body."""
    found, start = [], 0
    reading = pa.BufferReader(content)
    for _ in pa.ipc.MessageReader.open_stream(reading):
        found.append(content[start : reading.tell()])
        start = reading.tell()
    return found


# -- the ways to spoil one ----------------------------------------------------------------------


def damaged_bytes(chance: random.Random) -> bytes:
    """Bytes changed, put in, left out, repeated."""
    content = bytearray(_file(chance.randrange(64)))
    for _ in range(chance.choice([1, 1, 1, 2, 4, 16])):
        place = chance.randrange(len(content))
        how = chance.randrange(5)
        if how == 0:
            content[place] ^= 1 << chance.randrange(8)
        elif how == 1:
            content[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif how == 2:
            wide = chance.choice(["<h", "<i", "<q"])
            value = struct.pack("<q", chance.choice(_INT64))[: struct.calcsize(wide)]
            place -= place % struct.calcsize(wide)
            content[place : place + len(value)] = value
        elif how == 3:
            del content[place : place + chance.choice([1, 4, 8, 64])]
        else:
            length = chance.choice([1, 8, 64, 512])
            content[place:place] = content[place : place + length]
        if not content:
            break
    return bytes(content)


def cut_and_spliced(chance: random.Random) -> bytes:
    """Cut off anywhere; messages left out, repeated, in another order, or another file's."""
    content = _file(chance.randrange(64))
    if chance.random() < 0.3:
        return content[: chance.randrange(len(content))]
    parts = _messages(content)
    other = _messages(_file(chance.randrange(64)))
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(parts))
        how = chance.randrange(4)
        if how == 0:
            parts.insert(place, chance.choice(other))
        elif how == 1:
            parts.insert(place, parts[chance.randrange(len(parts))])
        elif how == 2 and len(parts) > 1:
            del parts[place]
        else:
            parts[place:] = other[chance.randrange(len(other)) :] or parts[place:]
    return b"".join(parts)


def wild_rows(chance: random.Random) -> bytes:
    """Well-formed, and telling of what cannot have happened."""
    told = _story(chance.randrange(64))
    rows = [dict(row) for row in told.rows]
    columns: dict[str, Callable[[], Any]] = {
        "time": lambda: chance.choice([*_INT64, START, START + 10**9, told.now]),
        "kind": lambda: chance.choice([*KINDS, *NAMES]),
        "socket": lambda: chance.choice([0, 1, (1 << 64) - 1, rows[0]["socket"]]),
        "old_state": lambda: chance.choice([*STATES, *NAMES]),
        "new_state": lambda: chance.choice([*STATES, *NAMES]),
        "family": lambda: chance.choice([0, 4, 6, 255]),
        "local_address": lambda: chance.choice([bytes(16), b"\xff" * 16, chance.randbytes(16)]),
        "remote_address": lambda: chance.choice([bytes(16), b"\xff" * 16, chance.randbytes(16)]),
        "local_port": lambda: chance.choice([0, 80, 65535]),
        "remote_port": lambda: chance.choice([0, 80, 65535]),
        "netns": lambda: chance.choice([0, 1, (1 << 32) - 1]),
        "cgroup": lambda: chance.choice([0, 1, (1 << 64) - 1]),
        "pid": lambda: chance.choice([0, 1, (1 << 32) - 1]),
        "comm": lambda: chance.choice(NAMES),
        "detail": lambda: chance.choice([None, *_INT64, 104 << 8, 110 << 8 | 3, 255 << 8]),
    }
    chosen = chance.sample(list(columns), chance.randrange(1, 5))
    share = chance.choice([0.05, 0.3, 1.0])
    for row in rows:
        for name in chosen:
            if chance.random() < share:
                row[name] = columns[name]()
    how = chance.randrange(4)
    if how == 0:
        chance.shuffle(rows)
    elif how == 1:
        rows = rows[::-1]
    elif how == 2:
        rows = chance.choices(rows, k=chance.choice([1, 40, 200]))
    schema = SCHEMA
    table = _table(rows)
    if chance.random() < 0.2:
        table, schema = _other_schema(chance, table)
    batches = [
        (part, _batch_metadata(chance)) for part in table.to_batches(max_chunksize=len(rows))
    ]
    batches.append((None, {"final": True} | _batch_metadata(chance)))
    return _written(_header(chance, told), batches, schema=schema, compressed=bool(how))


def _table(rows: list[dict[str, Any]]) -> Any:
    arrays = []
    for field in SCHEMA:
        values = [row[field.name] for row in rows]
        if pa.types.is_dictionary(field.type):
            made = pa.array(values, pa.string()).dictionary_encode().cast(field.type)
        elif pa.types.is_timestamp(field.type):
            made = pa.array(values, pa.int64()).view(field.type)
        else:
            made = pa.array(values, field.type)
        arrays.append(made)
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _other_schema(chance: random.Random, table: Any) -> tuple[Any, Any]:
    """Nulls where none should be, columns of another type, missing, or there twice."""
    place = chance.randrange(len(SCHEMA))
    field = SCHEMA.field(place)
    how = chance.randrange(4)
    if how == 0:
        return (table := table.remove_column(place)), table.schema
    if how == 1:
        return (table := table.append_column(field, table.column(place))), table.schema
    if how == 2:
        another = pa.nulls(len(table), chance.choice([pa.null(), pa.int16(), pa.large_string()]))
        return (table := table.set_column(place, field.name, another)), table.schema
    holes = pa.chunked_array([pa.nulls(len(table), field.type)])
    return (table := table.set_column(place, field.with_nullable(True), holes)), table.schema


def wrong_indices(chance: random.Random) -> bytes:
    """Dictionaries too short for what points into them, with repeats, or empty."""
    told = _story(chance.randrange(64))
    table = told.table.combine_chunks()
    place = SCHEMA.get_field_index(chance.choice(["kind", "old_state", "new_state", "comm"]))
    kind = SCHEMA.field(place).type
    codes = np.array([chance.choice([0, 1, -1, 5, 99, 127]) for _ in range(len(table))])
    words = chance.choice([[], ["state"], ["state", "state"], list(NAMES[:9]), ["LISTEN", "CLOSE"]])
    column = pa.DictionaryArray.from_arrays(
        pa.array(codes, kind.index_type), pa.array(words, pa.string()), safe=False
    )
    arrays = [column if at == place else table.column(at).chunk(0) for at in range(len(SCHEMA))]
    batch = pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
    return _written(told.header, [(batch, {"final": True})], compressed=False)


def lying_lengths(chance: random.Random) -> bytes:
    """Compressed buffers that claim another size than theirs; bombs that do not lie."""
    told = _story(chance.randrange(64))
    count = 300_000 if chance.random() < 0.02 else chance.choice([1, 1000])
    row = told.table.slice(0, 1).combine_chunks().to_batches()[0]
    bomb = row.take(pa.array(np.zeros(count, np.int64)))
    parts = [(bomb, {}) for _ in range(chance.choice([1, 3]))]
    content = bytearray(_written(told.header, parts, compressed=True))
    if count < 300_000:
        # zstd frames begin so; the size each claims stands before it.
        magic = b"\x28\xb5\x2f\xfd"
        places = [at for at in range(8, len(content)) if content.startswith(magic, at)]
        for at in chance.sample(places, min(len(places), chance.randrange(1, 4))):
            content[at - 8 : at] = struct.pack("<q", chance.choice([*_INT64, 1 << 24, 1 << 33]))
    return bytes(content)


def hostile_words(chance: random.Random) -> bytes:
    """A header and metadata that say strange things in well-formed JSON."""
    told = _story(chance.randrange(64))
    parts = [(part, _batch_metadata(chance)) for part in told.table.to_batches(max_chunksize=5)]
    parts.append((None, {"final": True} | _batch_metadata(chance)))
    return _written(_header(chance, told), parts, compressed=False)


def with_words(header: dict[str, Any], metadata: dict[str, Any]) -> bytes:
    """A believable recording but for these words."""
    told = _story(7)
    parts: list[tuple[Any, dict[str, Any]]] = [
        (part, metadata) for part in told.table.to_batches(max_chunksize=5)
    ]
    return _written(told.header | header, parts, compressed=False)


def _header(chance: random.Random, told: Story) -> Any:
    header = dict(told.header)
    for name in chance.sample(HEADER_FIELDS, chance.randrange(4)):
        header[name] = chance.choice(VALUES)
    if chance.random() < 0.5:
        header["sysctl"] = {name: chance.choice(VALUES) for name in _SYSCTLS}
    if chance.random() < 0.5:
        header["mib"] = _mib(chance)
    if chance.random() < 0.3:
        names = {str(chance.choice([told.rows[0]["netns"], 11, -1])): chance.choice(VALUES)}
        header["names"] = {"netns": names, "cgroup": names}
    header["format"] = 1 if chance.random() < 0.97 else header.get("format")
    return header


def _batch_metadata(chance: random.Random) -> dict[str, Any]:
    made = {name: chance.choice(VALUES) for name in chance.sample(BATCH_FIELDS, 2)}
    return made | ({"mib": _mib(chance)} if chance.random() < 0.3 else {})


def _mib(chance: random.Random) -> dict[str, Any]:
    return {
        group: {name: chance.choice([*VALUES, *_INT64]) for name in _COUNTERS}
        for group in ("TcpExt", "Tcp")
    }


WAYS: tuple[Callable[[random.Random], bytes], ...] = (
    damaged_bytes,
    damaged_bytes,
    cut_and_spliced,
    wild_rows,
    wild_rows,
    wrong_indices,
    lying_lengths,
    hostile_words,
)


def make(number: int, path: Path) -> str:
    """Write the recording of this number; how it was made."""
    chance = random.Random(number)  # noqa: S311
    way = WAYS[number % len(WAYS)]
    path.write_bytes(way(chance))
    return way.__name__
