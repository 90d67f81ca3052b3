"""Play experiments side by side, then judge each from what it left behind."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tcptrace.analysis.demo.evidence import Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.namespace import SettingIsGlobalError
from tcptrace.analysis.demo.stage import Stage
from tcptrace.analysis.recording import read
from tcptrace.tracer.errors import PreflightError, TcptraceError


def require_root() -> None:
    """Raise :class:`PreflightError` unless this is root."""
    if os.geteuid() != 0:
        raise PreflightError("demo makes network namespaces and records: run it with sudo")


@dataclass
class Run:
    """One experiment's run; ``error`` is the line that ended it before its time."""

    experiment: Experiment
    directory: Path
    stage: Stage | None = None
    error: str | None = None
    skipped: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    done: bool = False

    @property
    def shown(self) -> bool:
        """It showed what it is for."""
        return self.error is None and not self.findings.failures

    @property
    def recordings(self) -> list[Path]:
        """The recordings it left."""
        stage = self.stage
        return [stage.recording] if stage and stage.recording.exists() else []

    @property
    def reports(self) -> list[Path]:
        """The reports of the recordings, once they are written."""
        names = (one.with_suffix(".html") for one in self.recordings)
        return [one for one in names if one.exists()]

    @property
    def captures(self) -> list[Path]:
        """The captures it left."""
        stage = self.stage
        return [stage.pcapng] if stage and stage.pcapng.exists() else []

    @property
    def status(self) -> str:
        """What it is doing, in a few words."""
        if self.error:
            return "failed"
        if self.done:
            return "done" if self.shown else "not shown"
        return self.stage.status if self.stage else "waiting"


def run_all(
    experiments: list[Experiment], directory: Path, watch: Callable[[list[Run]], None]
) -> list[Run]:
    """Run experiments side by side, so that TIME_WAIT is waited for once.

    Every recorder is attached before the first experiment begins. ``watch`` is
    called again and again while they run. Recordings and captures are left in
    ``directory``. Raises :class:`PreflightError` where no experiment can run.
    """
    runs = [Run(experiment, directory) for experiment in experiments]
    stop = threading.Event()
    threads = ThreadPoolExecutor(len(runs))
    try:
        _watched(threads, [partial(_prepare, run, stop) for run in runs], runs, watch)
        if all(run.error for run in runs):
            raise PreflightError(str(runs[0].error))
        _watched(threads, [partial(_play, run) for run in runs], runs, watch)
    except BaseException:
        stop.set()
        for run in runs:
            if run.stage:
                run.stage.cancel()
        raise
    finally:
        threads.shutdown()
        for run in runs:
            if run.stage:
                run.stage.close()
    for run in runs:
        _judge(run)
        run.done = True
        watch(runs)
    return runs


def _watched(
    threads: ThreadPoolExecutor,
    tasks: list[Callable[[], None]],
    runs: list[Run],
    watch: Callable[[list[Run]], None],
) -> None:
    futures: set[Future[None]] = {threads.submit(task) for task in tasks}
    while futures:
        done, futures = wait(futures, timeout=0.2)
        watch(runs)
        for future in done:
            future.result()


@contextlib.contextmanager
def _noting(run: Run) -> Iterator[None]:
    """Keep the line that ends an experiment; others go on."""
    try:
        yield
    except TcptraceError as error:
        run.error = str(error)


def _prepare(run: Run, stop: threading.Event) -> None:
    with _noting(run):
        experiment = run.experiment
        run.stage = Stage(
            run.directory,
            experiment.name,
            stop,
            wire=experiment.wire,
            mtu=experiment.mtu,
            patient=experiment.patient,
        )
        run.stage.start_recorder()
        run.stage.status = "ready"


def _play(run: Run) -> None:
    if run.error or run.stage is None:
        return
    with _noting(run):
        run.stage.status = "playing"
        try:
            run.experiment.play(run.stage)
        except SettingIsGlobalError as error:
            run.skipped.append(str(error))
        run.stage.stop_recorder()
        run.stage.status = "played"


def _judge(run: Run) -> None:
    stage = run.stage
    if run.error or stage is None:
        return
    with _noting(run):
        run.skipped += stage.skipped
        recording = read(stage.recording)
        evidence = Evidence(
            recording, stage.link, {"left": stage.left.inode, "right": stage.right.inode}
        )
        stage.write_capture(evidence.clock_offset)
        findings = run.findings
        findings.expect(recording.complete, f"the recording is incomplete: {recording.problem}")
        findings.expect(not recording.lost, f"the recorder lost {recording.lost} events")
        findings.expect(not stage.link.missed, f"the capture missed {stage.link.missed} packets")
        run.experiment.judge(evidence, findings)
