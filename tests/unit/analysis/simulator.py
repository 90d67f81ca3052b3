"""A kernel that opens and closes connections at random, and the recording made of it.

Many sockets at once, their memory and ports used again at once, every way to close and
every end of TIME_WAIT, a recording that begins and ends anywhere.
"""

from __future__ import annotations

import errno
import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .scenario import (
    BYSTANDER,
    MICROSECOND,
    NETNS,
    OTHER_NETNS,
    SECOND,
    START,
    End,
    Socket,
    Story,
    Task,
    TimeWait,
)

TASKS = [Task(100 + number, name, number) for number, name in enumerate(["curl", "nginx", "ssh"])]
NOISE = [BYSTANDER, Task(999, "other", 9), *TASKS]
#: What a plan waits for next, seconds.
Plan = Iterator[float]


@dataclass
class Kernel(Story):
    """Runs plans side by side and records what they do between two times."""

    chance: random.Random = field(default_factory=random.Random)
    old_kernel: bool = False  # before 6.15 a child's first event has its listener's tuple
    sockets: list[Socket] = field(default_factory=list)
    waits: list[TimeWait] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    busy: set[End] = field(default_factory=set)
    recording: bool = False

    def new_address(self) -> int:
        """Memory given back last is used first."""
        if self.free and self.chance.random() < 0.9:
            return self.free.pop()
        return super().new_address()

    def emit(self, *args: Any, **more: Any) -> None:
        """Write an event, if anybody looks."""
        if more.get("by", BYSTANDER) is BYSTANDER and args[0] != "existing":
            more["by"] = self.chance.choice(NOISE)
        super().emit(*args, **more)
        if not self.recording or (args[0] in TIMEWAIT_KINDS and not self.timers):
            self.rows.pop()

    def run(self, plans: list[Plan], begin: float, end: float) -> None:
        """Take every plan's steps in turn; record from `begin` to `end`, seconds."""
        queue = [(START + round(self.chance.random() * end * SECOND), n) for n in range(len(plans))]
        started, ended = START + round(begin * SECOND), START + round(end * SECOND)
        heapq.heapify(queue)
        while queue:
            time, number = heapq.heappop(queue)
            if time >= ended:
                break
            if not self.recording and time >= started:
                self._begin(started)
            self.now = max(self.now, time)
            wait = next(plans[number], None)
            if wait is not None:
                heapq.heappush(queue, (self.now + round(wait * SECOND), number))
        if not self.recording:
            self._begin(started)
        self.now = max(self.now, ended)
        self.snapshot()

    def _begin(self, at: int) -> None:
        self.recording = True
        self.now = self.began = max(self.now, at)
        self.snapshot()

    began: int = START

    def snapshot(self) -> None:
        """Ask for the sockets, or not."""
        if self.chance.random() < 0.3:
            return
        for socket in self.sockets:
            by = self.chance.choice([BYSTANDER, *TASKS])
            self.existing(socket.end, socket.state, by=by)
        for wait in self.waits:
            wait.snapshot()

    @property
    def observed(self) -> Any:
        from tcptrace.analysis.observed import Observed

        settling = self.now if self.settling is None else self.settling
        return Observed(self.began, settling, self.now, self.lost, self.lost_until)

    def open(self, end: End) -> Socket:
        """A new socket on a four-tuple."""
        self.busy.add(end)
        socket = self.socket(end)
        self.sockets.append(socket)
        return socket

    def done(self, socket: Socket) -> None:
        """It closed: its memory is free, and its four-tuple unless a TIME_WAIT has it."""
        self.sockets.remove(socket)
        self.free.append(socket.address)
        self.busy.discard(socket.end)

    def wait_of(self, socket: Socket, substate: str, seconds: float = 60) -> TimeWait:
        wait = socket.time_wait(substate, seconds=seconds)
        self.done(socket)
        self.busy.add(wait.end)
        self.waits.append(wait)
        return wait

    def over(self, wait: TimeWait) -> None:
        self.waits.remove(wait)
        self.free.append(wait.address)
        self.busy.discard(wait.end)


TIMEWAIT_KINDS = ("timewait_start", "timewait_cancel", "timewait_expire", "timewait_reused")


def client_plan(kernel: Kernel, end: End, socket: Socket | None = None) -> Plan:
    """One socket that connects, does something and closes in some way."""
    chance = kernel.chance
    by = chance.choice(TASKS)
    if socket is None:
        socket = kernel.open(end)
        unbound = end._replace(local_port=0) if chance.random() < 0.9 else end
        socket.to("SYN_SENT", by=by, end=unbound)
    kind = chance.random()
    if kind < 0.05:
        nowhere = end._replace(local_port=0)
        kernel.emit("state", socket.address, "SYN_SENT", "CLOSE", nowhere, by=by)
        kernel.done(socket)
        return
    yield chance.choice([0, 0.001, 1.5])
    if kind < 0.1:
        socket.reset_received().gone(error=errno.ECONNREFUSED)
        kernel.done(socket)
        return
    if kind < 0.15:
        socket.gone(error=chance.choice([errno.ETIMEDOUT, errno.EHOSTUNREACH]))
        kernel.done(socket)
        return
    if kind < 0.2:
        socket.to("SYN_RECV")
    socket.to("ESTABLISHED")
    yield from close_plan(kernel, socket, by)


