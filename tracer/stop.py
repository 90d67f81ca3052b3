"""What asks a recorder to stop, and how it waits without missing that."""

import select
import signal
import socket
from types import FrameType
from typing import Self


class Stop:
    """Ends waiting when a signal comes: Ctrl-C, SIGTERM, SIGHUP, a child's end."""

    def __init__(self) -> None:
        self._asked: list[int] = []
        self._wake, self._woken = socket.socketpair()

    def __enter__(self) -> Self:
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        self._old = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._wake.close()
        self._woken.close()

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._asked.append(number)

    def take(self) -> int | None:
        """Give the next signal that asked to stop; None if there is none."""
        return self._asked.pop(0) if self._asked else None

    def wait(self, seconds: float) -> None:
        """Wait, at most so long; a signal ends it."""
        if select.select([self._wake], [], [], seconds)[0]:
            self._wake.recv(64)
