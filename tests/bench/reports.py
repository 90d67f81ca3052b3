"""How fast `report` is, on one core, beside its rivals on the same events."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from machine import HERE
from measure import Bench
from synthesize import synthesize

Figures = dict[str, Any]


def _timed(*command: str) -> Figures:
    """Run a command on one core; give wall and CPU seconds and peak memory."""
    began = time.monotonic()
    child = subprocess.Popen(
        ["taskset", "-c", "1", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert child.stderr
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise RuntimeError(f"{' '.join(command)}: {errors.decode()[-2000:]}")
    return {
        "wall_s": time.monotonic() - began,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * 1024,
    }


def _in_turn(what: str, commands: dict[str, list[str]], repeats: int) -> Figures:
    """Time commands by turns: the machine's pace varies."""
    results: Figures = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            timed = _timed(*command)
            results[name].append(timed)
            click.echo(
                f"  {what}: {name}: {timed['cpu_s']:.1f} s CPU, {timed['memory'] / 2**30:.2f} GiB",
                err=True,
            )
    return results


def _report(recording: Path) -> list[str]:
    return [sys.executable, "-m", "tcptrace.tracer", "report", str(recording)]


def report_speed(bench: Bench, count: int, repeats: int, rivals: tuple[str, ...]) -> Figures:
    """Time the whole command, from start to exit, and rivals' like it."""
    recording = bench.folder / f"synthetic-{count}.arrows"
    synthesize(recording, count)
    commands = {"tcptrace": _report(recording)}
    for rival in rivals:
        commands[rival] = [sys.executable, str(HERE / "rivals.py"), rival, str(recording)]
    results: Figures = {"events": count, "bytes": recording.stat().st_size}
    results |= _in_turn(f"report, {count:,} events", commands, repeats)
    recording.unlink()
    return results


def large_report(bench: Bench, count: int, repeats: int) -> Figures:
    """Time `report` of many events and of a tenth of them."""
    tenth, large = bench.folder / "tenth.arrows", bench.folder / "large.arrows"
    synthesize(tenth, count // 10)
    synthesize(large, count)
    results: Figures = {"events": count, "bytes": large.stat().st_size}
    commands = {"tenth": _report(tenth), "tcptrace": _report(large)}
    results |= _in_turn(f"report, {count:,} events", commands, repeats)
    tenth.unlink()
    large.unlink()
    return results
