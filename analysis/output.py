"""Create the files a report or an export goes to."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tcptrace.tracer.errors import OutputError
from tcptrace.tracer.output import NewFile


@contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """Let what ends the process raise, as Ctrl-C does, so that it clears up first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup
    }
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[IO[bytes]]:
    """Open a new file for writing, by the rules of :class:`NewFile`.

    It stands under ``path`` once it is complete; nothing half-written is left behind,
    by Ctrl-C, SIGTERM or SIGHUP neither, and by nothing whatever under ``path``.
    Raises :class:`OutputError` if it cannot be created or written.
    """
    # With force it is written beside the name, and refuses all but a regular file there.
    with _signals_as_ctrl_c(), NewFile(path, force=True) as file:
        if not force:
            _refuse(path)
        try:
            with os.fdopen(file.descriptor, "wb", closefd=False) as stream:
                yield stream
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}: use another place (-o)") from error
        if not force:
            _refuse(path)  # somebody may have made it meanwhile
        file.publish()


def _refuse(path: Path) -> None:
    if os.path.lexists(path):
        raise OutputError(f"{path} exists: use --force, or another name (-o)")
