"""A recording as pandas sees it: what its header says and the tables made of it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from tcptrace.analysis.connections import build_connections, build_time_wait
from tcptrace.analysis.load import load


@dataclass(frozen=True)
class Recording:
    """One recording, read as far as it goes.

    ``header``: the JSON header (docs/recording.md), ``{}`` if the file holds none.
    ``events``: one row per kernel event. ``lost``: events the kernel made and the
    recorder never got. ``complete``: it ended properly; else ``problem`` says in a
    few words what is wrong with the file. ``final``: the last batch's metadata
    (``ended``, ``reason``, ``mib``), ``{}`` if cut off. ``started`` and ``ended``:
    the observed span, UTC; ``ended`` of a cut-off recording is its last event.
    """

    path: Path
    header: dict[str, Any]
    final: dict[str, Any]
    events: pd.DataFrame
    lost: int
    complete: bool
    problem: str | None
    started: pd.Timestamp
    ended: pd.Timestamp

    @cached_property
    def connections(self) -> pd.DataFrame:
        """One row per socket life; columns in :mod:`tcptrace.analysis.connections`."""
        return build_connections(self)

    @cached_property
    def time_wait(self) -> pd.DataFrame:
        """One row per TIME_WAIT begun; columns in :mod:`tcptrace.analysis.connections`."""
        return build_time_wait(self.connections)


def read(path: str | Path) -> Recording:
    """Read a recording: complete, cut off or empty.

    Raises :class:`tcptrace.tracer.errors.RecordingError` if the file cannot be
    opened or is no tcptrace recording at all.
    """
    return Recording(**load(Path(path)))
