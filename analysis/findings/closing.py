"""Which side closes first, and what that costs it."""

from collections.abc import Iterator

import pandas as pd

from tcptrace.analysis.filters import View
from tcptrace.analysis.findings.finding import MOST_EVIDENCE, Finding, Severity, several
from tcptrace.analysis.groups import had_time_wait
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.values import integer_or_none, rows, seconds, text_or_none

#: A client that closed fewer connections to one service is no pattern yet.
CLIENT_CLOSES = 100

#: From here on a client's TIME_WAITs hold a good part of the 28,232 default
#: ephemeral ports of one destination.
CLIENT_CLOSES_WARNING = 5_000

#: A server that closes first in fewer than half of its connections does so for a
#: reason of its own (idle timeouts, errors), not by design.
SERVER_SHARE = 0.5


def client_closes_first(view: View) -> Iterator[Finding]:
    """Find clients that open a connection per request and close it themselves."""
    connections = view.connections
    clients = connections[(connections["role"] == "client") & connections["established"].notna()]
    keys = ["comm", "remote_address", "remote_port"]
    table = _per_group(clients, keys)
    table = table[(table["active"] >= CLIENT_CLOSES) & (table["time_wait"] >= CLIENT_CLOSES)]
    if table.empty:
        return
    total = int(table["time_wait"].sum())
    yield Finding(
        id="client-closes-first",
        severity=Severity.WARNING if total >= CLIENT_CLOSES_WARNING else Severity.INFO,
        title=f"Clients opened and closed {int(table['active'].sum()):,} connections "
        f"and took {total:,} TIME_WAITs",
        evidence=[
            {
                "comm": text_or_none(row.comm),
                "remote": endpoint(row.remote_address, row.remote_port),
                "closed_by_client": int(row.active),
                "connections": int(row.connections),
                "time_wait": int(row.time_wait),
                "median_life_s": seconds(row.life),
            }
            for row in rows(table.head(MOST_EVIDENCE))
        ],
        why="Each active close keeps a local port out of use towards that destination "
        "for 60 s, and each new connection costs a handshake.",
        advice="Keep connections open and reuse them (HTTP keep-alive, a connection "
        "pool). net.ipv4.tcp_tw_reuse=1 helps where that cannot be done.",
        source="RFC 9293 section 3.6.1; RFC 9112 section 9.3; "
        "Documentation/networking/ip-sysctl.rst (tcp_tw_reuse)",
    )


def server_closes_first(view: View) -> Iterator[Finding]:
    """Find services whose own closes leave TIME_WAITs on the listening port."""
    connections = view.connections
    servers = connections[(connections["role"] == "server") & connections["established"].notna()]
    table = _per_group(servers, ["comm", "netns", "local_port"])
    table = table[(table["time_wait"] > 0) & (table["active"] >= SERVER_SHARE * table["closed"])]
    if table.empty:
        return
    yield Finding(
        id="server-closes-first",
        severity=Severity.INFO,
        title="The server closed first: "
        f"{several(int(table['time_wait'].sum()), 'TIME_WAIT')} "
        "on its own port",
        evidence=[
            {
                "comm": text_or_none(row.comm),
                "port": integer_or_none(row.local_port),
                "netns": integer_or_none(row.netns),
                "closed_by_server": int(row.active),
                "connections": int(row.connections),
                "time_wait": int(row.time_wait),
            }
            for row in rows(table.head(MOST_EVIDENCE))
        ],
        why="While one of them stands, a restarted server cannot bind its port "
        "(EADDRINUSE) unless it sets SO_REUSEADDR; the recording does not show "
        "whether it does.",
        advice="Set SO_REUSEADDR before bind(), and let the client close first "
        "where the protocol allows.",
        source="man 7 socket (SO_REUSEADDR); RFC 9293 section 3.6.1",
    )


def _per_group(connections: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Count per group, the most TIME_WAITs first."""
    table = connections[keys].assign(
        active=connections["closed_by"].isin(["local", "both"]),
        closed=connections["closed_by"].notna(),
        time_wait=had_time_wait(connections),
        life=connections["established_s"],
    )
    return (
        table.groupby(keys, observed=True, dropna=False)
        .agg(
            connections=("active", "size"),
            active=("active", "sum"),
            closed=("closed", "sum"),
            time_wait=("time_wait", "sum"),
            life=("life", "median"),
        )
        .reset_index()
        .sort_values("time_wait", ascending=False, kind="stable")
    )


RULES = (client_closes_first, server_closes_first)
