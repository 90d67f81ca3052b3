"""Connections grouped: active closers, ``--by`` tables, failures by destination."""

from typing import Any

import numpy as np
import pandas as pd

from tcptrace.analysis.counts import added, counted, counts, most_first
from tcptrace.analysis.failed import FAILED_OUTCOMES
from tcptrace.analysis.grouping import Grouped, grouped
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.units import netns_names, units
from tcptrace.analysis.values import integer_or_none, rows, text_or_none
from tcptrace.analysis.view import Slice, View, per_slice
from tcptrace.analysis.watched import time_wait_watched

#: What ``report --by`` can group by.
GROUPINGS = ("process", "service", "remote", "netns", "unit")

_PAIR = ["client", "server", "address", "port"]


def active_closers(view: View) -> list[dict[str, Any]]:
    """List who closes first: program, role, remote service; the busiest first.

    ``remote_service``: the other end, its port ``*`` where that is a client's and so
    differs every time. ``local_port``: the service's own port, None for clients.
    ``closes``: connections closed by this side (``local``, ``both``), resets included.
    ``time_wait``: TIME_WAITs that this gave this side, None where they were not watched.
    """
    table = counts(view)
    table = table[table["closed_by"].isin(["local", "both"])]
    keys = ["comm", "role", "service_local_port", "remote_address", "service_remote_port"]
    numbers = table[[*keys, "connections"]].assign(
        time_waits=table["connections"].where(table["time_wait"], 0)
    )
    watched = time_wait_watched(view.recording.header)
    return [
        {
            "comm": text_or_none(row.comm),
            "role": text_or_none(row.role),
            "remote_service": endpoint(row.remote_address, row.service_remote_port),
            "local_port": integer_or_none(row.service_local_port),
            "closes": int(row.connections),
            "time_wait": int(row.time_waits) if watched else None,
        }
        for row in rows(most_first(added(numbers, keys), "connections"))
    ]


def grouped_by(view: View, key: str) -> list[dict[str, Any]]:
    """Count connections per program, service, remote address, network namespace or unit.

    ``key``: one of ``GROUPINGS``. A service is named by its server's address and port,
    so both ends of a connection fall into the same one. A unit is the owner's container
    or systemd unit. Rows of namespaces also have ``name``, None where they have none.
    """
    table = counts(view)
    groups = _keys(table, key, view.recording.header)
    conditions = {
        "connections": pd.Series(True, index=table.index),
        "closed_local": table["closed_by"].isin(["local", "both"]),
        "closed_remote": table["closed_by"] == "remote",
        "reset": table["outcome"] == "reset",
        "failed": table["outcome"].isin(FAILED_OUTCOMES),
        "time_wait": table["time_wait"],
        "close_wait": table["state"] == "CLOSE_WAIT",
    }
    numbers = {name: table["connections"].where(met, 0) for name, met in conditions.items()}
    found = added(groups.assign(**numbers), [str(name) for name in groups])
    watched = time_wait_watched(view.recording.header)
    names = netns_names(view.recording.header) if key == "netns" else {}
    return [
        {
            key: _name(row, key),
            **({"name": names.get(integer_or_none(row.netns) or 0)} if key == "netns" else {}),
            **{
                column: int(getattr(row, column)) if watched or column != "time_wait" else None
                for column in conditions
            },
        }
        for row in rows(most_first(found, "connections"))
    ]


def _keys(table: pd.DataFrame, key: str, header: dict[str, Any]) -> pd.DataFrame:
    if key == "process":
        return table[["comm"]]
    if key == "remote":
        return table[["remote_address"]]
    if key == "netns":
        return table[["netns"]]
    if key == "unit":
        return units(table["cgroup"], header).to_frame()
    local, remote = table["service_local_port"], table["service_remote_port"]
    return pd.DataFrame(
        {
            "address": table["local_address"].where(local.notna(), table["remote_address"]),
            "port": local.where(local.notna(), remote),
        }
    )


def _name(row: Any, key: str) -> str | int | None:
    if key == "process":
        return text_or_none(row.comm)
    if key == "remote":
        return text_or_none(row.remote_address)
    if key == "netns":
        return integer_or_none(row.netns)
    if key == "unit":
        return text_or_none(row.unit)
    return endpoint(row.address, row.port)


def sides_by_service(view: View) -> list[dict[str, Any]]:
    """Count which side closed, per client program, server program and service.

    A connection counts once: where both ends were seen, by the client's row. Programs
    are None where unknown (the other machine's are). Ends of unknown role are left out.
    """
    found = _sides(view)
    clients = counted([clients for clients, _ in found], "connections")
    servers = counted([servers for _, servers in found], "connections")
    told = [
        _by_whom(clients, {"local": "client", "remote": "server"}),
        _by_whom(servers, {"local": "server", "remote": "client"}),
    ]
    whole = added(pd.concat(told), _PAIR)
    return [
        {
            "client": text_or_none(row.client),
            "server": text_or_none(row.server),
            "service": endpoint(row.address, row.port),
            "connections": int(row.connections),
            "closed_by_client": int(row.closed_by_client),
            "closed_by_server": int(row.closed_by_server),
            "closed_by_both": int(row.closed_by_both),
        }
        for row in rows(most_first(whole, "connections"))
    ]


@per_slice
def _sides(part: Slice) -> tuple[Grouped, Grouped]:
    """Group clients, and servers whose client was not seen; both ends are in one slice.

    By ``_PAIR``, and who closed as this end (``here``) and the other one (``there``) tell.
    """
    needed = ["role", "conversation", "comm", "closed_by"]
    needed += ["local_address", "local_port", "remote_address", "remote_port"]
    connections = part.connections[needed]
    clients = connections[connections["role"] == "client"]
    servers = connections[connections["role"] == "server"]
    seen = servers[servers["conversation"].notna()].drop_duplicates("conversation")
    place = pd.Index(seen["conversation"]).get_indexer(pd.Index(clients["conversation"]))
    alone = servers[~servers["conversation"].isin(clients["conversation"].dropna())]
    nobody = np.full(len(alone), -1)
    return (
        _paired(
            clients,
            "remote",
            clients["comm"],
            seen["comm"].array.take(place, allow_fill=True),
            seen["closed_by"].array.take(place, allow_fill=True),
        ),
        _paired(
            alone,
            "local",
            alone["comm"].array.take(nobody, allow_fill=True),
            alone["comm"],
            alone["closed_by"].array.take(nobody, allow_fill=True),
        ),
    )


def _paired(ends: pd.DataFrame, service: str, client: Any, server: Any, there: Any) -> Grouped:
    address, port = ends[f"{service}_address"], ends[f"{service}_port"]
    found = grouped(
        pd.DataFrame(
            {
                "client": client,
                "server": server,
                "address": address,
                "port": port,
                "here": ends["closed_by"],
                "there": there,
            },
            index=ends.index,
        )
    )
    return found.alone()


def _by_whom(table: pd.DataFrame, closers: dict[str, str]) -> pd.DataFrame:
    """Tell who closed how many; ``closers``: whom ``local`` and ``remote`` mean.

    An end that is still open does not say who closed; the other one may.
    """
    as_seen_there = {"local": "remote", "remote": "local", "both": "both"}
    here, there, number = table["here"], table["there"], table["connections"]
    numbers = {
        f"closed_by_{who}": number.where(
            (here == which) | (here.isna() & (there == as_seen_there[which])), 0
        )
        for which, who in (*closers.items(), ("both", "both"))
    }
    return table[[*_PAIR, "connections"]].assign(**numbers)
