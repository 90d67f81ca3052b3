"""A recording in one file after the other, of which the newest are kept (``--rotate``)."""

import os
import stat
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from tcptrace.tracer.errors import OutputError
from tcptrace.tracer.header import iso_time, kernel_counters
from tcptrace.tracer.limited import row_times
from tcptrace.tracer.output import NewFile
from tcptrace.tracer.parts import ROTATED, part_path, parts_beside
from tcptrace.tracer.recording import RecordingWriter

_LATEST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Rotation:
    """When the next file begins: after ``size`` bytes or ``seconds``; how many to ``keep``.

    None: not for that reason; all are kept.
    """

    size: int | None = None
    seconds: float | None = None
    keep: int | None = None


class RotatingWriter:
    """Writes as :class:`RecordingWriter` does, into RUN.0001.arrows, RUN.0002.arrows, ...

    Each file is a recording of its own. Its header's ``set`` says ``id``, the same in all,
    ``number``, and the ``events`` and ``lost`` of all files before it. A file has at most
    ``size`` bytes, unless a single batch has more.
    """

    full = False

    def __init__(
        self,
        path: Path,
        first: NewFile,
        header: dict[str, Any],
        rotation: Rotation,
        now: Callable[[], int],
    ) -> None:
        """Begin the first file, which is open. ``now``: the time, ns since 1970."""
        self.name = str(path)
        #: Events and bytes in all files so far; the number of the one written now.
        self.events = self.size = 0
        self.number = 0
        self._path, self._header, self._rotation, self._now = path, header, rotation, now
        self._id = os.urandom(8).hex()
        self._total = {"events": 0, "lost": 0}
        self._kept: list[tuple[Path, int]] = []
        self._syncing = ThreadPoolExecutor(1)
        self._synced: Future[None] | None = None
        self._begin(first, {})

    @property
    def due(self) -> bool:
        """Whether the time of the file that is written now is over."""
        seconds = self._rotation.seconds
        return seconds is not None and time.monotonic() - self._began >= seconds

    def write(self, batch: Any, seen: int, lost: int, more: dict[str, Any] | None = None) -> None:
        """Add a batch, to the next file if it is time. Raises :class:`OutputError`."""
        size = self._rotation.size
        if self.due or (
            size is not None and self._file.events and self._file.fitting(batch, size) < len(batch)
        ):
            self._rotate(batch, seen, lost, more)
        self._add(batch, seen, lost, more)

    def finish(self, seen: int, lost: int, final: dict[str, Any]) -> None:
        """End the last file (:meth:`RecordingWriter.finish`)."""
        self._wait()
        size = self._file.size
        self._file.finish(*self._own(seen, lost), final)
        self.size += self._file.size - size

    def _add(self, batch: Any, seen: int, lost: int, more: dict[str, Any] | None) -> None:
        size = self._file.size
        self._file.write(batch, *self._own(seen, lost), more)
        self.events += len(batch)
        self.size += self._file.size - size
        self._total = {"events": seen, "lost": lost}

    def _own(self, seen: int, lost: int) -> tuple[int, int]:
        """Count what is of the file written now."""
        return seen - self._before["events"], lost - self._before["lost"]

    def _rotate(self, batch: Any, seen: int, lost: int, more: dict[str, Any] | None) -> None:
        """End the file and begin the next, at the time of the first row of ``batch``."""
        self._wait()
        self._remove_oldest()
        try:
            following = NewFile(part_path(self._path, self.number + 1))
        except OutputError as error:
            self._add(batch, seen, lost, more)  # it has been read: let it be in the file
            raise OutputError(
                f"{error}; recording stopped, the {self.events:,} events before are in the files"
            ) from error
        began = iso_time(int(min(self._now(), row_times(batch).min(initial=_LATEST))))
        # Losses that were counted since belong to the next file: they came after this one.
        own = self._own(self._total["events"], self._total["lost"])
        size = self._file.size
        counters = kernel_counters()
        final = {"ended": began, "reason": ROTATED, "mib": counters}
        self._file.end(*own, final | (more or {}))
        self.size += self._file.size - size
        self._synced = self._syncing.submit(_sync_and_close, self._file, self._open)
        self._begin(following, {"started": began, "mib": counters})

    def _begin(self, file: NewFile, about: dict[str, Any]) -> None:
        """Begin a file; ``about``: what its header says otherwise than the first one's."""
        self.number += 1
        self._open, self._before, self._began = file, self._total, time.monotonic()
        part = {"id": self._id, "number": self.number} | self._before
        header = self._header | about | {"set": part}
        self._file = RecordingWriter(file.descriptor, str(file.path), header)
        self.size += self._file.size
        self._kept.append((file.path, os.fstat(file.descriptor).st_ino))
        if self.number > 1:
            file.publish()

    def _remove_oldest(self) -> None:
        """Make room for one more file; what is not ours by now stays."""
        while self._rotation.keep is not None and len(self._kept) >= self._rotation.keep:
            path, inode = self._kept.pop(0)
            with suppress(OSError):
                if path.lstat().st_ino == inode:
                    path.unlink()

    def _wait(self) -> None:
        """Wait until the file before is on the disk. Raises :class:`OutputError`."""
        if self._synced is not None:
            self._synced.result()
            self._synced = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._syncing.shutdown()
        self._open.close()


def _sync_and_close(writer: RecordingWriter, file: NewFile) -> None:
    """Bring a file to the disk: this may take seconds, which the recorder has not."""
    try:
        writer.sync()
    finally:
        file.close()


def others_in_place(path: Path, *, force: bool) -> list[Path]:
    """Find the files that would be taken for this recording's; with ``force`` they may go.

    Raises :class:`OutputError`.
    """
    try:
        found = [*([path] if os.path.lexists(path) else []), *parts_beside(path)]
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}: use another place (-o)") from error
    for other in found:
        if not force:
            raise OutputError(f"{other} exists: use --force, or another name (-o)")
        if not stat.S_ISREG(other.lstat().st_mode):
            raise OutputError(f"{other} exists and is no regular file: use another (-o)")
    return found
