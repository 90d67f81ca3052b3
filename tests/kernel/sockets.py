"""A namespace's TCP sockets as ss and /proc/net/tcp tell them: witnesses for a snapshot."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple

from .net import Namespace

USER_HZ = 100  # of /proc/net/tcp, on every machine

_STATES = {
    "ESTAB": "ESTABLISHED",
    "SYN-SENT": "SYN_SENT",
    "FIN-WAIT-1": "FIN_WAIT_1",
    "FIN-WAIT-2": "FIN_WAIT_2",
    "TIME-WAIT": "TIME_WAIT",
    "CLOSE-WAIT": "CLOSE_WAIT",
    "LAST-ACK": "LAST_ACK",
    "LISTEN": "LISTEN",
    "CLOSING": "CLOSING",
}
_USER = re.compile(r'\("([^"]*)",pid=(\d+),fd=\d+\)')


class End(NamedTuple):
    """One end, its address as 16 bytes."""

    address: bytes
    port: int


class Told(NamedTuple):
    """One socket: `holders` are the processes that hold it, `timer` ss's words on it."""

    state: str
    local: End
    remote: End
    holders: frozenset[tuple[int, str]]
    timewait: bool


def mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    if address.version == 4:
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def end(text: str) -> End:
    address, _, port = text.rpartition(":")
    address = "::" if address == "*" else address.strip("[]")
    return End(mapped(ipaddress.ip_address(address)), 0 if port == "*" else int(port))


def by_ss(namespace: Namespace) -> list[Told]:
    """Every TCP socket, by `ss -tanpeo`."""
    found = []
    for line in namespace.run("ss", "-tanpeoH").splitlines():
        state, _, _, local, remote, *more = line.split()
        rest = " ".join(more)
        holders = frozenset((int(pid), name) for name, pid in _USER.findall(rest))
        found.append(
            Told(_STATES[state], end(local), end(remote), holders, "timer:(timewait," in rest)
        )
    return found


def timewait_seconds(namespace: Namespace) -> dict[tuple[End, End], float]:
    """Seconds until each timewait socket goes, by /proc/net/tcp (its timer is type 3)."""

    def read() -> list[str]:
        base = Path("/proc/thread-self/net")
        return [
            line for name in ("tcp", "tcp6") for line in (base / name).read_text().splitlines()[1:]
        ]

    def parse(text: str) -> End:
        address, port = text.split(":")
        words = bytes.fromhex(address)
        # Printed as numbers: each word is in the machine's order.
        packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
        return End(mapped(ipaddress.ip_address(packed)), int(port, 16))

    found = {}
    for line in namespace.inside(read):
        fields = line.split()
        kind, when = fields[5].split(":")
        if kind == "03":
            found[parse(fields[1]), parse(fields[2])] = int(when, 16) / USER_HZ
    return found
