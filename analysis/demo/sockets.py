"""The kernel's own word on a namespace: its TCP sockets and its counters."""

import socket
import struct
from dataclasses import dataclass

from tcptrace.analysis.demo.place import Place

#: ``st`` of /proc/net/tcp (include/net/tcp_states.h), RFC 9293 names.
_STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT_1",
    5: "FIN_WAIT_2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "SYN_RECV",
}
#: USER_HZ: /proc/net/tcp gives times in hundredths of a second.
_USER_HZ = 100


@dataclass(frozen=True)
class Socket:
    """One line of /proc/net/tcp.

    ``timer_s``: seconds until its timer fires (for TIME_WAIT: until it ends).
    A half-open connection (a request socket) is a SYN_RECV here.
    """

    local_port: int
    remote_address: str
    remote_port: int
    state: str
    timer_s: float


def sockets(host: Place, port: int | None = None) -> list[Socket]:
    """List a namespace's IPv4 TCP sockets, or those with ``port`` at either end."""
    found = []
    for line in host.proc_net("tcp").splitlines()[1:]:
        _, local, remote, state, _, timer, *_ = line.split()
        remote_address, remote_port = remote.split(":")
        found.append(
            Socket(
                int(local.split(":")[1], 16),
                socket.inet_ntoa(struct.pack("=I", int(remote_address, 16))),
                int(remote_port, 16),
                _STATES[int(state, 16)],
                int(timer.split(":")[1], 16) / _USER_HZ,
            )
        )
    return [one for one in found if port is None or port in (one.local_port, one.remote_port)]


def states(host: Place, port: int) -> list[str]:
    """List the states of the sockets with ``port`` at either end, sorted."""
    return sorted(one.state for one in sockets(host, port))


def counters(host: Place) -> dict[str, int]:
    """Return the namespace's TcpExt and Tcp counters (names as in ``nstat``)."""
    values: dict[str, int] = {}
    for name in ("netstat", "snmp"):
        lines = host.proc_net(name).splitlines()
        for names, numbers in zip(lines[::2], lines[1::2], strict=True):
            family = names.split(":")[0]
            if family in ("TcpExt", "Tcp"):
                values.update(zip(names.split()[1:], map(int, numbers.split()[1:]), strict=True))
    return values
