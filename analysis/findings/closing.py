"""Which side closes first, and what that costs it."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tcptrace.analysis.counts import added, counts, most_first
from tcptrace.analysis.findings.finding import MOST_EVIDENCE, Finding, Severity, several
from tcptrace.analysis.grouping import Grouped, grouped, joined
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.values import integer_or_none, rows, seconds, text_or_none
from tcptrace.analysis.view import Slice, View, per_slice_once

#: A client that closed fewer connections to one service is no pattern yet.
CLIENT_CLOSES = 100

#: From here on a client's TIME_WAITs hold a good part of the 28,232 default
#: ephemeral ports of one destination.
CLIENT_CLOSES_WARNING = 5_000

#: A server that closes first in fewer than half of its connections does so for a
#: reason of its own (idle timeouts, errors), not by design.
SERVER_SHARE = 0.5

_GROUP_KEYS = ["comm", "remote_address", "service_remote_port"]
_CLIENT_KEYS = ["comm", "remote_address", "remote_port"]


def client_closes_first(view: View) -> Iterator[Finding]:
    """Find clients that open a connection per request and close it themselves."""
    table = _per_group(view, "client", _GROUP_KEYS)
    table = table[(table["active"] >= CLIENT_CLOSES) & (table["time_wait"] >= CLIENT_CLOSES)]
    if table.empty:
        return
    total = int(table["time_wait"].sum())
    shown = table.head(MOST_EVIDENCE)
    shown = shown.assign(life=_median_lives(view, shown))
    yield Finding(
        id="client-closes-first",
        severity=Severity.WARNING if total >= CLIENT_CLOSES_WARNING else Severity.INFO,
        title=f"Clients opened and closed {int(table['active'].sum()):,} connections "
        f"and took {total:,} TIME_WAITs",
        evidence=[
            {
                "comm": text_or_none(row.comm),
                "remote": endpoint(row.remote_address, row.service_remote_port),
                "closed_by_client": int(row.active),
                "connections": int(row.connections),
                "time_wait": int(row.time_wait),
                "median_life_s": seconds(row.life),
            }
            for row in rows(shown)
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
    table = _per_group(view, "server", ["comm", "netns", "service_local_port"])
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
                "port": integer_or_none(row.service_local_port),
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


def _per_group(view: View, role: str, keys: list[str]) -> pd.DataFrame:
    """Count established connections per group, the most TIME_WAITs first."""
    table = counts(view)
    table = table[(table["role"] == role) & table["established"]]
    conditions = {
        "connections": table["established"],
        "active": table["closed_by"].isin(["local", "both"]),
        "closed": table["closed_by"].notna(),
        "time_wait": table["time_wait"],
    }
    numbers = {name: table["connections"].where(met, 0) for name, met in conditions.items()}
    return most_first(added(table[keys].assign(**numbers), keys), "time_wait")


@per_slice_once
def _client_lives(part: Slice) -> tuple[Grouped, np.ndarray]:
    """Give the seconds that clients' connections were ESTABLISHED, by ``_CLIENT_KEYS``."""
    connections = part.connections
    chosen = (connections["role"] == "client") & connections["established"].notna()
    clients = connections.loc[chosen, [*_CLIENT_KEYS, "established_s"]]
    return grouped(clients[_CLIENT_KEYS]), clients["established_s"].to_numpy(np.float64)


def _median_lives(view: View, table: pd.DataFrame) -> np.ndarray:
    """Give the median life of clients' connections for each row of a table of groups."""
    found = _client_lives(view)
    groups = joined([each for each, _ in found])
    lives = pd.Series(np.concatenate([seconds for _, seconds in found]))
    places = groups.keys.reset_index().merge(
        table[_GROUP_KEYS].set_axis(_CLIENT_KEYS, axis=1), on=_CLIENT_KEYS, how="right"
    )["index"]
    medians = lives.groupby(groups.group).median()
    result: np.ndarray = medians.reindex(places).to_numpy(np.float64)
    return result


RULES = (client_closes_first, server_closes_first)
