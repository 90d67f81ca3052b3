"""One run of one load under one tool (or none), and what it cost."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel import Namespace, bpf_stats, program_costs, wait_until_quiet
from peers import Running, Tool, last_totals

STATE_TRACEPOINT = "inet_sock_set_state"


@dataclass
class Bench:
    """Where the programs are, and where files go."""

    load: Path
    timers: Path
    folder: Path

    def run_load(self, netns: Namespace, *options: str) -> dict[str, Any]:
        """Run the load to its end; give its JSON."""
        command = netns.command(str(self.load), *options)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result: dict[str, Any] = json.loads(done.stdout)
        return result


@dataclass
class Run:
    """``made``: state transitions by the kernel's count; ``captured``: of these, those in
    the tool's output; ``cpu``: seconds, from the load's
    beginning until all of it is worked off; ``size``: bytes written;
    ``memory``: bytes; ``events``: those of all kinds in the output; ``rows``: with those of
    the snapshot that tcptrace takes at the end; ``costs``: run count and ns of its programs
    by tracepoint.
    """

    load: dict[str, Any]
    mib: dict[str, int]
    made: int
    captured: int = 0
    cpu: float = 0.0
    size: int = 0
    memory: int = 0
    events: int = 0
    rows: int = 0
    costs: dict[str, tuple[int, int]] = field(default_factory=dict)


Check = Callable[[Path, Path, int], None]


#: State transitions of one connection, both sides, and of the load's listeners.
TRANSITIONS = {"server": (10, 4), "client": (10, 4), "abort": (6, 4), "web": (10, 24)}


def made_by(load: dict[str, Any], mib: dict[str, int]) -> int:
    """Give the state transitions behind the namespace's own counters.

    0 for mixed loads, whose connections end in different ways.
    """
    if mib["ActiveOpens"] != load["connections"] or mib["PassiveOpens"] != load["connections"]:
        raise RuntimeError(f"the load made {load['connections']} connections, the kernel {mib}")
    each, listeners = TRANSITIONS.get(load["mode"], (0, 0))
    return each * int(load["connections"]) + listeners


def run(
    bench: Bench,
    tool: Tool | None,
    *options: str,
    counted: bool = False,
    check: Check | None = None,
) -> Run:
    """Start the tool, run the load, let the tool finish, stop it.

    ``counted``: with bpf_stats, which costs a little; so not in runs that compare
    speeds. ``check``: called with the recording, the load's log and the namespace.
    """
    with bpf_stats() if counted else contextlib.nullcontext():
        return _run(bench, tool, options, counted, check)


def _run(
    bench: Bench,
    tool: Tool | None,
    options: tuple[str, ...],
    counted: bool,
    check: Check | None,
) -> Run:
    with tempfile.TemporaryDirectory(dir=bench.folder) as name, Namespace() as netns:
        folder = Path(name)
        log = folder / "log"
        options = (*options, "--log", str(log))
        wait_until_quiet()
        if not tool:
            load = bench.run_load(netns, *options)
            return Run(load, netns.mib(), made_by(load, netns.mib()))
        running = Running(tool, folder)
        try:
            running.wait_ready()
            running.wait_idle()
            cpu = running.group.cpu_seconds()
            load = bench.run_load(netns, *options)
            mib = netns.mib()
            result = Run(load, mib, made_by(load, mib))
            running.wait_idle()
            if counted:
                result.costs = program_costs(running.group.pids())
            result.memory = running.group.peak_bytes()
            result.cpu = running.group.cpu_seconds() - cpu
            running.stop()
            result.size = running.output.stat().st_size
            result.captured = running.state_events(netns.inode)
            result.events = result.rows = result.captured
            if tool.ours:
                totals = last_totals(running.output)
                result.events, result.rows = totals["events"], totals["rows"]
            if check and tool.ours:
                check(running.output, log, netns.inode)
            return result
        finally:
            running.close()
