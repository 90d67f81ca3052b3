"""An experiment's capture as a pcapng file, for Wireshark.

Format: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html. Each
host is an interface; a segment is written where it was sent. What the wire did
to it is the packet's comment.
"""

import struct
from pathlib import Path

from tcptrace.analysis.demo.capture import Sighting
from tcptrace.analysis.output import new_file

#: LINKTYPE_IPV4; with LINKTYPE_RAW tcpdump refuses a second interface.
_LINKTYPE_IPV4 = 228
_OPTION_COMMENT, _OPTION_NAME, _OPTION_RESOLUTION = 1, 2, 9


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def write(path: Path, names: tuple[str, str], sightings: list[Sighting], offset: int) -> None:
    """Write a capture; ``offset`` (ns) turns its CLOCK_MONOTONIC times into UTC.

    Raises :class:`tcptrace.tracer.errors.OutputError`.
    """
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    blocks = [_block(0x0A0D0D0A, section)]
    for name in names:
        options = (
            _option(_OPTION_NAME, name.encode())
            + _option(_OPTION_RESOLUTION, b"\x09")
            + _option(0, b"")
        )
        blocks.append(_block(1, struct.pack("<HHI", _LINKTYPE_IPV4, 0, 0) + options))
    for sighting in sorted(sightings, key=lambda one: one.time):
        packet = sighting.segment.packet
        moment = sighting.time + offset
        whole = max(int.from_bytes(packet[2:4], "big"), len(packet))
        body = struct.pack(
            "<IIIII",
            sighting.side == "right",
            moment >> 32,
            moment & 0xFFFFFFFF,
            len(packet),
            whole,
        )
        comment = b""
        if sighting.fate != "delivered":
            comment = _option(_OPTION_COMMENT, sighting.fate.encode()) + _option(0, b"")
        blocks.append(_block(6, body + _padded(packet) + comment))
    with new_file(path) as stream:
        stream.write(b"".join(blocks))
