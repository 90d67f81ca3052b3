"""Kernel records written by hand: connections' ends, their timewait sockets."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.schema import KIND, STATE

NETNS = 4026531840


def packed(address: str) -> bytes:
    parsed = ipaddress.ip_address(address)
    mapped = f"::ffff:{parsed}" if parsed.version == 4 else str(parsed)
    return ipaddress.IPv6Address(mapped).packed


@dataclass(frozen=True)
class End:
    """One end of a connection; its methods give records in the kernel's way."""

    socket: int = 0x1000
    local: str = "10.0.0.1"
    local_port: int = 40000
    remote: str = "10.0.0.2"
    remote_port: int = 80
    pid: int = 100
    comm: str = "owner"
    netns: int = NETNS
    family: int = 4

    def row(self, time: int, kind: str, old: str, new: str, **changes: Any) -> np.ndarray:
        """One record, by a bystander unless `pid` and `comm` are given."""
        made = np.zeros(1, EVENT)
        fields = {
            "time": time,
            "socket": self.socket,
            "kind": KIND[kind],
            "old_state": STATE[old],
            "new_state": STATE[new],
            "local_address": packed(self.local),
            "remote_address": packed(self.remote),
            "local_port": self.local_port,
            "remote_port": self.remote_port,
            "netns": self.netns,
            "family": self.family,
            "pid": 999,
            "comm": b"bystander",
        } | changes
        for name, value in fields.items():
            made[name] = value
        return made

    def state(self, time: int, old: str, new: str, *, owned: bool = False, **more: Any) -> Any:
        owner = {"pid": self.pid, "comm": self.comm.encode()} if owned else {}
        return self.row(time, "state", old, new, **owner, **more)

    def opens(self, time: int) -> list[np.ndarray]:
        """connect(): the port is chosen only after SYN_SENT was reported."""
        return [
            self.state(time, "CLOSE", "SYN_SENT", owned=True, local_port=0),
            self.state(time + 1, "SYN_SENT", "ESTABLISHED"),
        ]

    def is_accepted(self, time: int, *, old_kernel: bool = False) -> list[np.ndarray]:
        """Before Linux 6.15 the first event has the listener's tuple."""
        listeners = {"remote_port": 0, "remote_address": packed("0.0.0.0")} if old_kernel else {}
        return [
            self.state(time, "LISTEN", "SYN_RECV", **listeners),
            self.state(time + 1, "SYN_RECV", "ESTABLISHED"),
        ]

    def closes_first(self, time: int) -> list[np.ndarray]:
        """Active close; `timewait(...)` tells of what begins just before its last event."""
        return [
            self.state(time, "ESTABLISHED", "FIN_WAIT_1", owned=True),
            self.state(time + 1, "FIN_WAIT_1", "FIN_WAIT_2"),
        ]

    def gone(self, time: int, old: str = "FIN_WAIT_2") -> list[np.ndarray]:
        return [self.state(time, old, "CLOSE")]

    def closes_second(self, time: int) -> list[np.ndarray]:
        return [
            self.state(time, "ESTABLISHED", "CLOSE_WAIT"),
            self.state(time + 1, "CLOSE_WAIT", "LAST_ACK", owned=True),
            self.state(time + 2, "LAST_ACK", "CLOSE"),
        ]

    def timewait(self, time: int, kind: str, socket: int = 0x9000) -> np.ndarray:
        return self.row(time, f"timewait_{kind}", "TIME_WAIT", "TIME_WAIT", socket=socket)

    def at(self, socket: int, **changes: Any) -> End:
        return replace(self, socket=socket, **changes)


def batch(*rows: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """Records in the order of time."""
    flat = [row for one in rows for row in (one if isinstance(one, list) else [one])]
    joined = np.concatenate([np.empty(0, EVENT), *flat])
    return joined[np.argsort(joined["time"], kind="stable")]