def server_plan(kernel: Kernel, end: End) -> Plan:
    """One accepted socket."""
    chance = kernel.chance
    socket = kernel.open(end)
    socket.state = "LISTEN"
    first = end
    if kernel.old_kernel:
        first = end._replace(remote="::" if ":" in end.remote else "0.0.0.0", remote_port=0)
    socket.to("SYN_RECV", end=first)
    if chance.random() < 0.05:
        socket.reset_received().gone(error=errno.ECONNRESET)
        kernel.done(socket)
        return
    yield chance.choice([0, 0.0001])
    socket.to("ESTABLISHED")
    yield from close_plan(kernel, socket, chance.choice(TASKS))


def close_plan(kernel: Kernel, socket: Socket, by: Task) -> Plan:
    """From ESTABLISHED to whatever end."""
    chance = kernel.chance
    yield chance.choice([0, 0.1, 5, 40])
    way = chance.choice(["active"] * 5 + ["passive"] * 3 + ["reset", "abort", "silence", "both"])
    if way == "silence":
        socket.gone(error=errno.ETIMEDOUT)
    elif way == "reset":
        socket.reset_received().gone(error=errno.ECONNRESET)
    elif way == "abort":
        socket.gone(by=by).reset_sent(chance.choice([0, 3, None]), by=by)
    elif way == "passive":
        socket.to("CLOSE_WAIT")
        yield chance.choice([0, 0.2, 60])
        if chance.random() < 0.1:
            socket.reset_received().gone(fin=True, error=errno.EPIPE)
        else:
            socket.to("LAST_ACK", by=by)
            yield 0.0001
            failed = chance.random() < 0.1
            socket.gone(fin=True, orphan=True, error=errno.ETIMEDOUT if failed else 0)
    else:
        yield from active_plan(kernel, socket, by, crossing=way == "both")
        return
    kernel.done(socket)


def active_plan(kernel: Kernel, socket: Socket, by: Task, *, crossing: bool) -> Plan:
    """From one's own FIN to the end of TIME_WAIT."""
    chance = kernel.chance
    socket.to("FIN_WAIT_1", by=by)
    yield chance.choice([0, 0.0001, 0.3])
    if crossing:
        socket.to("CLOSING")
        yield 0.0001
    else:
        socket.to("FIN_WAIT_2")
        if chance.random() < 0.1:
            socket.reset_received().gone(orphan=True, error=errno.ECONNRESET).reset_sent(1)
            kernel.done(socket)
            return
        if chance.random() < 0.5:
            wait = kernel.wait_of(socket, "FIN_WAIT_2", chance.choice([60, 60, 30]))
            yield from orphan_plan(kernel, wait)
            return
        yield chance.choice([0, 0.001, 2])
    if chance.random() < 0.1:
        socket.gone(fin=True)
        kernel.done(socket)
        return
    yield from wait_plan(kernel, kernel.wait_of(socket, "TIME_WAIT"))


def orphan_plan(kernel: Kernel, wait: TimeWait) -> Plan:
    """A timewait socket that waits for the FIN."""
    chance = kernel.chance
    way = chance.random()
    yield chance.choice([0, 0.001, 0.1, 1, 7])
    if way < 0.1:
        wait.reset_sent()
        wait.cancel()
    elif way < 0.2:
        wait.cancel(by=chance.choice(TASKS))
    elif way < 0.3:
        yield max(0, (wait.expires - kernel.now) / SECOND) + chance.random()
        wait.expire()
    else:
        wait.rearm(silent=chance.random() < 0.5)
        yield from wait_plan(kernel, wait)
        return
    kernel.over(wait)


def wait_plan(kernel: Kernel, wait: TimeWait) -> Plan:
    """A TIME_WAIT: restarted or not, and how it ends."""
    chance = kernel.chance
    while chance.random() < 0.3:
        yield chance.choice([0.001, 0.3, 3])
        wait.rearm(silent=chance.random() < 0.5)
    way, end = chance.random(), wait.end
    if way < 0.5:
        yield max(0, (wait.expires - kernel.now) / SECOND) + 2 * chance.random()
        wait.expire()
        kernel.over(wait)
        return
    yield chance.choice([0.0001, 1.5, 20])
    if way < 0.6:
        wait.cancel(by=chance.choice(TASKS))
        kernel.over(wait)
    elif way < 0.65:
        wait.reset_sent()
        wait.cancel()
        kernel.over(wait)
    elif way < 0.8:
        by = chance.choice(TASKS)
        socket = kernel.open(end)
        socket.to("SYN_SENT", by=by, end=end._replace(local_port=0))
        wait.cancel(by=by)
        kernel.over(wait)
        kernel.busy.add(end)
        yield from client_plan(kernel, end, socket)
    else:
        wait.cancel()
        if chance.random() < 0.7:
            wait.reused_by_syn()
        kernel.over(wait)
        yield chance.choice([0, 0.0005, 0.05, 0.5])
        if end not in kernel.busy:
            yield from server_plan(kernel, end)


