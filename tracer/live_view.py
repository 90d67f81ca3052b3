"""How ``live`` looks: a line per transition, or a table of programs (``--top``)."""

import datetime
import ipaddress
from collections import Counter
from dataclasses import dataclass, field

from tcptrace.tracer.live import LiveSockets, Socket, Transition
from tcptrace.tracer.printable import for_terminal

#: Keys of ``--top`` -> the column they sort by.
SORT_KEYS = {"t": "TIME_WAIT", "c": "CLOSE_WAIT", "e": "ESTABLISHED", "a": "closes"}

_WIDTH = 80
_PROGRAM = 20
_UNKNOWN = "?"


def owner(comm: str | None, pid: int | None) -> str:
    """Name an owner: ``curl[42]``; ``(nginx)`` is who listens; ``?`` is unknown."""
    if comm is None:
        return _UNKNOWN
    name = for_terminal(comm)
    return f"({name})" if pid is None else f"{name}[{pid}]"


def endpoint(address: bytes, port: int) -> str:
    """Write an address (16 bytes, IPv4 mapped) and a port; 0 is one not known yet."""
    ip = ipaddress.IPv6Address(address.ljust(16, b"\0"))
    told = port or _UNKNOWN
    return f"{ip.ipv4_mapped}:{told}" if ip.ipv4_mapped else f"[{ip}]:{told}"


def duration(nanoseconds: int) -> str:
    """Write a duration in the unit that suits it."""
    for factor, unit in ((1_000, "us"), (1_000_000, "ms"), (1_000_000_000, "s")):
        value = nanoseconds / factor
        if value < 999.5 or unit == "s":
            return f"{value:,.{0 if value >= 99.5 else 1}f} {unit}"
    raise AssertionError


def transition_line(told: Transition, clock_offset_ns: int) -> str:
    """Write a transition: UTC time, owner, endpoints, states, time in the old one."""
    time = datetime.datetime.fromtimestamp((told.time + clock_offset_ns) / 1e9, datetime.UTC)
    _, local, local_port, remote, remote_port = told.key
    parts = [
        f"{time:%H:%M:%S.%f}",
        f"{owner(told.comm, told.pid):<{_PROGRAM}}",
        f"{endpoint(local, local_port)} {endpoint(remote, remote_port)}",
        f"{told.old} -> {told.new}",
    ]
    if told.lasted_ns is not None:
        parts.append(f"after {duration(told.lasted_ns)}")
    if told.note:
        parts.append(f"({told.note})")
    return "  ".join(parts)


@dataclass
class Rates:
    """What happened since the start, per program where it is known."""

    events: int = 0
    opened: int = 0
    closes: Counter[str] = field(default_factory=Counter)

    def take(self, told: Transition) -> None:
        """Count one transition."""
        if told.old in ("CLOSE", "LISTEN"):
            self.opened += 1
        if told.old == "ESTABLISHED" and told.new == "FIN_WAIT_1":
            self.closes[told.comm or _UNKNOWN] += 1


@dataclass(frozen=True)
class Program:
    """A row of ``--top``: one program's sockets now."""

    name: str
    states: Counter[str]
    closes: int
    oldest_close_wait: Socket | None


def programs(live: LiveSockets, rates: Rates, sort_by: str) -> list[Program]:
    """Count the sockets per program, the most in ``sort_by`` first."""
    states: dict[str, Counter[str]] = {}
    oldest: dict[str, Socket] = {}
    for socket in live.everything():
        name = socket.comm or _UNKNOWN
        states.setdefault(name, Counter())[socket.state] += 1
        if socket.state == "CLOSE_WAIT":
            first = oldest.get(name)
            if first is None or socket.time < first.time:
                oldest[name] = socket
    found = [
        Program(name, states.get(name, Counter()), rates.closes[name], oldest.get(name))
        for name in states.keys() | rates.closes.keys()
    ]

    def weight(each: Program) -> int:
        return each.closes if sort_by == "closes" else each.states[sort_by]

    return sorted(found, key=lambda each: (-weight(each), each.name))


def top_lines(
    live: LiveSockets,
    rates: Rates,
    *,
    before: tuple[int, int],
    elapsed: float,
    lost: int,
    now: int,
    sort_by: str,
    height: int,
) -> list[str]:
    """Write the table of programs, at most ``height`` lines of at most 80 columns.

    ``before``: events and opened ends ``elapsed`` seconds ago. ``now``: CLOCK_MONOTONIC, ns.
    """
    whole: Counter[str] = Counter(socket.state for socket in live.everything())
    events, opened = rates.events - before[0], rates.opened - before[1]
    shown = ("ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT", "FIN_WAIT_2")
    lines = [
        f"{events / elapsed:,.0f} events/s, {opened / elapsed:,.0f} ends opened/s, {lost:,} lost",
        ", ".join(f"{whole[state]:,} {state}" for state in shown),
        "",
        f"{'program':<{_PROGRAM}}{'ESTABL':>8}{'TIME_WAIT':>11}{'CLOSE_WAIT':>12}"
        f"{'oldest':>10}{'closes':>10}",
    ]
    found = programs(live, rates, sort_by)
    room = max(height - len(lines) - 1, 1)
    for each in found[:room]:
        oldest = each.oldest_close_wait
        age = "" if oldest is None else duration(now - oldest.time)
        if oldest is not None and oldest.older:
            age = f"> {age}"
        lines.append(
            f"{for_terminal(each.name)[: _PROGRAM - 1]:<{_PROGRAM}}"
            f"{each.states['ESTABLISHED']:>8,}{each.states['TIME_WAIT']:>11,}"
            f"{each.states['CLOSE_WAIT']:>12,}{age:>10}{each.closes:>10,}"
        )
    if len(found) > room:
        lines.append(f"... and {len(found) - room:,} more programs")
    return [line[:_WIDTH] for line in lines]
