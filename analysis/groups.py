"""Connections grouped: active closers, ``--by`` tables, failures by destination."""

from typing import Any

import numpy as np
import pandas as pd

from tcptrace.analysis.counts import added, counts
from tcptrace.analysis.grouping import grouped
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.states import LEFT
from tcptrace.analysis.units import netns_names, units
from tcptrace.analysis.values import integer_or_none, rows, text_or_none
from tcptrace.analysis.view import Slice, View, per_slice
from tcptrace.analysis.watched import time_wait_watched

#: What ``report --by`` can group by.
GROUPINGS = ("process", "service", "remote", "netns", "unit")

#: Outcomes of a connect() that got no connection.
FAILED_OUTCOMES = ("refused", "timed_out", "unreachable")

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
    found = added(groups.assign(**numbers), list(groups))
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
    whole = added(pd.concat(_sides(view)), _PAIR)
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
def _sides(part: Slice) -> pd.DataFrame:
    """Count per pair of programs and service; both ends of a connection are in one slice."""
    needed = ["role", "conversation", "comm", "closed_by"]
    needed += ["local_address", "local_port", "remote_address", "remote_port"]
    connections = part.connections[needed]
    clients = connections[connections["role"] == "client"]
    servers = connections[connections["role"] == "server"]
    alone = servers[~servers["conversation"].isin(clients["conversation"].dropna())]
    return pd.concat(
        [
            _counted(
                clients.assign(
                    client=clients["comm"],
                    server=_at_server(clients, servers, "comm"),
                    other=_at_server(clients, servers, "closed_by"),
                ),
                "remote",
                {"local": "client", "remote": "server"},
            ),
            _counted(
                alone.assign(client=None, server=alone["comm"], other=None),
                "local",
                {"local": "server", "remote": "client"},
            ),
        ]
    )


def _at_server(clients: pd.DataFrame, servers: pd.DataFrame, column: str) -> Any:
    """Give what the other end of each client's connection has, where it was seen."""
    known = servers[servers["conversation"].notna()].drop_duplicates("conversation")
    place = pd.Index(known["conversation"]).get_indexer(pd.Index(clients["conversation"]))
    return known[column].array.take(place, allow_fill=True)


def _counted(ends: pd.DataFrame, service: str, closers: dict[str, str]) -> pd.DataFrame:
    """Count per program and service; ``closers``: whom ``local`` and ``remote`` mean.

    An end that is still open does not say who closed; ``other`` is what the other says.
    """
    side, other, unsaid = ends["closed_by"], ends["other"], ends["closed_by"].isna()
    as_seen_there = {"local": "remote", "remote": "local", "both": "both"}

    def closed(which: str) -> pd.Series:
        return (side == which) | (unsaid & (other == as_seen_there[which]))

    found = grouped(
        ends[["client", "server"]].assign(
            address=ends[f"{service}_address"],
            port=ends[f"{service}_port"],
            closed_by_both=closed("both").astype(bool),
            **{f"closed_by_{who}": closed(which).astype(bool) for which, who in closers.items()},
        )
    )
    numbers = {
        name: np.where(found.keys[name], found.size, 0) for name in found.keys if name not in _PAIR
    }
    table = found.keys.assign(connections=found.size, **numbers)
    return added(table.astype(dict.fromkeys(_PAIR, "object")), _PAIR)


def failures(view: View) -> list[dict[str, Any]]:
    """Count what failed without a close: by outcome, program and destination, most first.

    ``established``: False for a connect() that got no connection, True for a connection
    that was given up later.
    """
    return [
        {
            "outcome": str(row.outcome),
            "established": bool(row.came_to_be),
            "comm": text_or_none(row.comm),
            "remote": endpoint(row.remote_address, row.remote_port),
            "error": text_or_none(row.error),
            "connects": int(row.connects),
        }
        for row in rows(added_up(_failures(view), "connects"))
    ]


@per_slice
def _failures(part: Slice) -> pd.DataFrame:
    connections = part.connections
    failed = connections[connections["outcome"].isin(FAILED_OUTCOMES)]
    older = failed["censored"].isin(LEFT) & failed["syn_sent_s"].isna()
    came_to_be = failed["established"].notna() | failed["established_s"].notna() | older
    keys = ["outcome", "comm", "remote_address", "remote_port", "error"]
    found = grouped(failed[keys].assign(came_to_be=came_to_be))
    return found.keys.assign(connects=found.size)


def resets(view: View) -> list[dict[str, Any]]:
    """Count resets: by who sent them, program and the kernel's reason, most first."""
    return [
        {
            "sent_by": text_or_none(row.closed_by),
            "comm": text_or_none(row.comm),
            "role": text_or_none(row.role),
            "reason": text_or_none(row.reset_reason),
            "resets": int(row.resets),
        }
        for row in rows(added_up(_resets(view), "resets"))
    ]


@per_slice
def _resets(part: Slice) -> pd.DataFrame:
    reset = part.connections["outcome"] == "reset"
    keys = ["closed_by", "comm", "role", "reset_reason"]
    found = grouped(part.connections.loc[reset, keys])
    return found.keys.assign(resets=found.size)


def added_up(parts: list[pd.DataFrame], number: str) -> pd.DataFrame:
    """Put together what slices counted, the most first."""
    table = pd.concat(parts)
    return most_first(added(table, [name for name in table if name != number]), number)


def most_first(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Sort what was counted."""
    return table.sort_values(by, ascending=False, kind="stable")
