"""The bench's figures, each measured here; medians are taken in table.py."""

import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import click
from check import check
from floor import programs_that_do_nothing
from kernel import bpf_stats, program_costs
from measure import STATE_TRACEPOINT, Bench, Run, run
from peers import Running, Tool

Figures = dict[str, Any]
_OTHERS_RATE = 100_000


def _say(text: str) -> None:
    click.echo(f"  {text}", err=True)


def _as_figures(done: Run) -> Figures:
    return {
        "rate": done.load["rate"],
        "connections": done.load["connections"],
        "made": done.made,
        "captured": done.captured,
        "cpu_s": done.cpu,
        "bytes": done.size,
        "memory": done.memory,
        "events": done.events,
        "rows": done.rows,
    }


def under_load(bench: Bench, tools: list[Tool], mode: str, seconds: float, repeats: int) -> Figures:
    """Run one load without a tool and under each, in turn, ``repeats`` times.

    Every recording of tcptrace is held against the load's own log.
    """
    results: Figures = {"none": []} | {tool.name: [] for tool in tools}
    options = ("--mode", mode, "--seconds", str(seconds))
    for _ in range(repeats):
        for tool in (None, *tools):
            done = run(bench, tool, *options, check=check if tool and tool.ours else None)
            name = tool.name if tool else "none"
            results[name].append(_as_figures(done))
            share = f", captured {done.captured / done.made:.1%}" if tool else ""
            _say(f"{mode}: {name}: {done.load['rate']:,} connections/s{share}")
    return results


def kernel_cost(
    bench: Bench, tools: list[Tool], mode: str, seconds: float, repeats: int
) -> Figures:
    """Time the programs with bpf_stats: by tool, tracepoint -> [runs, nanoseconds] each."""
    results: Figures = {tool.name: [] for tool in tools}
    options = ("--mode", mode, "--seconds", str(seconds))
    for _ in range(repeats):
        for tool in tools:
            costs = run(bench, tool, *options, counted=True).costs
            results[tool.name].append(costs)
            runs, spent = costs[STATE_TRACEPOINT]
            _say(f"{mode}: {tool.name}: {spent / max(runs, 1):.0f} ns per state event")
    return results


def mixed_load(bench: Bench, tool: Tool, seconds: float, repeats: int) -> list[Figures]:
    """Record every kind of connection at once; each recording is checked."""
    results = []
    for mode in ["mixed"] * repeats + ["client", "abort"]:
        done = run(bench, tool, "--mode", mode, "--seconds", str(seconds), check=check)
        results.append({"mode": mode} | _as_figures(done))
        _say(f"{mode}: {done.load['connections']:,} connections, all reconstructed")
    return results


def _other_timers(bench: Bench, *options: str) -> Figures:
    command = ["taskset", "-c", "1", str(bench.timers), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: Figures = json.loads(done.stdout)
    return result


def other_timers(bench: Bench, tool: Tool, repeats: int) -> Figures:
    """Time timers that are no TIME_WAIT's, without and with the probes.

    ``without``, ``with``, ``nothing``: CPU ns per timer event, one process flat out, the
    last with programs that do nothing; ``at_rate``: at 100,000 events/s; ``programs``: ns by
    tracepoint (bpf_stats).
    """
    paced = ("--rate", str(_OTHERS_RATE))
    results: Figures = {"rate": _OTHERS_RATE, "without": [], "with": [], "nothing": []}
    results |= {"without_at_rate": [], "with_at_rate": [], "programs": []}
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        for _ in range(repeats):
            results["without"].append(_other_timers(bench)["ns"])
            results["without_at_rate"].append(_other_timers(bench, *paced)["ns"])
            with programs_that_do_nothing():
                results["nothing"].append(_other_timers(bench)["ns"])
            running = Running(tool, Path(name))
            try:
                running.wait_ready()
                running.wait_idle()
                results["with"].append(_other_timers(bench)["ns"])
                results["with_at_rate"].append(_other_timers(bench, *paced)["ns"])
                with bpf_stats():
                    _other_timers(bench)
                    results["programs"].append(program_costs(running.group.pids()))
                running.stop()
            finally:
                running.close()
    added = statistics.median(results["with"]) - statistics.median(results["without"])
    _say(f"unrelated timers: {added:.0f} ns added per timer event")
    return results
