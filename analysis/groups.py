"""Connections grouped: active closers, ``--by`` tables, failures by destination."""

from typing import Any

import pandas as pd

from tcptrace.analysis.filters import View
from tcptrace.analysis.services import endpoint, ephemeral_range, service_ports
from tcptrace.analysis.states import LEFT
from tcptrace.analysis.units import netns_names, units
from tcptrace.analysis.values import integer_or_none, rows, text_or_none
from tcptrace.analysis.watched import time_wait_watched

#: What ``report --by`` can group by.
GROUPINGS = ("process", "service", "remote", "netns", "unit")

#: Outcomes of a connect() that got no connection.
FAILED_OUTCOMES = ("refused", "timed_out", "unreachable")


def active_closers(view: View) -> list[dict[str, Any]]:
    """List who closes first: program, role, remote service; the busiest first.

    ``remote_service``: the other end, its port ``*`` where that is a client's and so
    differs every time. ``local_port``: the service's own port, None for clients.
    ``closes``: connections closed by this side (``local``, ``both``), resets included.
    ``time_wait``: TIME_WAITs that this gave this side, None where they were not watched.
    """
    needed = ["comm", "role", "local_port", "remote_address", "remote_port"]
    needed += ["time_wait_began", "time_wait_end"]
    active = view.connections["closed_by"].isin(["local", "both"])
    closers = view.connections.loc[active, needed]
    ports = service_ports(closers, ephemeral_range(view.recording.header))
    keyed = closers[["comm", "role", "remote_address"]].join(ports)
    keyed = keyed.assign(began=had_time_wait(closers))
    keys = ["comm", "role", "service_local_port", "remote_address", "service_remote_port"]
    grouped = keyed.groupby(keys, observed=True, dropna=False)["began"].agg(
        closes="size", time_waits="sum"
    )
    watched = time_wait_watched(view.recording.header)
    busiest = grouped.reset_index().sort_values("closes", ascending=False, kind="stable")
    return [
        {
            "comm": text_or_none(row.comm),
            "role": text_or_none(row.role),
            "remote_service": endpoint(row.remote_address, row.service_remote_port),
            "local_port": integer_or_none(row.service_local_port),
            "closes": int(row.closes),
            "time_wait": int(row.time_waits) if watched else None,
        }
        for row in rows(busiest)
    ]


def had_time_wait(connections: pd.DataFrame) -> pd.Series:
    """Mark the connections that had a TIME_WAIT."""
    end = connections["time_wait_end"]
    return connections["time_wait_began"].notna() & (end != "skipped").fillna(True)


def grouped_by(view: View, key: str) -> list[dict[str, Any]]:
    """Count connections per program, service, remote address, network namespace or unit.

    ``key``: one of ``GROUPINGS``. A service is named by its server's address and port,
    so both ends of a connection fall into the same one. A unit is the owner's container
    or systemd unit. Rows of namespaces also have ``name``, None where they have none.
    """
    connections = view.connections
    groups = _keys(view, key)
    counts = pd.DataFrame(
        {
            "connections": 1,
            "closed_local": connections["closed_by"].isin(["local", "both"]),
            "closed_remote": connections["closed_by"] == "remote",
            "reset": connections["outcome"] == "reset",
            "failed": connections["outcome"].isin(FAILED_OUTCOMES),
            "time_wait": had_time_wait(connections),
            "close_wait": (connections["outcome"] == "open")
            & (connections["state"] == "CLOSE_WAIT"),
        },
        index=connections.index,
    ).astype("int64")
    columns = list(groups.columns)
    watched = time_wait_watched(view.recording.header)
    names = netns_names(view.recording.header) if key == "netns" else {}
    table = (
        counts.join(groups)
        .groupby(columns, observed=True, dropna=False)
        .sum()
        .reset_index()
        .sort_values("connections", ascending=False, kind="stable")
    )
    return [
        {
            key: _name(row, key),
            **({"name": names.get(integer_or_none(row.netns) or 0)} if key == "netns" else {}),
            **{
                column: int(getattr(row, column)) if watched or column != "time_wait" else None
                for column in counts.columns
            },
        }
        for row in rows(table)
    ]


