"""How much of a file may be unpacked: a few kilobytes can claim to be gigabytes.

Every buffer of a compressed Arrow message says first how long it is once unpacked, and
Arrow allocates as much. So these claims are added up before Arrow sees them.
Format: Schema.fbs and Message.fbs of Apache Arrow; FlatBuffers' internals.
"""

import struct
from collections.abc import Iterator

import pyarrow as pa

#: Bytes a recording may unpack to: so many, and for each of its own so many more. A
#: recorder's own files unpack to 7 to 14 times their size (93 bytes an event).
ALLOWANCE = 16 << 20
LARGEST_RATIO = 100

_DICTIONARY, _RECORDS = 2, 3  # union MessageHeader
#: Places of fields in their tables.
_HEADER_TYPE, _HEADER = 1, 2
_DICTIONARY_RECORDS = 1
_BUFFERS, _COMPRESSION = 2, 3
_UINT16, _INT32, _UINT32 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I")
_INT64, _BUFFER = struct.Struct("<q"), struct.Struct("<qq")


def safe_part(whole: pa.Buffer) -> pa.Buffer:
    """Give a file's beginning, as far as it unpacks to no more than it may; no copy.

    ``whole``: all of the file. Stops before the first message that is damaged in a way
    that hides its size. All of a recorder's own file, if whole.
    """
    end, unpacked = 0, 0
    try:
        reading = pa.BufferReader(whole)
        for message in pa.ipc.MessageReader.open_stream(reading):
            unpacked += sum(_unpacked_sizes(message))
            if unpacked > ALLOWANCE + LARGEST_RATIO * len(whole):
                return whole.slice(0, end)
            end = reading.tell()
    except _Damaged:
        return whole.slice(0, end)
    except (pa.ArrowException, OSError, EOFError):
        pass  # Arrow's own reader will stop there, too
    return whole


class _Damaged(Exception):  # noqa: N818  never leaves this file
    """A message that contradicts itself."""


def _unpacked_sizes(message: pa.ipc.Message) -> Iterator[int]:
    """Give the size of each of a message's buffers once unpacked."""
    raw, body = memoryview(message.metadata), message.body
    try:
        table = _table(raw, 0)
        kind = raw[table + field] if (field := _field(raw, table, _HEADER_TYPE)) else 0
        if kind not in (_DICTIONARY, _RECORDS):
            return
        records = _child(raw, table, _HEADER)
        if records is not None and kind == _DICTIONARY:
            records = _child(raw, records, _DICTIONARY_RECORDS)
        buffers = None if records is None else _child(raw, records, _BUFFERS)
        if records is None or buffers is None:
            return
        compressed = _field(raw, records, _COMPRESSION) != 0
        (count,) = _UINT32.unpack_from(raw, buffers)
        contents = memoryview(body) if body is not None else memoryview(b"")
        for place in range(count):
            offset, length = _BUFFER.unpack_from(raw, buffers + 4 + place * _BUFFER.size)
            if not 0 <= offset <= len(contents) or not 0 <= length <= len(contents) - offset:
                raise _Damaged
            if compressed and length >= _INT64.size:
                (claimed,) = _INT64.unpack_from(contents, offset)
                if claimed < -1:
                    raise _Damaged
                # -1: this one is not compressed.
                yield length if claimed == -1 else claimed
            else:
                yield length
    except (struct.error, IndexError) as error:
        raise _Damaged from error


def _table(raw: memoryview, place: int) -> int:
    """Follow the offset at a place to the table it leads to."""
    found: int = place + _UINT32.unpack_from(raw, place)[0]
    return found


def _field(raw: memoryview, table: int, number: int) -> int:
    """Give where in a table a field is; 0: it has none."""
    positions = table - _INT32.unpack_from(raw, table)[0]
    if positions < 0:
        raise _Damaged
    (size,) = _UINT16.unpack_from(raw, positions)
    place = 4 + 2 * number
    return int(_UINT16.unpack_from(raw, positions + place)[0]) if place + 2 <= size else 0


def _child(raw: memoryview, table: int, number: int) -> int | None:
    """Follow a field that leads to another table, or to a vector."""
    field = _field(raw, table, number)
    return _table(raw, table + field) if field else None
