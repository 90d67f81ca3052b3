"""TCP segments in IPv4 packets: taken apart, put together, described.

RFC 791 section 3.1 and RFC 9293 section 3.1.
"""

import socket
import struct
from dataclasses import dataclass

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_NAMES = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (ACK, "ACK"))
_IP = struct.Struct("!BBHHHBBH4s4s")
_TCP = struct.Struct("!HHLLBBHHH")
TCP_MAX_HEADERS = 120


@dataclass(frozen=True)
class Segment:
    """One TCP segment; ``length`` counts its data in bytes.

    ``packet`` is the IPv4 packet as it was on the wire; for a capture it may be
    cut short after the headers and the beginning of the data.
    """

    source: str
    target: str
    source_port: int
    target_port: int
    seq: int
    ack: int
    flags: int
    window: int
    length: int
    packet: bytes

    @property
    def syn(self) -> bool:
        """SYN is set."""
        return bool(self.flags & SYN)

    @property
    def fin(self) -> bool:
        """FIN is set."""
        return bool(self.flags & FIN)

    @property
    def rst(self) -> bool:
        """RST is set."""
        return bool(self.flags & RST)

    @property
    def pure_ack(self) -> bool:
        """It confirms and does nothing else."""
        return self.flags & (SYN | FIN | RST | ACK) == ACK and self.length == 0

    @property
    def end(self) -> int:
        """The sequence number after this segment: SYN and FIN count one each."""
        return (self.seq + self.length + self.syn + self.fin) % 2**32

    @property
    def names(self) -> str:
        """The control bits by name; PSH is left out, it changes nothing here."""
        return ",".join(name for bit, name in _NAMES if bit != PSH and self.flags & bit)

    @property
    def ports(self) -> frozenset[int]:
        """Both ports: enough to tell one connection of an experiment from another."""
        return frozenset((self.source_port, self.target_port))


def parse(packet: bytes, keep: int | None = None) -> Segment | None:
    """Take an IPv4 packet apart; None if it holds no TCP segment.

    ``keep``: how much of the packet the segment remembers (all of it by default).
    """
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
        return None
    header = (packet[0] & 15) * 4
    if len(packet) < header + _TCP.size:
        return None
    total = int.from_bytes(packet[2:4], "big") or len(packet)
    source_port, target_port, seq, ack, offset, flags, window, _, _ = _TCP.unpack_from(
        packet, header
    )
    return Segment(
        source=socket.inet_ntoa(packet[12:16]),
        target=socket.inet_ntoa(packet[16:20]),
        source_port=source_port,
        target_port=target_port,
        seq=seq,
        ack=ack,
        flags=flags,
        window=window,
        length=total - header - (offset >> 4) * 4,
        packet=packet[:keep],
    )


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def build(
    source: str,
    source_port: int,
    target: str,
    target_port: int,
    *,
    seq: int,
    flags: int,
    ack: int = 0,
    window: int = 65535,
    data: bytes = b"",
) -> bytes:
    """Put a segment without TCP options into an IPv4 packet, checksums included."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    length = _TCP.size + len(data)
    tcp = _TCP.pack(source_port, target_port, seq % 2**32, ack % 2**32, 5 << 4, flags, window, 0, 0)
    pseudo = addresses + struct.pack("!HH", socket.IPPROTO_TCP, length)
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp + data)) + tcp[18:]
    ip = _IP.pack(
        0x45, 0, _IP.size + length, 0, 0, 64, socket.IPPROTO_TCP, 0, addresses[:4], addresses[4:]
    )
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return ip + tcp + data
