"""What `record` shows while it runs: one line on a terminal, nothing elsewhere."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

import click

from tcptrace.tracer.session import Session
from tcptrace.tracer.sizes import human_size

_EVERY = 0.5
_BAR = 24
#: How long the last TIME_WAIT takes to end, seconds, in general: 60 rounded up by the timer wheel.
_USUAL_WAIT = 62


class StatusLine:
    """The line that is written over again; silent unless ``stream`` is a terminal."""

    def __init__(self, size: Callable[[], int], stream: TextIO = sys.stderr) -> None:
        self._stream, self._size = stream, size
        self._shown_at = self._last_at = time.monotonic()
        self._last_opened = 0
        self._rate = 0.0
        self._began_waiting = 0
        self._settling_since: float | None = None
        self._terminal = stream.isatty()

    def show(self, session: Session) -> None:
        """Show how recording goes, twice a second."""
        now = time.monotonic()
        if not self._terminal or now - self._shown_at < _EVERY:
            return
        self._shown_at = now
        if now - self._last_at >= 1:
            self._rate = (session.opened - self._last_opened) / (now - self._last_at)
            self._last_at, self._last_opened = now, session.opened
        self._write(
            f"{session.seen:,} events  {self._rate:,.0f} connections/s  "
            f"{len(session.waiting):,} in TIME_WAIT  {session.lost:,} lost  "
            f"{human_size(self._size())}"
        )

    def show_settling(self, session: Session) -> None:
        """Show how many TIME_WAITs have ended; the bar is the time, as they end together."""
        now = time.monotonic()
        if self._settling_since is None:
            self._settling_since = now
        left = len(session.waiting)
        self._began_waiting = max(self._began_waiting, left)
        if not self._terminal or now - self._shown_at < _EVERY:
            return
        self._shown_at = now
        seconds = now - self._settling_since
        filled = min(_BAR, int(_BAR * seconds / _USUAL_WAIT))
        self._write(
            f"following TIME_WAITs [{'#' * filled}{'.' * (_BAR - filled)}] "
            f"{seconds:.0f} s, {self._began_waiting - left:,} of {self._began_waiting:,} ended"
        )

    def clear(self) -> None:
        """Take the line away."""
        if self._terminal:
            self._write("")

    def _write(self, text: str) -> None:
        # A line that wraps could not be written over.
        line = f"\r\033[K{text[: _columns(self._stream) - 1]}"
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError:  # the terminal was closed: recording goes on
            self._terminal = False


def say(text: str) -> None:
    """Write a line to stderr, if it is still there: nothing recorded hangs on it."""
    with suppress(OSError):
        click.echo(text, err=True)


def _columns(stream: TextIO) -> int:
    """Give the terminal's width; 80 where it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80
