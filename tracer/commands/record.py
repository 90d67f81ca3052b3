"""`tcptrace record`: record until Ctrl-C, a time, or a command's end."""

import contextlib
import datetime
import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tcptrace.tracer.preflight import require_rights_and_bcc
from tcptrace.tracer.selection import Selection, filter_options, taken_from
from tcptrace.tracer.sizes import Size, check_buffer_size, human_size

if TYPE_CHECKING:
    from tcptrace.tracer.capture import Capture
    from tcptrace.tracer.command import Command
    from tcptrace.tracer.recording import RecordingWriter
    from tcptrace.tracer.session import Session, Stop
    from tcptrace.tracer.snapshot import SnapshotProcess


@click.command("record", context_settings={"ignore_unknown_options": False})
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds to record.")
@click.option(
    "--settle",
    type=click.FloatRange(0),
    default=0,
    help="Afterwards follow the TIME_WAITs already begun, so many seconds at most.",
)
@click.option("--max-size", type=Size(), help="Stop when the file has this size (e.g. 500M).")
@click.option(
    "--buffer-size",
    type=Size(),
    default="64M",
    show_default=True,
    callback=check_buffer_size,
    help="Ring buffer in the kernel.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    help="Written once the probes are attached.",
)
@filter_options
@click.argument("arguments", nargs=-1, metavar="[-- COMMAND ...]")
def command(
    output: Path | None,
    force: bool,
    duration: float | None,
    settle: float,
    max_size: int | None,
    buffer_size: int,
    ready_file: Path | None,
    arguments: tuple[str, ...],
    **options: Any,
) -> None:
    """Record every TCP state transition until Ctrl-C, a time, or COMMAND's end."""
    require_rights_and_bcc()
    from tcptrace.tracer import privileges

    with privileges.one_thread():
        from tcptrace.tracer.capture import Capture
        from tcptrace.tracer.filters import ConnectionFilter
        from tcptrace.tracer.header import make_header
        from tcptrace.tracer.output import NewFile
        from tcptrace.tracer.recording import RecordingWriter
        from tcptrace.tracer.session import Session, Stop
        from tcptrace.tracer.snapshot import SnapshotProcess
        from tcptrace.tracer.snapshot_server import SnapshotServer
        from tcptrace.tracer.status import say

    wanted = Selection(**taken_from(options))
    path = output or Path(f"tcptrace-{datetime.datetime.now():%Y%m%d-%H%M%S}.arrows")
    with (
        NewFile(path, force=force) as file,
        Stop() as stop,
        Capture.start(buffer_size) as capture,
        contextlib.closing(SnapshotServer()) as server,
    ):
        header = make_header(capture, list(arguments), wanted.as_json(), buffer_size)
        writer = RecordingWriter(file.descriptor, str(path), header)
        session = Session(capture, writer, ConnectionFilter(wanted) if wanted else None, stop)
        child = _start(arguments)
        _go_first()
        try:
            file.publish()
            _announce(capture, ready_file)
            _give_up_rights(child)
            ending = _Ending(stop, child, duration, max_size, writer)
            ask = partial(SnapshotProcess, wanted.netns, header["hz"], server)
            _record(capture, writer, session, ending, settle, ask, quiet=child is not None)
        finally:
            if child is not None:
                child.stop()
    if child is not None and (outcome := child.outcome()):
        say(f"tcptrace: {outcome}")


def _start(arguments: tuple[str, ...]) -> "Command | None":
    """Start COMMAND, if there is one; only now that the probes are attached."""
    from tcptrace.tracer import privileges
    from tcptrace.tracer.command import Command

    privileges.hand_on_none()
    return Command(list(arguments)) if arguments else None


