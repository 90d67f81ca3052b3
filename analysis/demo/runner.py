"""Play experiments side by side, then judge each from what it left behind."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tcptrace.analysis.demo.capture import ExperimentError
from tcptrace.analysis.demo.evidence import Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.ground import MakeGround, OneMachine
from tcptrace.analysis.demo.namespace import SettingIsGlobalError
from tcptrace.analysis.demo.stage import Stage
from tcptrace.analysis.recording import read
from tcptrace.tracer.errors import PreflightError, TcptraceError

#: A recorder compiles when it starts: no more of them do so at a time than there are processors.
#: Sixteen at once on two emulated ones were not done after ten minutes.
_STARTING = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))


def require_root() -> None:
    """Raise :class:`PreflightError` unless this is root."""
    if os.geteuid() != 0:
        raise PreflightError("demo makes network namespaces and records: run it with sudo")


@dataclass
class Run:
    """One experiment's run; ``error`` is the line that ended it before its time.

    ``notes``: where it was played and whose clocks, if not on this machine.
    """

    experiment: Experiment
    directory: Path
    stage: Stage | None = None
    error: str | None = None
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    done: bool = False

    @property
    def shown(self) -> bool:
        """It showed what it is for."""
        return self.error is None and not self.findings.failures

    @property
    def recordings(self) -> list[Path]:
        """The recordings it left."""
        left = self.stage.ground.recordings.values() if self.stage else ()
        return [one for one in dict.fromkeys(left) if one.exists()]

    @property
    def reports(self) -> list[Path]:
        """The reports of the recordings, once they are written."""
        names = (one.with_suffix(".html") for one in self.recordings)
        return [one for one in names if one.exists()]

    @property
    def captures(self) -> list[Path]:
        """The captures it left."""
        return self.stage.ground.captures() if self.stage else []

    @property
    def status(self) -> str:
        """What it is doing, in a few words."""
        if self.error:
            return "failed"
        if self.done:
            return "done" if self.shown else "not shown"
        return self.stage.status if self.stage else "waiting"


def run_all(
    experiments: list[Experiment],
    directory: Path,
    watch: Callable[[list[Run]], None],
    make_ground: MakeGround = OneMachine,
    takes_turns: Callable[[Experiment], bool] = lambda experiment: False,
) -> list[Run]:
    """Run experiments side by side, so that TIME_WAIT is waited for once.

    Those that take turns share their ground: one after the other, beside the others. Every
    other's recorder is attached before the first of them begins. ``watch`` is called again
    and again while they run. Recordings and captures are left in ``directory``. Raises
    :class:`PreflightError` where no experiment can run.
    """
    runs = [Run(experiment, directory) for experiment in experiments]
    in_turn = [run for run in runs if takes_turns(run.experiment)]
    together = [run for run in runs if run not in in_turn]
    stop = threading.Event()
    threads = ThreadPoolExecutor(len(runs))
    try:
        prepared = [partial(_prepare, run, make_ground, stop) for run in together]
        _watched(threads, prepared, runs, watch)
        if not in_turn and all(run.error for run in runs):
            raise PreflightError(str(runs[0].error))
        played = [partial(_play, run) for run in together]
        _watched(threads, [*played, partial(_by_turns, in_turn, make_ground, stop)], runs, watch)
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
                with _noting(run):
                    run.stage.close()
    for run in runs:
        _judge(run)
        run.done = True
        watch(runs)
    return runs


def _by_turns(runs: list[Run], make_ground: MakeGround, stop: threading.Event) -> None:
    """Play one after the other, each on ground that the one before has left as it was."""
    for run in runs:
        if not stop.is_set():
            _prepare(run, make_ground, stop)
            _play(run)
        if run.stage:
            with _noting(run):
                run.stage.close()


def _watched(
    threads: ThreadPoolExecutor,
    tasks: Sequence[Callable[[], None]],
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


def _prepare(run: Run, make_ground: MakeGround, stop: threading.Event) -> None:
    with _STARTING, _noting(run):
        if stop.is_set():
            raise ExperimentError("interrupted")
        run.stage = Stage(make_ground(run.experiment, run.directory), stop)
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
        ground, findings = stage.ground, run.findings
        read_once = {path: read(path) for path in run.recordings}
        recordings = {side: read_once[path] for side, path in ground.recordings.items()}
        ground.write_captures(recordings)
        for recording in read_once.values():
            findings.expect(recording.complete, f"the recording is incomplete: {recording.problem}")
            findings.expect(not recording.lost, f"the recorder lost {recording.lost} events")
        findings.expect(not stage.link.missed, f"the capture missed {stage.link.missed} packets")
        netns = {side: host.inode for side, host in ground.hosts.items()}
        clocks = ground.clocks(recordings)
        run.notes += [note for note in (ground.where, clocks.note) if note]
        run.experiment.judge(Evidence(recordings, stage.link, netns, clocks), findings)
