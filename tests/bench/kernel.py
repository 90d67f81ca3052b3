"""The kernel's own view: namespaces, counters of events, of BPF programs and of control groups."""

import contextlib
import ctypes
import json
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import machine

TRACEFS = Path("/sys/kernel/tracing")

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_TYPE_TRACEPOINT = 2


class Namespace:
    """A network namespace in which ports and TIME_WAITs do not run out.

    Gone with its TIME_WAITs when closed.
    """

    _SET_UP = """
        ip link set lo up
        ip -6 route add local fd00::/64 dev lo
        echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range
        echo 10000000 > /proc/sys/net/ipv4/tcp_max_tw_buckets
        echo ready
        exec cat
    """

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-ec", self._SET_UP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout
        if self._holder.stdout.readline() != "ready\n":
            raise RuntimeError("no network namespace could be made")
        self.inode = Path(f"/proc/{self._holder.pid}/ns/net").stat().st_ino
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.communicate()
        wait_until_no_timewaits()

    def command(self, *command: str) -> list[str]:
        """Give the command line that runs a command in here."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", *command]

    def mib(self) -> dict[str, int]:
        """Read the namespace's TCP counters."""
        counters: dict[str, int] = {}
        for file in ("snmp", "netstat"):
            lines = Path(f"/proc/{self._holder.pid}/net/{file}").read_text().splitlines()
            for names, values in zip(lines[::2], lines[1::2], strict=True):
                if names.startswith(("Tcp:", "TcpExt:")):
                    pairs = zip(names.split()[1:], values.split()[1:], strict=True)
                    counters |= {name: int(value) for name, value in pairs}
        return counters


def wait_until_no_timewaits(limit: float = 30) -> None:
    """Wait until the namespaces' TIME_WAITs are freed: they slow the next run's look-ups."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            slabs = Path("/proc/slabinfo").read_text().splitlines()
            timewaits = [line.split()[1] for line in slabs if line.startswith("tw_sock_TCP ")]
            if not timewaits or int(timewaits[0]) < 5000:
                return
        time.sleep(0.1)


def wait_until_quiet(limit: float = 15) -> None:
    """Wait until the machine is 90 % idle, so that others' work is not measured."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        idle, total = _cpu_ticks()
        time.sleep(0.3)
        idle_now, total_now = _cpu_ticks()
        if idle_now - idle >= 0.9 * (total_now - total):
            return


def _cpu_ticks() -> tuple[int, int]:
    """Give idle and all ticks of all CPUs so far."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


class TracepointCounter:
    """Counts a tracepoint on every CPU with perf events: no BPF, no ring, no loss."""

    def __init__(self, name: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        number = int((TRACEFS / "events" / name / "id").read_text())
        attributes = struct.pack("=IIQ", _TYPE_TRACEPOINT, 128, number).ljust(128, b"\0")
        self._files = []
        for cpu in range(os.cpu_count() or 1):
            descriptor = libc.syscall(
                _PERF_EVENT_OPEN[os.uname().machine], attributes, -1, cpu, -1, ctypes.c_ulong(8)
            )
            if descriptor < 0:
                raise OSError(ctypes.get_errno(), f"perf_event_open {name}")
            self._files.append(descriptor)

    def read(self) -> int:
        """Give the events so far."""
        return sum(struct.unpack("Q", os.read(file, 8))[0] for file in self._files)

    def close(self) -> None:
        """Stop counting."""
        for file in self._files:
            os.close(file)


class ControlGroup:
    """A cgroup (v2) for one tool: its CPU time includes children that are gone."""

    def __init__(self, name: str) -> None:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        root = next(Path(mount[1]) for mount in mounts if mount[2] == "cgroup2")
        self.path = root / f"tcptrace-bench-{os.getpid()}-{name}"
        self.path.mkdir()

    def command(self, *command: str) -> list[str]:
        """Give the command line that runs a command in here."""
        return ["sh", "-c", 'echo $$ > "$0"; exec "$@"', str(self.path / "cgroup.procs"), *command]

    def cpu_seconds(self) -> float:
        """Give user and system time of all that ever ran in here."""
        return int((self.path / "cpu.stat").read_text().split()[1]) / 1e6

    def pids(self) -> list[int]:
        """Name the processes alive in here."""
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]

    def peak_bytes(self) -> int:
        """Add up VmHWM, each process's largest resident size so far, of those alive."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM"):
                        total += int(line.split()[1]) * 1024
        return total

    def close(self) -> None:
        """Remove it, once its processes are gone."""
        for _ in range(100):
            with contextlib.suppress(OSError):
                self.path.rmdir()
                return
            time.sleep(0.05)


@contextlib.contextmanager
def bpf_stats() -> Iterator[None]:
    """Have the kernel time every BPF program."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    switch.write_text("1")
    try:
        yield
    finally:
        switch.write_text(before)


def attached_programs(pids: list[int]) -> dict[int, str]:
    """Give the BPF programs these processes hold on tracepoints: id to tracepoint."""
    rows = json.loads(machine.output_of("bpftool", "-j", "perf", "show") or "[]")
    return {
        row["prog_id"]: row.get("tracepoint", "")
        for row in rows
        if row["pid"] in pids and "tracepoint" in row["fd_type"]
    }


def program_costs(pids: list[int]) -> dict[str, tuple[int, int]]:
    """Give events and nanoseconds by tracepoint (bpf_stats must be on).

    Where several programs sit on a tracepoint, an event costs what all of them take.
    """
    costs: dict[str, tuple[int, int]] = {}
    for number, tracepoint in attached_programs(pids).items():
        program = json.loads(machine.output_of("bpftool", "-j", "prog", "show", "id", str(number)))
        events, nanoseconds = costs.get(tracepoint, (0, 0))
        costs[tracepoint] = (
            max(events, program.get("run_cnt", 0)),
            nanoseconds + program.get("run_time_ns", 0),
        )
    return costs
