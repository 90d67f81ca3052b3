"""Which writer a recording gets, and what each means for its course."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tcptrace.tracer.header import iso_time, recording_ns
from tcptrace.tracer.limited import LimitedWriter
from tcptrace.tracer.output import NewFile
from tcptrace.tracer.recording import RecordingWriter
from tcptrace.tracer.rotation import RotatingWriter, Rotation
from tcptrace.tracer.session import Session, Snapshot


def rotation_asked(limit: float | None, keep: int | None, max_size: int | None) -> Rotation | None:
    """Check what is said of ``--rotate``, ``--keep`` and ``--max-size`` together.

    ``limit``: an int of bytes, or a float of seconds. Raises ``click.UsageError``.
    """
    if limit is None:
        if keep is not None:
            raise click.UsageError("--keep says how many files of --rotate to keep: give both")
        return None
    if max_size is not None:
        raise click.UsageError(
            "--max-size ends a recording and --rotate goes on: give one; "
            "--rotate SIZE --keep N bounds all files together"
        )
    if isinstance(limit, int):
        return Rotation(size=limit, keep=keep)
    return Rotation(seconds=limit, keep=keep)


@contextmanager
def open_writer(
    file: NewFile,
    path: Path,
    header: dict[str, Any],
    rotation: Rotation | None,
    max_size: int | None,
) -> Iterator[RecordingWriter | RotatingWriter]:
    """Begin a recording in ``file``: the only one, or the first of those named by ``path``."""
    if rotation is not None:
        offset = header["clock_offset_ns"]
        with RotatingWriter(path, file, header, rotation, lambda: recording_ns(offset)) as writer:
            yield writer
    elif max_size is not None:
        yield LimitedWriter(file.descriptor, str(path), header, max_size)
    else:
        yield RecordingWriter(file.descriptor, str(path), header)


def asking_again(
    session: Session,
    writer: RecordingWriter | RotatingWriter,
    ask: Callable[[], Snapshot],
    until: Callable[[], str | None],
) -> Callable[[], str | None]:
    """Have a snapshot in each file of a set: those before it may be gone when it is read.

    Gives what ``until`` does, to be called between two looks at the ring.
    """
    if not isinstance(writer, RotatingWriter):
        return until
    asked = writer.number

    def watch() -> str | None:
        nonlocal asked
        if writer.number > asked and not session.asking:
            asked = writer.number
            before = f"file {asked - 1}"
            if session.snapshots.get(before, before) is None:
                del session.snapshots[before]  # nothing to say, and there may be many
            session.ask(f"file {asked}", ask())
        return until()

    return watch


def ended(writer: RecordingWriter | RotatingWriter, now: Callable[[], str]) -> str:
    """Say when a recording ended: one that was full, with the last row that had room."""
    if isinstance(writer, LimitedWriter) and writer.full and writer.until is not None:
        return iso_time(writer.until)
    return now()
