"""``tcptrace demo``: the experiments."""

import contextlib
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.experiments import EXPERIMENTS
from tcptrace.analysis.demo.folder import INDEX, make_folder
from tcptrace.analysis.demo.machines import Machines
from tcptrace.analysis.demo.pages import write_pages
from tcptrace.analysis.demo.present import as_json, summary, text
from tcptrace.analysis.demo.runner import Run, require_root, run_all


@click.command("demo")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "listing", is_flag=True, help="List the experiments and end.")
@click.option("--all", "everything", is_flag=True, help="Run every experiment, side by side.")
@click.option(
    "-o",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where recordings, captures and reports are left. Default: a new folder in "
    "$TCPTRACE_DEMO_DIR, or else in /tmp.",
)
@click.option(
    "--hosts",
    metavar="CLIENT,SERVER",
    help="Play between two machines, as root there: names for ssh, or this machine's own name.",
)
@click.option("--json", "json_wanted", is_flag=True, help="Print the outcome as JSON.")
def command(
    names: tuple[str, ...],
    listing: bool,
    everything: bool,
    directory: Path | None,
    hosts: str | None,
    json_wanted: bool,
) -> None:
    """Show on the real kernel what the textbooks say about TCP's end.

    Each experiment makes network namespaces of its own, records and captures what
    happens there, and says which claims hold here. Needs root. An experiment that
    waits for TIME_WAIT takes about a minute; several run side by side.

    With --hosts they are played between two machines, which need tcptrace, and ssh or sudo
    without a question. Most use the machines' own network, one after the other; settings
    they change there are put back. Those that hold up or forge segments run in namespaces
    there, over a link through ssh.

    Exits with 1 if an experiment did not show what it is for.
    """
    if listing:
        for name, experiment in EXPERIMENTS.items():
            click.echo(f"{name:24} {experiment.summary}")
        return
    wanted = _wanted(names, everything)
    between = _reach(hosts)
    folder = make_folder(directory, wanted)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        runs = _play([EXPERIMENTS[name]() for name in wanted], folder, between)
    except BaseException:
        if directory is None:
            shutil.rmtree(folder)
        raise
    write_pages(runs, folder)
    if json_wanted:
        click.echo(json.dumps([as_json(run) for run in runs], indent=1))
    else:
        click.echo("\n\n".join(text(run) for run in runs) if not everything else summary(runs))
        click.echo(f"\nTo look at: {folder / INDEX}")
        left = " ".join(map(str, runs[0].recordings))
        click.echo(f"More: tcptrace report {left or folder / '*.arrows'}")
    if not all(run.shown for run in runs):
        sys.exit(1)


def _wanted(names: tuple[str, ...], everything: bool) -> list[str]:
    if everything:
        if names:
            raise click.UsageError("give names or --all, not both")
        return list(EXPERIMENTS)
    if not names:
        raise click.UsageError("which experiment? `tcptrace demo --list` names them")
    for name in names:
        if name not in EXPERIMENTS:
            raise click.UsageError(f"no experiment {name!r}: `tcptrace demo --list` names them")
    return list(dict.fromkeys(names))


def _reach(hosts: str | None) -> tuple[str, str] | None:
    """Check where to play: the client's machine and the server's, or None for this one."""
    if hosts is None:
        require_root()
        return None
    names = hosts.split(",")
    if len(names) != 2 or any(not name or name.startswith("-") for name in names):
        raise click.UsageError("--hosts takes two names with a comma between: CLIENT,SERVER")
    return names[0], names[1]


def _play(experiments: list[Experiment], folder: Path, hosts: tuple[str, str] | None) -> list[Run]:
    with _Display(len(experiments)) as display:
        if hosts is None:
            return run_all(experiments, folder, display.update)
        with contextlib.closing(Machines(*hosts)) as machines:
            return run_all(
                experiments, folder, display.update, machines.ground, machines.takes_turns
            )


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


class _Display:
    """What each experiment is doing, on stderr: live on a terminal, else ends only."""

    def __init__(self, count: int) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, transient=True, refresh_per_second=5)
        self._told: set[str] = set()
        self._count = count

    def __enter__(self) -> "_Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def update(self, runs: list[Run]) -> None:
        """Show the runs as they stand."""
        if self._console.is_terminal:
            lines = [f"{run.experiment.name:24} {run.status}" for run in runs]
            self._live.update(Text("\n".join(lines)))
            return
        for run in runs:
            name = run.experiment.name
            if name not in self._told and run.status in ("played", "failed"):
                self._told.add(name)
                click.echo(f"{len(self._told)}/{self._count} {name} {run.status}", err=True)
