"""Create the files a report or an export goes to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tcptrace.tracer.errors import OutputError
from tcptrace.tracer.output import NewFile


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[IO[bytes]]:
    """Open a new file for writing, by the rules of :class:`NewFile`.

    It stands under ``path`` once it is complete; nothing half-written is left behind.
    Raises :class:`OutputError` if it cannot be created or written.
    """
    with NewFile(path, force=force) as file:
        try:
            with os.fdopen(file.descriptor, "wb", closefd=False) as stream:
                yield stream
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}: use another place (-o)") from error
        file.publish()
