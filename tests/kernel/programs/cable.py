"""A cable between two namespaces that can hold, drop and forge packets.

Joins a TUN device in each namespace and carries IP packets from one to the
other, in order. Rules come as JSON lines on standard input, as for agent.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import struct
import sys
from dataclasses import dataclass, field
from typing import Any

CLONE_NEWNET = 0x40000000
PR_SET_NAME = 15
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000
FLAGS = {"fin": 1, "syn": 2, "rst": 4, "ack": 16}
TCP = 6

libc = ctypes.CDLL(None)


def open_tun(namespace: str, device: str) -> int:
    with open(f"/run/netns/{namespace}") as handle:  # noqa: PTH123
        if libc.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError("setns")
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    return tun


@dataclass
class Segment:
    """Where the parts of a TCP segment are in a packet."""

    packet: bytes
    at: int  # of the TCP header
    flags: int
    data: int  # octets of payload

    @property
    def identity(self) -> tuple[int, ...]:
        """Ports, sequence number and flags: equal if it is sent again."""
        return (*struct.unpack_from("!HHI", self.packet, self.at), self.flags)

    @property
    def ports(self) -> tuple[int, int]:
        source, target = struct.unpack_from("!HH", self.packet, self.at)
        return source, target


def segment_of(packet: bytes) -> Segment | None:
    version = packet[0] >> 4
    at, protocol = ((packet[0] & 15) * 4, packet[9]) if version == 4 else (40, packet[6])
    if protocol != TCP:
        return None
    return Segment(packet, at, packet[at + 13], len(packet) - at - (packet[at + 12] >> 4) * 4)


@dataclass
class Rule:
    """What to do with matching segments: `kind` is a flag's name, `pure_ack` or `any`."""

    action: str  # hold or drop
    source: str  # a, b or any
    kind: str
    count: int  # how many more; -1: all
    port: int  # at either end; 0: any

    def matches(self, source: str, segment: Segment) -> bool:
        if self.count == 0 or self.source not in (source, "any"):
            return False
        if self.port and self.port not in segment.ports:
            return False
        if self.kind == "pure_ack":
            return segment.flags & 0x17 == FLAGS["ack"] and segment.data == 0
        return self.kind == "any" or bool(segment.flags & FLAGS[self.kind])


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass
class Cable:
    """The two ends, the rules, and what is held."""

    ends: dict[str, int]
    rules: list[Rule] = field(default_factory=list)
    held: dict[tuple[int, ...], tuple[str, bytes]] = field(default_factory=dict)
    last: dict[tuple[str, int, int], Segment] = field(default_factory=dict)
    wanted: int | None = None

    def deliver(self, source: str, packet: bytes) -> None:
        # EIO: the other end is not up yet, or not any more.
        with contextlib.suppress(OSError):
            os.write(self.ends["b" if source == "a" else "a"], packet)

    def carry(self, source: str) -> None:
        packet = os.read(self.ends[source], 65536)
        segment = segment_of(packet)
        if segment is None:
            return self.deliver(source, packet)
        self.last[source, *segment.ports] = segment
        rule = next((r for r in self.rules if r.matches(source, segment)), None)
        if rule is None:
            return self.deliver(source, packet)
        rule.count -= rule.count > 0
        if rule.action == "hold":
            # Once: what is sent again while held would arrive twice.
            self.held.setdefault(segment.identity, (source, packet))
        return None

    # The requests.

    def rule(self, **fields: Any) -> None:
        self.rules.append(Rule(**fields))

    def clear(self) -> None:
        self.rules.clear()

    def wait_held(self, count: int) -> None:
        self.wanted = count

    def release(self) -> None:
        """Deliver what was held, in order, and hold no more."""
        self.rules.clear()
        for source, packet in self.held.values():
            self.deliver(source, packet)
        self.held.clear()

    def forge_reset(self, source: str, source_port: int, target_port: int) -> None:
        """Send to the other end the RST that it must believe: at exactly its RCV.NXT."""
        model = self.last[source, source_port, target_port]
        reply = self.last["b" if source == "a" else "a", target_port, source_port]
        expected = struct.unpack_from("!I", reply.packet, reply.at + 8)[0]
        tcp = struct.pack(
            "!HHIIBBHHH", source_port, target_port, expected, 0, 5 << 4, FLAGS["rst"], 0, 0, 0
        )
        packet = bytearray(model.packet[: model.at])
        if packet[0] >> 4 == 4:
            del packet[20:]
            packet[0] = 0x45
            struct.pack_into("!H", packet, 2, 20 + len(tcp))
            struct.pack_into("!H", packet, 10, 0)
            struct.pack_into("!H", packet, 10, checksum(bytes(packet)))
            addresses = bytes(packet[12:20])
        else:
            struct.pack_into("!H", packet, 4, len(tcp))
            addresses = bytes(packet[8:40])
        pseudo = addresses + struct.pack("!HH", TCP, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        self.deliver(source, bytes(packet) + tcp)


def answer(value: object = None) -> None:
    print(json.dumps({"ok": value}), flush=True)  # noqa: T201


def main() -> None:
    name, device, a, b = sys.argv[1:]
    libc.prctl(PR_SET_NAME, name.encode())
    cable = Cable({"a": open_tun(a, device), "b": open_tun(b, device)})
    sources = {number: end for end, number in cable.ends.items()}
    requests = sys.stdin.buffer.raw  # type: ignore[attr-defined]
    pending = b""
    answer(os.getpid())
    while True:
        for ready in select.select([requests, *sources], [], [])[0]:
            if ready is not requests:
                cable.carry(sources[ready])
                continue
            more = requests.read(65536)
            if not more:
                return
            *lines, pending = (pending + more).split(b"\n")
            for line in lines:
                request, arguments = json.loads(line)
                getattr(cable, request)(**arguments)
                if request != "wait_held":
                    answer()
        if cable.wanted is not None and len(cable.held) >= cable.wanted:
            cable.wanted = None
            answer()


if __name__ == "__main__":
    main()
