"""Local ports held towards each destination, at the moment of most."""

import numpy as np
import pandas as pd

from tcptrace.analysis.counts import most_first
from tcptrace.analysis.grouping import Grouped, grouped, joined
from tcptrace.analysis.population import peaks
from tcptrace.analysis.services import ephemeral_range
from tcptrace.analysis.view import Slice, View, per_slice_once

#: What shares one set of local ports: a port is free again for another of these.
DESTINATION = ["netns", "local_address", "remote_address", "remote_port"]


def ports_in_use(view: View) -> pd.DataFrame:
    """Count the ephemeral ports held at once by connections and TIME_WAITs.

    Columns: those of ``DESTINATION`` and ``peak``; one row per destination, the
    most ports first. Connections known to be servers' hold no port of their own.
    """
    return view.once("ports_in_use", lambda: _ports_in_use(view))


def _ports_in_use(view: View) -> pd.DataFrame:
    found = _held(view)
    destinations = joined([groups for groups, _ in found])
    held = pd.concat([spans for _, spans in found], ignore_index=True)
    number = pd.Series(destinations.group)
    most = peaks(number, held["opened"], held["until"], view.recording.started)
    table = destinations.keys.assign(peak=most.reindex(range(len(destinations.keys))))
    return most_first(table.astype({"peak": "int64"}), "peak").reset_index(drop=True)


@per_slice_once
def _held(part: Slice) -> tuple[Grouped, pd.DataFrame]:
    """Give each client's destination, and from when until when it held its port."""
    ephemeral = ephemeral_range(part.recording.header) or (1, 0)
    connections = part.connections
    chosen = (connections["role"] != "server") & connections["local_port"].between(
        *ephemeral
    ).fillna(False).astype(bool)
    clients = np.flatnonzero(chosen)
    until = connections["closed"].to_numpy("M8[ns]").copy()
    waits = part.time_wait
    waiting = connections["connection"].searchsorted(waits["connection"])  # both ascend
    until[waiting] = waits["ended"].to_numpy("M8[ns]")
    spans = {
        "opened": connections["opened"].array.take(clients),
        "until": pd.DatetimeIndex(until.take(clients), tz="UTC"),
    }
    return grouped(connections[DESTINATION].take(clients)), pd.DataFrame(spans)