def _keys(view: View, key: str) -> pd.DataFrame:
    connections = view.connections
    if key == "process":
        return connections[["comm"]]
    if key == "remote":
        return connections[["remote_address"]]
    if key == "netns":
        return connections[["netns"]]
    if key == "unit":
        return units(connections["cgroup"], view.recording.header).to_frame()
    ports = service_ports(connections, ephemeral_range(view.recording.header))
    local, remote = ports["service_local_port"], ports["service_remote_port"]
    serves = local.notna()
    return pd.DataFrame(
        {
            "address": connections["local_address"]
            .astype("object")
            .where(serves, connections["remote_address"].astype("object")),
            "port": local.where(serves, remote),
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
    connections = view.connections
    clients = connections[connections["role"] == "client"]
    servers = connections[connections["role"] == "server"]
    alone = servers[~servers["conversation"].isin(clients["conversation"].dropna())]
    sums = pd.concat(
        [
            _sides(
                clients.assign(
                    client=clients["comm"],
                    server=_at_server(clients, servers, "comm"),
                    other=_at_server(clients, servers, "closed_by"),
                ),
                "remote",
                {"local": "client", "remote": "server"},
            ),
            _sides(
                alone.assign(client=None, server=alone["comm"], other=None),
                "local",
                {"local": "server", "remote": "client"},
            ),
        ]
    )
    whole = sums.groupby(["client", "server", "address", "port"], dropna=False).sum().reset_index()
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
        for row in rows(whole.sort_values("connections", ascending=False, kind="stable"))
    ]


def _at_server(clients: pd.DataFrame, servers: pd.DataFrame, column: str) -> Any:
    """Give what the other end of each client's connection has, where it was seen."""
    known = servers[servers["conversation"].notna()].drop_duplicates("conversation")
    place = pd.Index(known["conversation"]).get_indexer(pd.Index(clients["conversation"]))
    return known[column].array.take(place, allow_fill=True)


def _sides(ends: pd.DataFrame, service: str, closers: dict[str, str]) -> pd.DataFrame:
    """Count per program and service; ``closers``: whom ``local`` and ``remote`` mean.

    An end that is still open does not say who closed; ``other`` is what the other says.
    """
    side, other, unsaid = ends["closed_by"], ends["other"], ends["closed_by"].isna()
    as_seen_there = {"local": "remote", "remote": "local", "both": "both"}

    def closed(which: str) -> pd.Series:
        return (side == which) | (unsaid & (other == as_seen_there[which]))

    table = ends[["client", "server"]].assign(
        address=ends[f"{service}_address"],
        port=ends[f"{service}_port"],
        connections=1,
        closed_by_both=closed("both"),
        **{f"closed_by_{who}": closed(which) for which, who in closers.items()},
    )
    keys = ["client", "server", "address", "port"]
    found = table.groupby(keys, observed=True, dropna=False).sum().reset_index()
    return found.astype(dict.fromkeys(keys, "object"))


def failures(connections: pd.DataFrame) -> list[dict[str, Any]]:
    """Count what failed without a close: by outcome, program and destination, most first.

    ``established``: False for a connect() that got no connection, True for a connection
    that was given up later.
    """
    failed = connections[connections["outcome"].isin(FAILED_OUTCOMES)]
    older = failed["censored"].isin(LEFT) & failed["syn_sent_s"].isna()
    came_to_be = failed["established"].notna() | failed["established_s"].notna() | older
    keys = ["outcome", "came_to_be", "comm", "remote_address", "remote_port", "error"]
    grouped = failed.assign(came_to_be=came_to_be).groupby(keys, observed=True, dropna=False)
    return [
        {
            "outcome": str(row.outcome),
            "established": bool(row.came_to_be),
            "comm": text_or_none(row.comm),
            "remote": endpoint(row.remote_address, row.remote_port),
            "error": text_or_none(row.error),
            "connects": int(row.connects),
        }
        for row in rows(_most_first(grouped.size().rename("connects"), "connects"))
    ]


def resets(connections: pd.DataFrame) -> list[dict[str, Any]]:
    """Count resets: by who sent them, program and the kernel's reason, most first."""
    reset = connections[connections["outcome"] == "reset"]
    keys = ["closed_by", "comm", "role", "reset_reason"]
    table = reset.groupby(keys, observed=True, dropna=False).size().rename("resets")
    return [
        {
            "sent_by": text_or_none(row.closed_by),
            "comm": text_or_none(row.comm),
            "role": text_or_none(row.role),
            "reason": text_or_none(row.reset_reason),
            "resets": int(row.resets),
        }
        for row in rows(_most_first(table, "resets"))
    ]


def _most_first(table: pd.Series, by: str) -> pd.DataFrame:
    return table.reset_index().sort_values(by, ascending=False, kind="stable")
