"""`tcptrace record`: record until Ctrl-C, a time, or a command's end."""

import datetime
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tcptrace.tracer.preflight import require_rights_and_bcc
from tcptrace.tracer.selection import Selection, filter_options, taken_from

if TYPE_CHECKING:
    from tcptrace.tracer.capture import Capture
    from tcptrace.tracer.session import Session

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Size(click.ParamType):
    """Bytes, with an optional K, M or G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a size such as 64M."""
        if isinstance(value, int):
            return value
        number = value.upper().removesuffix("B").rstrip("KMG")
        unit = value.upper().removesuffix("B")[len(number) :]
        if not number.isdigit() or unit not in _UNITS or int(number) == 0:
            self.fail(f"{value!r} is no size such as 64M", param, ctx)
        return int(number) * _UNITS[unit]


def _power_of_two(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value & (value - 1) or value < 1 << 16:
        raise click.BadParameter("must be a power of two, 64K at least", ctx, param)
    return value


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
    callback=_power_of_two,
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
    from tcptrace.tracer import output as files
    from tcptrace.tracer.capture import Capture
    from tcptrace.tracer.filters import ConnectionFilter
    from tcptrace.tracer.header import make_header
    from tcptrace.tracer.recording import RecordingWriter
    from tcptrace.tracer.session import Session, Stop

    wanted = Selection(**taken_from(options))
    path = output or Path(f"tcptrace-{datetime.datetime.now():%Y%m%d-%H%M%S}.arrows")
    descriptor = files.create(path, force=force)
    try:
        with Stop() as stop, Capture.start(buffer_size) as capture:
            header = make_header(capture, list(arguments), wanted.as_json(), buffer_size)
            writer = RecordingWriter(descriptor, str(path), header)
            _announce(capture, ready_file)
            session = Session(capture, writer, ConnectionFilter(wanted) if wanted else None, stop)
            _record(capture, writer, session, list(arguments), duration, settle, max_size)
    except BaseException:
        # Nothing was recorded: leave no empty file behind.
        if path.stat().st_size == 0:
            path.unlink(missing_ok=True)
        raise


def _announce(capture: "Capture", ready_file: Path | None) -> None:
    """Say which probes are missing; tell whoever waits that recording has begun."""
    from tcptrace.tracer.probes import PROBES

    for probe in PROBES:
        status = capture.probes[probe.name]
        if not status["attached"]:
            click.echo(
                f"tcptrace: {probe.name} not attached ({status['reason']}): "
                f"not recorded: {probe.without}",
                err=True,
            )
    if ready_file is not None:
        partial = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        partial.write_text(json.dumps({"pid": os.getpid(), "probes": capture.probes}))
        partial.replace(ready_file)


def _until(
    child: "subprocess.Popen[bytes] | None",
    duration: float | None,
    max_size: int | None,
    size: Callable[[], int],
) -> Callable[[], str | None]:
    """Make the question that ends a recording."""
    deadline = None if duration is None else time.monotonic() + duration

    def reason() -> str | None:
        if child is not None and child.poll() is not None:
            return "the command ended"
        if deadline is not None and time.monotonic() >= deadline:
            return "the duration is over"
        if max_size is not None and size() >= max_size:
            return "the file reached --max-size"
        return None

    return reason


def _record(
    capture: "Capture",
    writer: Any,
    session: "Session",
    arguments: list[str],
    duration: float | None,
    settle: float,
    max_size: int | None,
) -> None:
    """Record, settle, finish, and say what to do next."""
    from tcptrace.tracer import command as runner
    from tcptrace.tracer.header import kernel_counters, utc_now
    from tcptrace.tracer.status import StatusLine

    line = StatusLine(lambda: writer.size)
    started = time.monotonic()
    child = runner.start(arguments) if arguments else None
    # COMMAND may write to the terminal: it has it to itself.
    show = (lambda _: None) if child else line.show
    reason = session.run(_until(child, duration, max_size, lambda: writer.size), show)
    if settle and session.waiting:
        session.settle(settle, utc_now(), line.show_settling)
    capture.detach()
    session.finish()
    line.clear()
    final = {"ended": utc_now(), "reason": reason, "mib": kernel_counters()} | session.settling
    writer.finish(session.lost, final)
    _summarise(session, writer, time.monotonic() - started)
    if child is not None:
        _report_child(child, arguments, session.stop.signal)


def _report_child(
    child: "subprocess.Popen[bytes]", arguments: list[str], signal_number: int | None
) -> None:
    from tcptrace.tracer import command as runner

    status = child.poll()
    if status is None:
        click.echo(f"{arguments[0]} (pid {child.pid}) is still running.", err=True)
    elif status != 0 and signal_number is None:
        click.echo(f"{runner.describe_end(arguments, status)}.", err=True)


def _summarise(session: "Session", writer: Any, seconds: float) -> None:
    from tcptrace.tracer.status import human_size

    lost = f"{session.lost:,} LOST" if session.lost else "0 lost"
    waiting = len(session.waiting)
    left = f", {waiting:,} still in TIME_WAIT" if waiting else ""
    click.echo(
        f"{writer.events:,} events in {seconds:.1f} s, {lost}{left}: "
        f"{writer.name} ({human_size(writer.size)})",
        err=True,
    )
    click.echo(f"Next: tcptrace report {writer.name}", err=True)
