"""Local ports held towards each destination, at the moment of most."""

import pandas as pd

from tcptrace.analysis.filters import View
from tcptrace.analysis.population import peaks

#: What shares one set of local ports: a port is free again for another of these.
DESTINATION = ["netns", "local_address", "remote_address", "remote_port"]


def ports_in_use(view: View, ephemeral: tuple[int, int]) -> pd.DataFrame:
    """Count the ports of ``ephemeral`` held at once by connections and TIME_WAITs.

    Columns: those of ``DESTINATION`` and ``peak``; one row per destination, the
    most ports first. Connections known to be servers' hold no port of their own.
    """
    return view.once(("ports_in_use", ephemeral), lambda: _ports_in_use(view, ephemeral))


def _ports_in_use(view: View, ephemeral: tuple[int, int]) -> pd.DataFrame:
    needed = [*DESTINATION, "role", "local_port", "connection", "opened", "closed"]
    connections = view.connections[needed]
    clients = connections[
        (connections["role"] != "server")
        & connections["local_port"].between(*ephemeral).fillna(False).astype(bool)
    ]
    if clients.empty:
        return clients[DESTINATION].assign(peak=0)
    waits = view.time_wait.set_index("connection")[["ended"]].rename(columns={"ended": "free"})
    held = clients[[*DESTINATION, "connection", "opened", "closed"]].join(waits, on="connection")
    had_wait = held["connection"].isin(view.time_wait["connection"])
    until = held["free"].where(had_wait, held["closed"])
    keyed = held.groupby(DESTINATION, observed=True, dropna=False)
    number = keyed.ngroup()
    most = peaks(number, held["opened"], until, view.recording.started).rename("peak")
    destinations = held[DESTINATION].assign(number=number).drop_duplicates("number")
    return (
        destinations.join(most, on="number")
        .drop(columns="number")
        .sort_values("peak", ascending=False, kind="stable")
        .reset_index(drop=True)
    )