def endless_plan(kernel: Kernel, ends: list[End]) -> Plan:
    """One connection after the other on whatever four-tuple is free."""
    while True:
        free = [end for end in ends if end not in kernel.busy]
        if free:
            end = kernel.chance.choice(free)
            plan = kernel.chance.choice([client_plan, server_plan])
            yield from plan(kernel, end)
        yield kernel.chance.choice([0.001, 0.5, 10])


def listener_plan(kernel: Kernel) -> Plan:
    """A listener that comes and goes, and resets what it does not know."""
    end = End("0.0.0.0", 80, "0.0.0.0", 0)
    while True:
        by = kernel.chance.choice(TASKS)
        socket = kernel.socket(end).to("LISTEN", by=by)
        yield 3
        kernel.emit("reset_sent", socket.address, "LISTEN", "LISTEN", end)
        yield 20
        socket.gone(by=by)
        kernel.free.append(socket.address)
        kernel.emit("reset_sent", 0, "CLOSE", "CLOSE", end)
        yield 5


def simulate(seed: int, *, kernels: int = 1, lossy: bool = False) -> Kernel:
    """Run some kernels for a while; what they did stands in one recording.

    Each has namespaces, addresses and memory of its own.
    """
    chance = random.Random(seed)  # noqa: S311
    hz = chance.choice([100, 250, 300, 1000])
    begin = chance.choice([0, 0, 20, 90])
    length = chance.choice([1, 30, 100, 300])
    watched = chance.random() < 0.9
    rows, ended = [], START
    for number in range(kernels):
        kernel = Kernel(
            hz=hz,
            timers=watched,
            next_address=0xFFFF888000000000 + (number << 32),
            chance=chance,
            old_kernel=chance.random() < 0.3,
        )
        ends = _ends(chance, number)
        plans = [endless_plan(kernel, ends) for _ in range(chance.randint(1, 5))]
        plans.append(listener_plan(kernel))
        # No two events have one time: begin and end each a little later than the last.
        shift = number / 1000
        kernel.run(plans, begin + shift, begin + length + shift)
        rows += kernel.rows
        ended = max(ended, kernel.now)
    kernel.rows = sorted(rows, key=lambda row: row["time"])
    kernel.began, kernel.now = START + begin * SECOND, ended
    kernel.reset_reasons = {"3": "tcp_abort_on_close"}
    if chance.random() < 0.2:
        settle(kernel)
    if lossy and kernel.rows:
        lose(kernel)
    return kernel


def _ends(chance: random.Random, number: int) -> list[End]:
    """Four-tuples to use, few enough to be used again."""
    ends = []
    for _ in range(chance.randint(1, 4)):
        port = 40000 + chance.randint(1, 3)
        end = chance.choice(
            [
                End(f"10.{number}.0.1", port, f"10.{number}.0.2", 80),
                End(f"::ffff:10.{number}.0.1", port, f"::ffff:10.{number}.0.2", 80),
                End(f"fd00:{number}::1", port, f"fd00:{number}::2", 80),
                End("127.0.0.1", port, "127.0.0.1", 80),
                End("127.0.0.1", 40000, "127.0.0.1", 40000),
            ]
        )
        netns = [NETNS + 2 * number, OTHER_NETNS + 2 * number]
        ends += [end._replace(netns=chance.choice(netns)), end.other(chance.choice(netns))]
    return ends


def settle(kernel: Kernel) -> None:
    """Follow only TIME_WAITs from some time on, and handshakes, as `--settle` does."""
    kernel.settling = kernel.chance.randint(kernel.began, kernel.now)
    kept, followed = [], set()
    for row in kernel.rows:
        kind, address = row["kind"], row["socket"]
        before = row["time"] <= kernel.settling
        handshake = kind == "state" and (
            row["new_state"] in ("SYN_SENT", "SYN_RECV") or row["old_state"] == "SYN_SENT"
        )
        if before or address in followed or handshake:
            kept.append(row)
        if kind == "timewait_start" and (before or address in followed):
            followed.add(address)
        elif kind == "timewait_expire" or (kind == "state" and not before):
            followed.discard(address)
    kernel.rows = kept


def lose(kernel: Kernel) -> None:
    """Drop some runs of events, as a full ring buffer does."""
    chance = kernel.chance
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(kernel.rows) + 1)
        lost = kernel.rows[place : place + chance.choice([1, 1, 2, 5, 20, 100])]
        lost = [row for row in lost if row["kind"] != "existing"]
        if lost:
            kernel.lost += len(lost)
            kernel.lost_until = max(kernel.lost_until, lost[-1]["time"] + MICROSECOND // 2)
            kernel.rows = [row for row in kernel.rows if not any(row is each for each in lost)]
