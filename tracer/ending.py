"""What ends a recording, and what cuts short what comes after."""

import signal
import time
from collections.abc import Callable

from tcptrace.tracer.command import Command
from tcptrace.tracer.session import Writer
from tcptrace.tracer.stop import Stop


class Ending:
    """What ends a recording: a signal, COMMAND's end, time or size, whichever is first.

    With a COMMAND, Ctrl-C is for COMMAND, and its end ends the recording; a second one
    ends the recording at once.
    """

    def __init__(
        self,
        stop: Stop,
        child: Command | None,
        duration: float | None,
        writer: Writer,
    ) -> None:
        self._stop, self._child, self._writer = stop, child, writer
        self._deadline = None if duration is None else time.monotonic() + duration
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
        if self._writer.full:
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
