"""What a report looks at: the connections of a recording that pass filters.

Reports need no table of all connections: what they count is counted part by part, and
put together. So the memory they need grows little with the recording.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from tcptrace.analysis.connections import Tables
from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.filters import Filters
from tcptrace.analysis.found import Part
from tcptrace.analysis.packed import Packed, Packer, unpack
from tcptrace.analysis.recording import Recording
from tcptrace.tracer.heap import give_back

T = TypeVar("T")


@dataclass(frozen=True)
class Slice:
    """Some connections that pass, with all that has to do with each of them.

    ``connections``, ``time_wait``: see :class:`tcptrace.analysis.connections.Tables`, but
    ``connection`` counts from 1 in every slice. ``events``: of timewait sockets, filtered
    out or not. ``whole``: ends of connections before the filters.
    """

    recording: Recording
    connections: pd.DataFrame
    time_wait: pd.DataFrame
    events: EventArrays
    whole: int


Reduction = Callable[[Slice], Any]

_REDUCTIONS: list[Reduction] = []


def per_slice(reduce: Callable[[Slice], T]) -> Callable[["View"], list[T]]:
    """Make a function of slices one of views, which gives what it gave for each slice.

    It must give little: what it gives for every slice is in memory at once.
    """
    _REDUCTIONS.append(reduce)
    return lambda view: view.reduced(reduce)


def per_slice_once(reduce: Callable[[Slice], T]) -> Callable[["View"], list[T]]:
    """Do as :func:`per_slice` does; but what is given, some numbers per connection, is
    given only once, so that it can be forgotten.
    """  # noqa: D205
    _REDUCTIONS.append(reduce)
    return lambda view: view.reduced(reduce, last=True)


@dataclass(frozen=True)
class View:
    """A recording, and which of its connections to look at."""

    recording: Recording
    filters: Filters = field(default_factory=Filters)
    #: Whether to look at it slice by slice; then the tables of all cannot be had.
    sliced: bool = False
    _made: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)
    #: Of each slice looked at: see :class:`Tables`.
    _orders: list[Packed] = field(default_factory=list, compare=False, repr=False)

    def once(self, what: Hashable, make: Callable[[], T]) -> T:
        """Give what ``make`` makes of this view, made only once; ``what``: its name."""
        if what not in self._made:
            self._made[what] = make()
        made: T = self._made[what]
        return made

    @cached_property
    def _passing(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return _chosen(self.recording.connections, self.recording.time_wait, self.filters)

    @property
    def connections(self) -> pd.DataFrame:
        """All connections that pass, in one table."""
        return self._passing[0]

    @property
    def time_wait(self) -> pd.DataFrame:
        """The TIME_WAITs that belong to them."""
        return self._passing[1]

    def reduced(self, reduce: Callable[[Slice], T], *, last: bool = False) -> list[T]:
        """Give what a function of slices gives for each slice.

        ``last``: it will not be asked for again.
        """
        if not self.sliced:
            return [self.once(reduce, lambda: reduce(self._one_slice))]
        if last:
            return [results.pop(reduce) for results in self._results]
        return [results[reduce] for results in self._results]

    @cached_property
    def _one_slice(self) -> Slice:
        recording = self.recording
        events = recording.whole.events
        whole = len(recording.connections)
        return Slice(recording, self.connections, self.time_wait, events, whole)

    @cached_property
    def _results(self) -> list[dict[Reduction, Any]]:
        """Go through all slices once, for every reduction there is."""
        results, packer = [], Packer()
        for part, tables in self.recording.parts():
            results.append(self._reduced(part, tables))
            self._orders.append(packer.pack(tables.order))
        del part, tables
        if self.recording.found.gathered.packed:
            give_back()
        return results

    def _reduced(self, part: Part, tables: Tables) -> dict[Reduction, Any]:
        passing = _chosen(tables.connections, tables.time_wait, self.filters)
        whole = len(tables.connections)
        looked_at = Slice(self.recording, *passing, part.events, whole)
        return {reduce: reduce(looked_at) for reduce in _REDUCTIONS}

    @property
    def whole(self) -> int:
        """How many ends of connections there are before the filters."""
        return sum(_whole(self))

    def numbers(self, place: int, connections: np.ndarray) -> np.ndarray:
        """Give the recording's numbers for some connections of a slice's own.

        ``place``: of the slice among all.
        """
        if not self.sliced or not len(connections):
            return connections
        wanted = unpack(self._orders[place])[:, connections - 1]
        result = np.ones(len(connections), np.int64)
        for order in self._orders:
            result += _count_before(unpack(order), wanted)
        return result


@per_slice
def _whole(part: Slice) -> int:
    return part.whole


def _count_before(order: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Count the entries of one order (sorted, see :class:`Tables`) before others."""
    first = np.searchsorted(order[0], wanted[0], "left")
    end = np.searchsorted(order[0], wanted[0], "right")
    alike = [
        int(np.searchsorted(order[1, start:stop], tie))
        for start, stop, tie in zip(first, end, wanted[1], strict=True)
    ]
    before: np.ndarray = first + np.array(alike, np.int64)
    return before


def choose(recording: Recording, filters: Filters, *, sliced: bool = False) -> View:
    """Keep the connections that pass, and the TIME_WAITs that belong to them.

    ``sliced``: the tables of all will not be asked for, so a large recording can be
    looked at slice by slice.
    """
    return View(recording, filters, sliced and recording.several)


def _chosen(
    connections: pd.DataFrame, time_wait: pd.DataFrame, filters: Filters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    if filters:
        connections = connections[filters.mask(connections)]
        time_wait = time_wait[time_wait["connection"].isin(connections["connection"])]
    return connections, time_wait
