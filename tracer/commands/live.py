"""`tcptrace live`: transitions as they happen, or a table that refreshes."""

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tcptrace.tracer.clock import monotonic_ns
from tcptrace.tracer.preflight import require_rights_and_bcc
from tcptrace.tracer.selection import Selection, filter_options, taken_from

if TYPE_CHECKING:
    import numpy as np

    from tcptrace.tracer.live import Transition
    from tcptrace.tracer.stop import Stop

#: Between two looks at the ring, seconds: soon enough to be called live.
_POLL = 0.1
_REFRESH = 1.0

_CLEAR = "\x1b[H\x1b[J"
_FULL_SCREEN, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@click.command("live")
@click.option("--top", is_flag=True, help="A table of programs that refreshes; q quits.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds to run.")
@filter_options
def command(top: bool, duration: float | None, **options: Any) -> None:
    """Show transitions as they happen, each with its owner.

    NAME[PID] did it itself; (NAME) is the program that listens, where nobody has done
    anything with the connection yet; ? is unknown.
    """
    require_rights_and_bcc()
    from tcptrace.tracer import privileges

    with privileges.one_thread():
        from tcptrace.tracer.capture import Capture
    from tcptrace.tracer.output import calling_user
    from tcptrace.tracer.stop import Stop

    wanted = Selection(**taken_from(options))
    with Stop() as stop, Capture.start() as capture:
        deadline = None if duration is None else time.monotonic() + duration
        with contextlib.closing(_Feed(capture, wanted)) as feed:
            # CAP_KILL: to give up the snapshot, which still has its rights.
            privileges.restrict(("CAP_KILL",), calling_user())
            (_top if top else _lines)(feed, stop, deadline)
        if lost := feed.lost:
            click.echo(f"{lost:,} events were lost: tcptrace record keeps up with more", err=True)


class _Feed:
    """The sockets, kept up to date from the ring buffer and a snapshot."""

    def __init__(self, capture: Any, wanted: Selection) -> None:
        from tcptrace.tracer.filters import ConnectionFilter
        from tcptrace.tracer.live import LiveSockets
        from tcptrace.tracer.live_view import Rates
        from tcptrace.tracer.snapshot import SnapshotProcess

        self.sockets, self.rates = LiveSockets(), Rates()
        self.clock_offset_ns: int = capture.clock_offset_ns
        self._capture = capture
        self._keep = ConnectionFilter(wanted) if wanted else None
        self._snapshot = SnapshotProcess(wanted.netns)

    @property
    def lost(self) -> int:
        """Events that no ring had room for, or that no program was run for."""
        return int(self._capture.lost())

    def poll(self) -> "Iterator[Transition]":
        """Take in what has happened; tell of each transition."""
        kept = self._chosen(self._capture.read())
        self.rates.events += len(kept)
        yield from self._take(kept)
        older = self._snapshot.poll()
        if older is not None:
            yield from self._take(self._chosen(older))
            self.sockets.snapshot_done()
        yield from self.sockets.settle(monotonic_ns())

    def _chosen(self, events: "np.ndarray") -> "np.ndarray":
        return events if self._keep is None else self._keep.push(events)

    def _take(self, events: "np.ndarray") -> "Iterator[Transition]":
        for told in self.sockets.push(events):
            self.rates.take(told)
            yield told

    def close(self) -> None:
        """Give up a snapshot still under way."""
        self._snapshot.close()


def _goes_on(stop: "Stop", deadline: float | None) -> bool:
    return stop.take() is None and (deadline is None or time.monotonic() < deadline)


def _lines(feed: _Feed, stop: "Stop", deadline: float | None) -> None:
    from tcptrace.tracer.live_view import transition_line

    click.echo("Watching; a line for each transition, until Ctrl-C", err=True)
    while _goes_on(stop, deadline):
        lines = [transition_line(told, feed.clock_offset_ns) for told in feed.poll()]
        if lines:
            click.echo("\n".join(lines))
        stop.wait(_POLL)


def _top(feed: _Feed, stop: "Stop", deadline: float | None) -> None:
    """Refresh the table every second; on a terminal also at once when a key is pressed."""
    from tcptrace.tracer.live_view import SORT_KEYS, top_lines

    terminal = sys.stdout.isatty()
    sort_by = SORT_KEYS["t"]
    rate_at, before = time.monotonic(), (0, 0)
    shown_at = 0.0
    with _screen() if terminal else contextlib.nullcontext():
        while _goes_on(stop, deadline):
            for _ in feed.poll():
                pass
            key = _pressed() if terminal else ""
            if key == "q":
                return
            sort_by = SORT_KEYS.get(key, sort_by)
            now = time.monotonic()
            if now - shown_at >= _REFRESH or key:
                shown_at = now
                # Asked anew each time, of the terminal itself: it may have been resized,
                # which the environment's COLUMNS and LINES do not know.
                width, height = os.get_terminal_size(1) if terminal else (80, 1_001)
                lines = top_lines(
                    feed.sockets,
                    feed.rates,
                    before=before,
                    elapsed=max(now - rate_at, 1e-3),
                    lost=feed.lost,
                    now=monotonic_ns(),
                    sort_by=sort_by,
                    height=height - 2,
                )
                if terminal:
                    keys = "q quits; sort by: " + ", ".join(
                        f"[{each} {name}]" if name == sort_by else f"{each} {name}"
                        for each, name in SORT_KEYS.items()
                    )
                    text = "\r\n".join(each[:width] for each in [*lines, keys])
                    sys.stdout.write(_CLEAR + text)
                else:
                    sys.stdout.write("\n".join(lines) + "\n\n")
                sys.stdout.flush()
            if now - rate_at >= _REFRESH:
                rate_at, before = now, (feed.rates.events, feed.rates.opened)
            stop.wait(_POLL)


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """Take the whole terminal, keys one by one; give it back as it was."""
    keys = sys.stdin.isatty()
    saved = termios.tcgetattr(sys.stdin) if keys else None
    sys.stdout.write(_FULL_SCREEN)
    try:
        if keys:
            tty.setcbreak(sys.stdin)
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        if saved is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


def _pressed() -> str:
    """Give the key pressed, if one was; empty otherwise."""
    if sys.stdin.isatty() and select.select([sys.stdin], [], [], 0)[0]:
        return os.read(sys.stdin.fileno(), 1).decode(errors="ignore")
    return ""
