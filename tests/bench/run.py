"""`make bench`: measure tcptrace beside its peers; write tests/bench/results/.

Needs root and a Debian machine; 15 to 20 minutes. Everything runs in network
namespaces of its own. Nothing else should be running.
"""

import datetime
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from episodes import burst, held_up, idle, start_up
from figures import kernel_cost, mixed_load, other_timers, under_load
from floor import floor
from machine import HERE, build, describe, install, keep_bytecode, kernel_headers
from measure import Bench
from peers import tools
from plot import plot
from reports import large_report, report_speed
from table import table


@click.command()
@click.option("--repeats", default=5, show_default=True, help="Runs a median is taken of.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of each load.")
@click.option("--large/--no-large", default=True, help="Also report on 100 million events.")
@click.option("--only", multiple=True, help="Measure only these (names as in the JSON).")
@click.option("-o", "--out", default=HERE / "results", type=click.Path(path_type=Path))
def main(repeats: int, seconds: float, large: bool, only: tuple[str, ...], out: Path) -> None:
    """Measure, and write bench.json, bench.md and bench.svg to OUT."""
    if os.geteuid() != 0:
        sys.exit("bench: needs root: sudo make bench")
    # A shell starts what it puts in the background deaf to Ctrl-C, and tools are ended by that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    install()
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tcptrace-bench-") as name:
        folder = Path(name)
        programs = build(folder)
        keep_bytecode(folder)
        bench = Bench(programs["load"], programs["timers"], folder)
        all_tools = tools(kernel_headers(folder))
        ours = all_tools[0]
        measures: dict[str, Callable[[], Any]] = {
            "churn": lambda: under_load(bench, all_tools, "server", seconds, repeats),
            "web": lambda: under_load(bench, all_tools, "web", seconds, repeats),
            "floor": lambda: floor(bench, seconds, repeats),
            "kernel_churn": lambda: kernel_cost(bench, all_tools, "server", seconds, repeats),
            "kernel_web": lambda: kernel_cost(bench, all_tools, "web", seconds, repeats),
            "mixed": lambda: mixed_load(bench, ours, seconds, repeats),
            "timers": lambda: other_timers(bench, ours, repeats),
            "start": lambda: start_up(bench, all_tools, repeats),
            "idle": lambda: idle(bench, all_tools, 10),
            "burst": lambda: burst(bench, ours, 110_000),
            "held_up": lambda: held_up(bench, ours, 150_000),
            "report": lambda: report_speed(bench, 10_000_000, 3, ("pandas", "duckdb")),
            "report_large": lambda: large_report(bench, 100_000_000, 3) if large else None,
        }
        saved = out / "bench.json"
        results = json.loads(saved.read_text()) if only and saved.exists() else {}
        machine = describe()
        commit = machine.pop("commit")
        results |= {"machine": machine, "repeats": repeats, "seconds": seconds}
        for figure, measure in measures.items():
            if not only or figure in only:
                click.echo(f"{figure}:", err=True)
                date = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
                results[figure] = measure()
                # Those of a run with --only stand beside older ones.
                results.setdefault("measured", {})[figure] = {"date": date, "commit": commit}
                saved.write_text(json.dumps(results, indent=1) + "\n")
    (out / "bench.md").write_text(table(results))
    plot(results, out / "bench.svg")
    click.echo(table(results))


if __name__ == "__main__":
    main()
