"""Single episodes: starting, idling, a burst of expiries, a reader held up."""

import re
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from kernel import Namespace, TracepointCounter
from measure import STATE_TRACEPOINT, Bench
from peers import OUR_LINE, START_LIMIT, Running, Tool, last_totals

Figures = dict[str, Any]


def _say(text: str) -> None:
    click.echo(f"  {text}", err=True)


class _MemoryWatch(threading.Thread):
    """Follows the sum of VmHWM of a tool's processes, helpers that end included."""

    def __init__(self, running: Running) -> None:
        super().__init__(daemon=True)
        self._running = running
        self._over = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self._over.wait(0.01):
            self.peak = max(self.peak, self._running.group.peak_bytes())

    def finish(self) -> int:
        self._over.set()
        self.join()
        return self.peak


def _first_event(running: Running) -> float:
    """Wait for the first event of the load; give the time at which it was there."""
    if running.tool.ours:
        # Written, and flushed, when the probes are attached: the recording's first
        # row may be a little earlier.
        running.wait_ready(0.002)
        return time.time()
    while not re.search(OUR_LINE, running.output.read_text(errors="replace")):
        running.check_alive()
        if time.time() > running.began + START_LIMIT:
            raise RuntimeError(f"{running.tool.name} told of no event")
        time.sleep(0.002)
    return time.time()


def start_up(bench: Bench, tools: list[Tool], repeats: int) -> Figures:
    """Time from start to first event, under 500 connections/s; and memory meanwhile."""
    results: Figures = {tool.name: [] for tool in tools}
    with tempfile.TemporaryDirectory(dir=bench.folder) as name, Namespace() as netns:
        for _ in range(repeats):
            for tool in tools:
                trickle = subprocess.Popen(
                    netns.command(
                        str(bench.load), "--mode", "server", "--rate", "500", "--seconds", "600"
                    ),
                    stdout=subprocess.DEVNULL,
                )
                running = Running(tool, Path(name), immediate=True)
                try:
                    watch = _MemoryWatch(running)
                    watch.start()
                    seconds = _first_event(running) - running.began
                    peak = watch.finish()
                    running.stop()
                finally:
                    trickle.kill()
                    trickle.wait()
                    running.close()
                results[tool.name].append({"seconds": seconds, "memory": peak})
                _say(f"{tool.name}: first event after {seconds:.2f} s, {peak / 1e6:.0f} MB")
    return results


def idle(bench: Bench, tools: list[Tool], seconds: float) -> Figures:
    """Give CPU seconds per second of each tool, all at once, with nothing to do."""
    started: list[Running] = []
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        try:
            for number, tool in enumerate(tools):
                folder = Path(name) / str(number)
                folder.mkdir()
                started.append(Running(tool, folder))
            for running in started:
                running.wait_ready()
                running.wait_idle()
            before = [running.group.cpu_seconds() for running in started]
            time.sleep(seconds)
            spent = [
                (running.group.cpu_seconds() - earlier) / seconds
                for running, earlier in zip(started, before, strict=True)
            ]
        finally:
            for running in started:
                running.stop()
                running.close()
    return {tool.name: share for tool, share in zip(tools, spent, strict=True)}


def _rows(recording: Path, netns: int) -> pa.Table:
    table = pa.ipc.open_stream(recording).read_all()
    return table.filter(pc.equal(table["netns"], netns))


def burst(bench: Bench, tool: Tool, count: int) -> Figures:
    """Record ``count`` TIME_WAITs that end together, from beginning to end.

    ``same_tick``: most that expired within 4 ms.
    """
    with tempfile.TemporaryDirectory(dir=bench.folder) as name, Namespace() as netns:
        running = Running(tool, Path(name))
        try:
            running.wait_ready()
            made = bench.run_load(netns, "--mode", "burst", "--count", str(count))["connections"]
            time.sleep(64.5)  # 60 s and the timer wheel's granularity, 4.1 s at most
            running.wait_idle()
            running.stop()
            rows = _rows(running.output, netns.inode).to_pandas()
            metadata = last_totals(running.output)
        finally:
            running.close()
    kinds = rows["kind"].value_counts()
    expired = np.sort(rows.loc[rows["kind"] == "timewait_expire", "time"].astype("int64"))
    window = np.searchsorted(expired, expired + 4_000_000) - np.arange(len(expired))
    result = {
        "made": made,
        "began": int(kinds.get("timewait_start", 0)),
        "expired": len(expired),
        "same_tick": int(window.max()) if len(window) else 0,
        "lost": metadata["lost"],
    }
    _say(f"burst: {result}")
    return result


def held_up(bench: Bench, tool: Tool, count: int) -> Figures:
    """Stop the recorder while the load runs: the ring fills; is the loss counted exactly?

    ``difference``: state events and TIME_WAITs made, less recorded and lost. Other
    connections of the machine count as lost too, so only a quiet one gives 0.
    """
    with tempfile.TemporaryDirectory(dir=bench.folder) as name, Namespace() as netns:
        running = Running(tool, Path(name))
        counter = TracepointCounter(f"sock/{STATE_TRACEPOINT}")
        try:
            running.wait_ready()
            running.wait_idle()
            before = counter.read()
            running.process.send_signal(signal.SIGSTOP)
            options = ("--mode", "server", "--count", str(count), "--seconds", "60")
            load = bench.run_load(netns, *options)
            running.process.send_signal(signal.SIGCONT)
            running.wait_idle()
            states = counter.read() - before
            running.stop()
            totals = last_totals(running.output)
        finally:
            counter.close()
            running.close()
    made = states + load["connections"]
    result = {
        "made": made,
        "recorded": totals["events"],
        "lost": totals["lost"],
        "difference": made - totals["events"] - totals["lost"],
    }
    _say(f"reader held up: {result}")
    return result
