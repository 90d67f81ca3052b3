"""Choose connections: what ``--port``, ``--comm`` and the rest mean for tables."""

import ipaddress
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from tcptrace.analysis.recording import Recording
from tcptrace.tracer.selection import Network, Selection, filter_options, kernel_comm, taken_from

__all__ = ["Filters", "View", "choose", "filter_options", "filters_from"]

T = TypeVar("T")


@dataclass(frozen=True)
class Filters(Selection):
    """A selection that can be asked of tables."""

    def mask(self, table: pd.DataFrame) -> pd.Series:
        """Mark the rows of ``connections`` or ``time_wait`` that pass every filter.

        A row whose value is unknown does not pass a filter on it.
        """
        keep = pd.Series(True, index=table.index)
        if self.port:
            either = table["local_port"].isin(self.port) | table["remote_port"].isin(self.port)
            keep &= either.astype(bool)
        for column in ("local_port", "remote_port", "pid", "netns", "family"):
            wanted = getattr(self, column)
            if wanted:
                keep &= table[column].isin(wanted).astype(bool)
        if self.comm:
            keep &= table["comm"].isin([kernel_comm(name) for name in self.comm])
        if self.address:
            keep &= _inside(table["local_address"], self.address) | _inside(
                table["remote_address"], self.address
            )
        return keep


@dataclass(frozen=True)
class View:
    """What a report looks at: a recording and the connections chosen from it."""

    recording: Recording
    connections: pd.DataFrame
    time_wait: pd.DataFrame
    filters: Filters = Filters()
    _made: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    def once(self, what: Hashable, make: Callable[[], T]) -> T:
        """Give what ``make`` makes of this view, made only once; ``what``: its name."""
        if what not in self._made:
            self._made[what] = make()
        made: T = self._made[what]
        return made


def choose(recording: Recording, filters: Filters) -> View:
    """Keep the connections that pass, and the TIME_WAITs that belong to them."""
    connections, time_wait = recording.connections, recording.time_wait
    if filters:
        connections = connections[filters.mask(connections)]
        time_wait = time_wait[time_wait["connection"].isin(connections["connection"])]
    return View(recording, connections, time_wait, filters)


def _inside(addresses: pd.Series, networks: tuple[Network, ...]) -> pd.Series:
    """Mark the addresses inside any of the networks; each distinct one is parsed once."""
    distinct = addresses.dropna().unique()
    wanted = [
        text
        for text in distinct
        if any(ipaddress.ip_address(text) in network for network in networks)
    ]
    return addresses.isin(wanted)


def filters_from(options: dict[str, Any]) -> Filters:
    """Build the filters from the values of :func:`filter_options`."""
    return Filters(**taken_from(options))
