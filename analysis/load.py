"""Read a recording's file: whole, cut off at any byte, or empty."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tcptrace.analysis.observed import NEVER, Observed
from tcptrace.tracer.errors import RecordingError
from tcptrace.tracer.schema import FORMAT, METADATA_KEY, SCHEMA


@dataclass
class _Progress:
    """What reading batch by batch has shown so far."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    totals: dict[str, Any] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None
    lost: int = 0
    lost_until: int = NEVER

    def add(self, batch: pa.RecordBatch, totals: dict[str, Any]) -> None:
        """Take in one batch and the running totals it carries."""
        if len(batch):
            times = batch["time"].to_numpy(zero_copy_only=False).astype(np.int64)
            self.first = min(int(times.min()), self.first or int(times.min()))
            self.last = max(int(times.max()), self.last or 0)
        lost = totals.get("lost")
        if isinstance(lost, int) and lost > self.lost:
            self.lost = lost
            self.lost_until = self.last if len(batch) and self.last else np.iinfo(np.int64).max
        self.batches.append(batch)
        self.totals = totals

    def observed(self, header: dict[str, Any]) -> Observed:
        """Give the span that was watched; of a cut-off recording, to its last event."""
        started = _nanoseconds(header.get("started"))
        ended = _nanoseconds(self.totals.get("ended"))
        if started is None or (self.first is not None and self.first < started):
            started = self.first or 0
        if ended is None or (self.last is not None and self.last > ended):
            ended = self.last or started
        ended = max(started, ended)
        settling = _nanoseconds(self.totals.get("settling"))
        settling = ended if settling is None else min(max(started, settling), ended)
        return Observed(started, settling, ended, self.lost, self.lost_until)


def load(path: Path) -> dict[str, Any]:
    """Read as far as the file goes: the parts of a :class:`Recording`.

    Raises :class:`RecordingError` if the file cannot be opened or is something else.
    """
    try:
        if path.stat().st_size == 0:
            return _parts({}, SCHEMA, _Progress(), "the file is empty")
        source = pa.memory_map(str(path))
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from error
    with source:
        try:
            reader = pa.ipc.open_stream(source)
        except (pa.ArrowException, OSError, EOFError) as error:
            _check_beginning(path, error)
            return _parts({}, SCHEMA, _Progress(), "the file is cut off within its header")
        header = check_header(path, reader.schema)
        progress = _Progress()
        problem: str | None = None
        while True:
            try:
                batch, raw = reader.read_next_batch_with_custom_metadata()
                batch.validate(full=True)
            except StopIteration:
                break
            except (pa.ArrowException, OSError, EOFError):
                problem = "its last batch is damaged or cut off"
                break
            progress.add(batch.select(SCHEMA.names), _metadata(raw))
        if progress.totals.get("final") is True:
            problem = None
        elif problem is None:
            problem = "the recorder was stopped before it could finish"
        return _parts(header, reader.schema, progress, problem)


def _parts(
    header: dict[str, Any], schema: pa.Schema, progress: _Progress, problem: str | None
) -> dict[str, Any]:
    names = pa.schema([schema.field(name) for name in SCHEMA.names])
    return {
        "header": header,
        "final": progress.totals if problem is None else {},
        "table": pa.Table.from_batches(progress.batches, names),
        "observed": progress.observed(header),
        "problem": problem,
    }


def _nanoseconds(value: Any) -> int | None:
    """Read a time written as text, ns since 1970; None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        at = pd.Timestamp(value)
        return int((at.tz_localize("UTC") if at.tz is None else at).as_unit("ns").value)
    except (ValueError, TypeError, OverflowError):
        return None


def _metadata(raw: Any) -> dict[str, Any]:
    """Decode a batch's metadata; every value is JSON."""
    decoded: dict[str, Any] = {}
    for key, value in dict(raw or {}).items():
        try:
            decoded[key.decode()] = json.loads(value)
        except ValueError:
            continue
    return decoded


def check_header(path: Path, schema: pa.Schema) -> dict[str, Any]:
    """Check that this is a recording we can read; give its header."""
    try:
        header = dict(json.loads((schema.metadata or {})[METADATA_KEY]))
        version = header["format"]
    except (KeyError, ValueError, TypeError) as error:
        raise RecordingError(f"{path}: an Arrow file, but no tcptrace recording") from error
    if version != FORMAT:
        raise RecordingError(
            f"{path}: recording format {version!r}, this tcptrace reads {FORMAT}: "
            "use the version that recorded it"
        )
    wrong = [
        wanted.name
        for wanted in SCHEMA
        if schema.get_field_index(wanted.name) < 0 or schema.field(wanted.name).type != wanted.type
    ]
    if wrong:
        raise RecordingError(f"{path}: damaged: wrong columns: {', '.join(wrong)}")
    return header


def _check_beginning(path: Path, error: Exception) -> None:
    """Tell a recording cut off inside its header from something else."""
    with path.open("rb") as file:
        start = file.read(4)
    # An encapsulated Arrow message begins with a continuation marker.
    if start != b"\xff\xff\xff\xff"[: len(start)]:
        raise RecordingError(f"{path}: not a tcptrace recording") from error
