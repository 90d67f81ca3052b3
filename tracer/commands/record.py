"""`tcptrace record`: record until Ctrl-C, a time, or a command's end."""

import contextlib
import datetime
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tcptrace.tracer.preflight import require_rights_and_bcc
from tcptrace.tracer.selection import Selection, filter_options, taken_from
from tcptrace.tracer.sizes import Size, SizeOrTime, at_least, check_buffer_size

if TYPE_CHECKING:
    from tcptrace.tracer.capture import Capture
    from tcptrace.tracer.command import Command
    from tcptrace.tracer.ending import Ending
    from tcptrace.tracer.recording import RecordingWriter
    from tcptrace.tracer.rotation import RotatingWriter, Rotation
    from tcptrace.tracer.session import Session
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
@click.option(
    "--max-size",
    type=Size(),
    callback=at_least(128 << 10),
    help="Stop before the file is larger than this (e.g. 500M).",
)
@click.option(
    "--rotate",
    type=SizeOrTime(),
    callback=at_least(256 << 10),
    help="Begin the next file before one is larger (e.g. 100M), or after a time (60s, 15min).",
)
@click.option("--keep", type=click.IntRange(2), help="With --rotate: keep the newest so many.")
@click.option(
    "--priority",
    type=click.IntRange(-20, 19),
    default=-20,
    show_default=True,
    help="The recorder's nice value: -20 goes first, 19 last.",
)
@click.option(
    "--buffer-size",
    type=Size(),
    default="64M",
    show_default=True,
    callback=check_buffer_size,
    help="Ring buffers in the kernel, all together.",
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
    rotate: float | None,
    keep: int | None,
    priority: int,
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
        from tcptrace.tracer.ending import Ending
        from tcptrace.tracer.filters import ConnectionFilter
        from tcptrace.tracer.header import make_header
        from tcptrace.tracer.messages import announce
        from tcptrace.tracer.names import Names
        from tcptrace.tracer.output import NewFile
        from tcptrace.tracer.parts import part_path
        from tcptrace.tracer.rotation import others_in_place
        from tcptrace.tracer.session import Session
        from tcptrace.tracer.snapshot import SnapshotProcess
        from tcptrace.tracer.snapshot_server import SnapshotServer
        from tcptrace.tracer.status import say
        from tcptrace.tracer.stop import Stop
        from tcptrace.tracer.writers import open_writer, rotation_asked

    wanted = Selection(**taken_from(options))
    rotation = rotation_asked(rotate, keep, max_size)
    path = output or Path(f"tcptrace-{datetime.datetime.now():%Y%m%d-%H%M%S}.arrows")
    others = others_in_place(path, force=force) if rotation else []
    with (
        NewFile(part_path(path, 1) if rotation else path, force=force) as file,
        contextlib.ExitStack() as closing,
        Stop() as stop,
        Capture.start(buffer_size) as capture,
        contextlib.closing(SnapshotServer()) as server,
    ):
        names = Names()
        header = make_header(capture, list(arguments), wanted.as_json(), buffer_size)
        capture.forget()  # at once: the header's counters count what comes from here on
        header["names"] = names.known  # of a later file: all that were known when it began
        writer = closing.enter_context(open_writer(file, path, header, rotation, max_size))
        keep_only = ConnectionFilter(wanted) if wanted else None
        session = Session(capture, writer, keep_only, stop, names)
        child = _start(arguments)
        _go_first(priority)
        try:
            file.publish()
            for other in others:
                if other != file.path:
                    other.unlink(missing_ok=True)
            announce(capture, ready_file)
            _give_up_rights(child, rotation)
            ending = Ending(stop, child, duration, writer)
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


def _go_first(priority: int) -> None:
    """Let the recorder run as soon as it wants to, COMMAND excepted, which has started.

    Among 48 busy processes on two cores it got so little CPU that a third of the
    events was lost.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, priority)


def _give_up_rights(child: "Command | None", rotation: "Rotation | None") -> None:
    """Keep only what recording needs, as the user who called sudo."""
    from tcptrace.tracer import privileges
    from tcptrace.tracer.output import calling_user

    # COMMAND may have become another user, and is to be ended all the same.
    keep = set() if child is None else {"CAP_KILL"}
    if rotation is not None:
        keep |= privileges.FILES
    privileges.restrict(keep, calling_user())


def _record(
    capture: "Capture",
    writer: "RecordingWriter | RotatingWriter",
    session: "Session",
    ending: "Ending",
    settle: float,
    ask: "Callable[[], SnapshotProcess]",
    *,
    quiet: bool,
) -> None:
    """Record, settle, finish, and say what to do next.

    ``ask``: what starts a snapshot. ``quiet``: no status line.
    """
    from tcptrace.tracer.header import kernel_counters, recording_time
    from tcptrace.tracer.messages import summarise
    from tcptrace.tracer.status import StatusLine, say
    from tcptrace.tracer.writers import asking_again, ended

    def now() -> str:
        return recording_time(capture.clock_offset_ns)

    line = StatusLine(lambda: writer.size)
    started = time.monotonic()
    try:
        session.ask("start", ask())
        until = asking_again(session, writer, ask, ending.recording)
        reason = session.run(until, (lambda _: None) if quiet else line.show)
        session.complete(ending.interrupted)
        if writer.full:
            session.snapshots["end"] = "not asked for: the file is full"
        else:
            session.ask("end", ask())
            session.complete(ending.interrupted)
        # What comes while settling is counted by the kernel, and mostly not recorded.
        counters = kernel_counters()
        if settle and session.waiting and not writer.full:
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
    final = {"ended": ended(writer, now), "reason": reason, "mib": counters}
    final |= {"snapshots": session.snapshots}
    writer.finish(session.seen, session.lost, final | session.settling)
    summarise(session, writer, time.monotonic() - started)
