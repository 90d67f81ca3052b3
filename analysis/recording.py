"""A recording as pandas sees it: what its header says and the tables made of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tcptrace.analysis.connections import Tables, assemble
from tcptrace.analysis.events import events_frame
from tcptrace.analysis.found import Found, Part
from tcptrace.analysis.observed import Observed
from tcptrace.analysis.parts import Parts, load_parts, one_recording
from tcptrace.analysis.stream import table


@dataclass(frozen=True)
class Recording:
    """One recording, read as far as it goes.

    ``header``: the JSON header (docs/recording.md), ``{}`` if the file holds none.
    ``final``: what its last batch says (``ended``, ``reason``, ``mib``), ``{}`` if it was
    cut off. ``files``: what it was read from, and how many events of each. ``found``: the
    lives of sockets in it. ``observed``: the span watched and the
    events ``lost``. ``complete``: it ended properly; else ``problem`` says in a few
    words what is wrong.
    """

    path: Path
    header: dict[str, Any]
    final: dict[str, Any]
    files: tuple[tuple[Path, int], ...]
    found: Found
    observed: Observed
    problem: str | None

    @property
    def complete(self) -> bool:
        """Whether the recorder ended properly."""
        return self.problem is None

    @property
    def lost(self) -> int:
        """Events the kernel made and the recorder never got."""
        return self.observed.lost

    @property
    def started(self) -> pd.Timestamp:
        """When recording began, UTC."""
        return pd.Timestamp(self.observed.started, tz="UTC")

    @property
    def ended(self) -> pd.Timestamp:
        """When recording ended; of one that was cut off, its last event."""
        return pd.Timestamp(self.observed.ended, tz="UTC")

    @property
    def count(self) -> int:
        """How many events it holds."""
        return self.found.count

    @property
    def made(self) -> int | None:
        """How many events the kernel made meanwhile, recorded or lost, wanted or not.

        None if the recording does not say: it was cut off, or has several files.
        """
        seen = self.final.get("events")
        return seen + self.lost if isinstance(seen, int) and len(self.files) == 1 else None

    @cached_property
    def table(self) -> pa.Table:
        """The events as Arrow, read again: reconstructing did not need them all at once."""
        return pa.concat_tables([table(path, count) for path, count in self.files])

    @cached_property
    def events(self) -> pd.DataFrame:
        """One row per kernel event, in the recording's order and columns."""
        return events_frame(self.table)

    @property
    def several(self) -> bool:
        """Whether it is so large that it should be looked at part by part."""
        return self.found.gathered.several

    def parts(self) -> Iterator[tuple[Part, Tables]]:
        """Give what was found part by part, and the tables of each; only once.

        Nothing else of the connections can be asked for then.
        """
        for part in self.found.gathered.parts():
            yield part, assemble(part, self.header, self.observed)

    @cached_property
    def whole(self) -> Part:
        """All that was found, in one."""
        return self.found.gathered.whole()

    @cached_property
    def _tables(self) -> Tables:
        return assemble(self.whole, self.header, self.observed)

    @property
    def connections(self) -> pd.DataFrame:
        """One row per connection's end (:class:`tcptrace.analysis.connections.Tables`)."""
        return self._tables.connections

    @property
    def time_wait(self) -> pd.DataFrame:
        """One row per TIME_WAIT begun (:class:`tcptrace.analysis.connections.Tables`)."""
        return self._tables.time_wait


def read(path: str | Path | Iterable[str | Path]) -> Recording:
    """Read a recording: complete, cut off or empty.

    ``path``: its file. Of a rotated one its name, all its files, or some of them.
    Raises :class:`tcptrace.tracer.errors.RecordingError` if the file cannot be
    opened or is no tcptrace recording at all.
    """
    paths = [path] if isinstance(path, str | Path) else path
    return read_parts(one_recording(map(Path, paths)))


def read_parts(parts: Parts) -> Recording:
    """Read a recording whose files are known. Raises as :func:`read` does."""
    return Recording(parts.name, **load_parts(parts))
