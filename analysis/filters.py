"""Choose connections: what ``--port``, ``--comm`` and the rest mean for tables."""

import ipaddress
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tcptrace.tracer.selection import Network, Selection, filter_options, kernel_comm, taken_from

__all__ = ["Filters", "filter_options", "filters_from"]


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
