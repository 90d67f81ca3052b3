"""Read a recording's file: whole, cut off at any byte, or empty."""

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tcptrace.analysis.header import check_batch, check_header, decode_metadata, nanoseconds
from tcptrace.analysis.mapped import Mapped
from tcptrace.analysis.observed import ALWAYS, NEVER, Observed
from tcptrace.analysis.reconstruct import Reconstruction
from tcptrace.analysis.validate import safe_part
from tcptrace.tracer.errors import RecordingError
from tcptrace.tracer.schema import SCHEMA

#: Unpacked by the thread that reads: Arrow's own threads take 15 % more CPU.
_ALONE = pa.ipc.IpcReadOptions(use_threads=False)


@dataclass
class _Progress:
    """What reading batch by batch has shown so far."""

    into: Reconstruction
    count: int = 0
    totals: dict[str, Any] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None
    lost: int = 0
    lost_until: int = NEVER
    names: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch, totals: dict[str, Any]) -> None:
        """Take in one batch and the running totals it carries."""
        if len(batch):
            times = batch["time"].view(pa.int64()).to_numpy(zero_copy_only=False)
            first, last = int(times.min()), int(times.max())
            self.first = first if self.first is None else min(first, self.first)
            self.last = last if self.last is None else max(last, self.last)
            # A full ring loses what comes until it is read, and that is told once all that
            # was found then is written: what was read next came after. Filters hold back,
            # so only its last is sure to.
            if self.lost_until == ALWAYS:
                self.lost_until = self.last
        lost = totals.get("lost", 0)
        if lost > self.lost:
            self.lost, self.lost_until = lost, ALWAYS
        for kind, named in totals.pop("names", {}).items():
            self.names.setdefault(kind, {}).update(named)
        self.into.add(batch)
        self.count += len(batch)
        self.totals = totals

    def observed(self, header: dict[str, Any]) -> Observed:
        """Give the span that was watched; of a cut-off recording, to its last event."""
        started = nanoseconds(header.get("started"))
        ended = nanoseconds(self.totals.get("ended"))
        if started is None or (self.first is not None and self.first < started):
            started = 0 if self.first is None else self.first
        if ended is None or (self.last is not None and self.last > ended):
            ended = started if self.last is None else self.last
        ended = max(started, ended)
        settling = nanoseconds(self.totals.get("settling"))
        settling = ended if settling is None else min(max(started, settling), ended)
        return Observed(started, settling, ended, self.lost, self.lost_until)


def load(path: Path, into: Reconstruction) -> dict[str, Any]:
    """Read as far as the file goes, its events ``into`` a reconstruction; give what it says.

    ``header``, ``final``, ``observed`` and ``problem``: as of a :class:`Recording`.
    ``count``: the events read; the rows themselves are not kept. Raises
    :class:`RecordingError` if the file cannot be opened or is something else.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RecordingError(f"{path}: not a file: save it to one first")
        if path.stat().st_size == 0:
            return _parts({}, _Progress(into), "the file is empty")
        source = Mapped(path)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from error
    safe = safe_part(source.bytes)
    stream = pa.BufferReader(safe)
    try:
        reader = pa.ipc.open_stream(stream, options=_ALONE)
    except (pa.ArrowException, OSError, EOFError) as error:
        _check_beginning(path, error)
        return _parts({}, _Progress(into), "the file is cut off within its header")
    header = check_header(path, reader.schema)
    progress = _Progress(into, names=header.get("names", {}))
    problem: str | None = None

    def read() -> Any:
        batch, raw = reader.read_next_batch_with_custom_metadata()
        source.read_to(stream.tell())
        check_batch(batch)
        return batch.select(SCHEMA.names), decode_metadata(raw)

    # Each is read and unpacked while the one before it is looked at.
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(read)
        while True:
            try:
                batch, totals = following.result()
            except StopIteration:
                break
            except (pa.ArrowException, OSError, EOFError):
                problem = "its last batch is damaged or cut off"
                break
            following = ahead.submit(read)
            progress.add(batch, totals)
    if progress.totals.get("final") is True:
        problem = None
    elif len(safe) < len(source.bytes):
        problem = f"it is damaged from byte {len(safe):,} on"
    elif problem is None:
        problem = "the recorder was stopped before it could finish"
    if progress.names:
        header["names"] = progress.names
    return _parts(header, progress, problem)


def _parts(header: dict[str, Any], progress: _Progress, problem: str | None) -> dict[str, Any]:
    return {
        "header": header,
        "final": progress.totals if problem is None else {},
        "count": progress.count,
        "observed": progress.observed(header),
        "problem": problem,
    }


def _check_beginning(path: Path, error: Exception) -> None:
    """Tell a recording cut off inside its header from something else."""
    with path.open("rb") as file:
        start = file.read(4)
    # An encapsulated Arrow message begins with a continuation marker.
    if start != b"\xff\xff\xff\xff"[: len(start)]:
        raise RecordingError(f"{path}: not a tcptrace recording") from error
