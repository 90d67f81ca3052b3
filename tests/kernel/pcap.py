"""TCP segments and ICMP errors out of a pcap file, read without any library."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NANOSECOND_MAGIC = 0xA1B23C4D
ETHERNET, RAW = 1, 12
LINK_TYPE_RAW = 101
FIN, SYN, RST, PUSH, ACK = 1, 2, 4, 8, 16
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58

Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Segment:
    """One segment as it passed; `error` of a segment quoted in an ICMP error."""

    time: int  # ns since the epoch
    source: Endpoint
    target: Endpoint
    flags: int
    sequence: int
    acknowledged: int
    length: int  # of the data
    error: bool = False

    @property
    def end(self) -> int:
        """The sequence number after this segment's last octet, SYN and FIN counted."""
        return (
            self.sequence + self.length + bool(self.flags & SYN) + bool(self.flags & FIN)
        ) % 2**32


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (time in ns, IP packet) of each whole record of a capture."""
    magic, _, _, _, _, _, link = struct.unpack_from("<IHHiIII", data)
    if magic != NANOSECOND_MAGIC:
        raise ValueError("not a pcap file with nanoseconds, written on this machine")
    if link not in (ETHERNET, RAW, LINK_TYPE_RAW):
        raise ValueError(f"link type {link} is not known here")
    skip = 14 if link == ETHERNET else 0
    at = 24
    while at + 16 <= len(data):
        seconds, nanoseconds, size, _ = struct.unpack_from("<IIII", data, at)
        at += 16
        if at + size > len(data):
            return
        yield seconds * 10**9 + nanoseconds, data[at + skip : at + size]
        at += size


def _transport(packet: bytes) -> tuple[int, str, str, bytes]:
    """Protocol, source, target and payload, cut to the length the IP header gives."""
    if packet[0] >> 4 == 4:
        header, size = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)[0]
        source, target = (socket.inet_ntop(socket.AF_INET, packet[at : at + 4]) for at in (12, 16))
        return packet[9], source, target, packet[header:size]
    size = 40 + struct.unpack_from("!H", packet, 4)[0]
    source, target = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
    return packet[6], source, target, packet[40:size]


def _quoted(protocol: int, payload: bytes) -> bytes | None:
    """The packet that an ICMP destination-unreachable is about."""
    unreachable = {ICMP: 3, ICMP6: 1}
    return payload[8:] if payload[0] == unreachable[protocol] else None


def read(path: Path) -> list[Segment]:
    """Read every TCP segment, and those that ICMP errors quote, in order of capture."""
    found = []
    for time, packet in _packets(path.read_bytes()):
        protocol, source, target, payload = _transport(packet)
        error = protocol in (ICMP, ICMP6)
        if error:
            quoted = _quoted(protocol, payload)
            if quoted is None:
                continue
            # The quoted packet's length says what it had, not what is left of it.
            protocol, source, target, payload = _transport(quoted)
        if protocol != TCP or len(payload) < 20:
            continue
        source_port, target_port, sequence, acknowledged, offset, flags = struct.unpack_from(
            "!HHIIBB", payload
        )
        found.append(
            Segment(
                time,
                (source, source_port),
                (target, target_port),
                flags,
                sequence,
                acknowledged,
                max(0, len(payload) - (offset >> 4) * 4),
                error,
            )
        )
    return found