def _go_first() -> None:
    """Let the recorder run as soon as it wants to, COMMAND excepted, which has started.

    Among 48 busy processes on two cores it got so little CPU that a third of the
    events was lost.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)


def _give_up_rights(child: "Command | None") -> None:
    """Keep only what recording needs, as the user who called sudo."""
    from tcptrace.tracer import privileges
    from tcptrace.tracer.output import calling_user

    # COMMAND may have become another user, and is to be ended all the same.
    keep = () if child is None else ("CAP_KILL",)
    privileges.restrict(keep, calling_user())


def _announce(capture: "Capture", ready_file: Path | None) -> None:
    """Say which probes are missing; tell whoever waits that recording has begun."""
    from tcptrace.tracer.output import write_aside
    from tcptrace.tracer.probes import PROBES
    from tcptrace.tracer.status import say

    for probe in PROBES:
        status = capture.probes[probe.name]
        if not status["attached"]:
            say(
                f"tcptrace: {probe.name} not attached ({status['reason']}): "
                f"not recorded: {probe.without}"
            )
    if ready_file is not None:
        write_aside(ready_file, json.dumps({"pid": os.getpid(), "probes": capture.probes}))


class _Ending:
    """What ends a recording: a signal, COMMAND's end, time or size, whichever is first.

    With a COMMAND, Ctrl-C is for COMMAND, and its end ends the recording; a second one
    ends the recording at once.
    """

    def __init__(
        self,
        stop: "Stop",
        child: "Command | None",
        duration: float | None,
        max_size: int | None,
        writer: "RecordingWriter",
    ) -> None:
        self._stop, self._child, self._writer = stop, child, writer
        self._deadline = None if duration is None else time.monotonic() + duration
        self._max_size = max_size
        self._told: int | None = None
        self._cut_short: str | None = None

    def recording(self) -> str | None:
        """Give the reason to end the recording; None to go on."""
        number = self._stop.take()
        if number is not None:
            if self._child is None or self._told is not None:
                return _name(number)
            self._child.forward(number)
            self._told = number
        if self._child is not None and self._child.ended():
            return "the command ended" if self._told is None else _name(self._told)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return "the duration is over"
        if self._max_size is not None and self._writer.size >= self._max_size:
            return "the file reached --max-size"
        return None

    def interrupted(self) -> str | None:
        """Give the signal that cuts short what comes after recording; None to go on."""
        number = self._stop.take()
        if number is not None:
            self._cut_short = _name(number)
        return self._cut_short

    def settling(self, seconds: float) -> Callable[[], str | None]:
        """Make the question that ends settling, from now on."""
        deadline = time.monotonic() + seconds
        return lambda: (
            self.interrupted() or ("the time is over" if time.monotonic() >= deadline else None)
        )


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def _record(
    capture: "Capture",
    writer: "RecordingWriter",
    session: "Session",
    ending: _Ending,
    settle: float,
    ask: "Callable[[], SnapshotProcess]",
    *,
    quiet: bool,
) -> None:
    """Record, settle, finish, and say what to do next.

    ``ask``: what starts a snapshot. ``quiet``: no status line.
    """
    from tcptrace.tracer.header import kernel_counters, recording_time
    from tcptrace.tracer.status import StatusLine, say

    def now() -> str:
        return recording_time(capture.clock_offset_ns)

    line = StatusLine(lambda: writer.size)
    started = time.monotonic()
    try:
        session.ask("start", ask())
        reason = session.run(ending.recording, (lambda _: None) if quiet else line.show)
        session.complete(ending.interrupted)
        session.ask("end", ask())
        session.complete(ending.interrupted)
        if settle and session.waiting:
            session.settle(ending.settling(settle), now(), line.show_settling)
            if session.waiting:
                # Which of these were in FIN_WAIT_2 and are in TIME_WAIT by now.
                session.ask("settled", ask())
                session.complete(ending.interrupted)
        # Only now: between the last look at the sockets and this, nothing is missed.
        capture.detach()
        session.finish()
    finally:
        line.clear()
        session.abandon("recording failed")
    for when, problem in session.snapshots.items():
        if problem is not None:
            say(f"tcptrace: {when} snapshot: {problem}")
    final = {"ended": now(), "reason": reason, "mib": kernel_counters()}
    final |= {"snapshots": session.snapshots}
    writer.finish(session.seen, session.lost, final | session.settling)
    _summarise(session, writer, time.monotonic() - started)


def _summarise(session: "Session", writer: "RecordingWriter", seconds: float) -> None:
    from tcptrace.tracer.status import say

    lost = f"{session.lost:,} LOST" if session.lost else "0 lost"
    waiting = len(session.waiting)
    left = f", {waiting:,} still in TIME_WAIT" if waiting else ""
    say(
        f"{writer.events:,} events in {seconds:.1f} s, {lost}{left}: "
        f"{writer.name} ({human_size(writer.size)})"
    )
    say(f"Next: tcptrace report {writer.name}")
