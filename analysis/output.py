"""Create the files a report or an export goes to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tcptrace.tracer.errors import OutputError


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[IO[bytes]]:
    """Open a new file for writing; on success it stands whole under ``path``.

    Never follows a symbolic link and never overwrites unless ``force``; then the old
    file is replaced only once the new one is complete. Nothing half-written is left
    behind. Raises :class:`OutputError` if it cannot be created or written.
    """
    place = path.with_name(f".{path.name}.{os.getpid()}.part") if force else path
    try:
        if path.is_dir():
            raise OutputError(f"{path}: is a directory: give a file's name")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(place, flags, 0o666), "wb") as stream:
            try:
                yield stream
                stream.flush()
                if force:
                    place.replace(path)
            except BaseException:
                place.unlink(missing_ok=True)
                raise
    except FileExistsError as error:
        raise OutputError(f"{path}: exists already: use --force to overwrite it") from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}: choose another -o") from error
