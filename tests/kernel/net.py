"""Network namespaces of the tests' own, and what the kernel says about them."""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
LINK = "tt0"
TIMEOUT = 30.0  # s: how long a condition that is due at once may take on a busy machine

# include/net/tcp_states.h, in RFC 9293 words.
STATES = {
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
    12: "NEW_SYN_RECV",
}

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


def wait_until(
    condition: Callable[[], object],
    *,
    what: Callable[[], str],
    timeout: float = TIMEOUT,
    every: float = 0.02,
) -> None:
    """Return once `condition()` is true; fail, saying `what`, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout:g} s still not so: {what()}")
        time.sleep(every)


def ip(lines: list[str]) -> None:
    """Run `ip` commands in one process."""
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(lines), text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"ip: {done.stderr.strip()} in {lines}")


def remove_leftovers() -> None:
    """Remove the namespaces of test runs that were killed before they could."""
    for path in NAMESPACES.glob("tt-*-*"):
        owner = path.name.split("-")[1]
        if not Path("/proc", owner).exists():
            subprocess.run(["ip", "netns", "del", path.name], capture_output=True, check=False)


class Namespace:
    """A network namespace with its loopback up; gone after `delete()`."""

    def __init__(self) -> None:
        self.name = f"tt-{os.getpid()}-{next(_numbers)}"
        ip([f"netns add {self.name}"])
        self.inode = (NAMESPACES / self.name).stat().st_ino
        self.ip("link set lo up")

    def __repr__(self) -> str:
        return f"<{self.name} {self.inode}>"

    def ip(self, *lines: str) -> None:
        """Run `ip` commands, written without `ip`, inside."""
        done = subprocess.run(
            ["ip", "-n", self.name, "-batch", "-"],
            input="\n".join(lines),
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"ip -n {self.name}: {done.stderr.strip()} in {lines}")

    def command(self, *words: str) -> list[str]:
        """The command line that runs `words` inside; it keeps the process id."""
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, *words: str) -> str:
        """Run a command inside to its end and return what it printed."""
        done = subprocess.run(self.command(*words), text=True, capture_output=True, check=True)
        return done.stdout

    def inside(self, function: Callable[[], T]) -> T:
        """Call `function` on a thread of its own that is in the namespace."""

        def enter() -> T:
            with (NAMESPACES / self.name).open() as handle:
                if _libc.setns(handle.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return function()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(enter).result()

    def sysctl(self, **values: object) -> None:
        """Set net.ipv4.* variables by their last name: `sysctl(tcp_fin_timeout=2)`."""

        def write() -> None:
            for name, value in values.items():
                Path("/proc/sys/net/ipv4", name).write_text(f"{value}\n")

        self.inside(write)

    def has_sysctl(self, name: str) -> bool:
        """Whether net.ipv4.`name` belongs to a namespace and not to the whole machine."""
        return self.inside(lambda: Path("/proc/sys/net/ipv4", name).exists())

    def counters(self) -> dict[str, int]:
        """The TcpExt counters (netstat), by name."""
        text = self.inside(lambda: Path("/proc/thread-self/net/netstat").read_text())
        lines = [line.split()[1:] for line in text.splitlines() if line.startswith("TcpExt:")]
        return dict(zip(lines[0], map(int, lines[1]), strict=True))

    def states(self, port: int | None = None) -> Counter[str]:
        """How many TCP sockets are in each state; of those with `port` at either end, if given."""

        def read() -> list[str]:
            base = Path("/proc/thread-self/net")
            return [
                line
                for name in ("tcp", "tcp6")
                if (base / name).exists()
                for line in (base / name).read_text().splitlines()[1:]
            ]

        found: Counter[str] = Counter()
        for line in self.inside(read):
            _, local, remote, state, *_ = line.split()
            ports = {int(end.rpartition(":")[2], 16) for end in (local, remote)}
            if port is None or port in ports:
                found[STATES[int(state, 16)]] += 1
        return found

    def wait_for(
        self, timeout: float = TIMEOUT, every: float = 0.02, port: int | None = None, **counts: int
    ) -> None:
        """Wait until each named state has exactly that many sockets (with `port`)."""

        def reached() -> bool:
            found = self.states(port)  # once: between two looks sockets move on
            return all(found[state] == n for state, n in counts.items())

        wait_until(
            reached,
            what=lambda: f"{counts} in {self}, which has {dict(self.states(port))}",
            timeout=timeout,
            every=every,
        )

    def wait_quiet(self, timeout: float = TIMEOUT) -> None:
        """Wait until no socket is about to move by itself: neither opening nor closing."""
        self.wait_for(timeout, SYN_SENT=0, SYN_RECV=0, FIN_WAIT_1=0, CLOSING=0, LAST_ACK=0)

    def delete(self) -> None:
        """Remove the namespace; the kernel takes it down once no process is inside."""
        if (NAMESPACES / self.name).exists():
            ip([f"netns del {self.name}"])


@dataclass(frozen=True)
class Pair:
    """Two namespaces and their addresses on the link between them."""

    client: Namespace
    server: Namespace
    client4: str
    server4: str
    client6: str
    server6: str

    def address_of_server(self, family: int) -> str:
        return self.server4 if family == 4 else self.server6

    def both(self, family: int) -> tuple[str, str]:
        """Give the client's address and the server's."""
        return (self.client4 if family == 4 else self.client6), self.address_of_server(family)

    def wait_quiet(self, timeout: float = TIMEOUT) -> None:
        self.client.wait_quiet(timeout)
        self.server.wait_quiet(timeout)


def number_pair() -> tuple[str, str]:
    """An IPv4 and an IPv6 prefix that no other pair on the machine is likely to use."""
    number = (os.getpid() * 16 + next(_numbers)) & 0xFFFF
    return f"10.{number >> 8}.{number & 255}", f"fd00:{number:x}:"


def addresses(client: Namespace, server: Namespace, like: Pair | None = None) -> Pair:
    """Give both ends of LINK, which both namespaces have by now, their addresses.

    `like`: a pair whose addresses to use again.
    """
    four, six = number_pair()
    pair = Pair(client, server, f"{four}.1", f"{four}.2", f"{six}:1", f"{six}:2")
    if like:
        pair = replace(like, client=client, server=server)
    ends = ((client, pair.client4, pair.client6), (server, pair.server4, pair.server6))
    for namespace, ipv4, ipv6 in ends:
        namespace.ip(
            f"link set {LINK} up",
            f"address add {ipv4}/24 dev {LINK}",
            f"address add {ipv6}/64 dev {LINK} nodad",
        )
        # An ACK that another CPU overtook comes after the FIN: on a busy machine that
        # was enough for an RST, which would end a TIME_WAIT the test needs.
        namespace.sysctl(tcp_rfc1337=1)
    return pair


def join(client: Namespace, server: Namespace, like: Pair | None = None) -> Pair:
    """Join two namespaces by a virtual Ethernet cable; `like`: with another pair's addresses."""
    ip([f"link add {LINK} netns {client.name} type veth peer name {LINK} netns {server.name}"])
    return addresses(client, server, like)


def free_udp_send(address: str, data: bytes, port: int) -> None:
    """Send one datagram, to nobody in particular."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, (address, port))
