"""Local ports towards one destination: how near to their end."""

from collections.abc import Iterator

from tcptrace.analysis.counts import ranked
from tcptrace.analysis.findings.cases import without_port
from tcptrace.analysis.findings.finding import MOST_EVIDENCE, Finding, Severity, several
from tcptrace.analysis.grouping import Grouped, grouped
from tcptrace.analysis.ports_in_use import ports_in_use
from tcptrace.analysis.services import endpoint, ephemeral_range
from tcptrace.analysis.values import integer_or_none, rows, text_or_none
from tcptrace.analysis.view import Slice, View, per_slice

#: Above this, connect() searches long for a free port (it tries half of the range,
#: those of one parity, first), and a burst can use up the rest.
WARNING_SHARE = 0.7
PROBLEM_SHARE = 0.9


def running_out(view: View) -> Iterator[Finding]:
    """Find destinations that used most of the ephemeral range at one time."""
    ephemeral = ephemeral_range(view.recording.header)
    if ephemeral is None:
        return
    size = ephemeral[1] - ephemeral[0] + 1
    table = ports_in_use(view)
    table = table[table["peak"] >= WARNING_SHARE * size]
    if table.empty:
        return
    worst = int(table["peak"].iloc[0])
    yield Finding(
        id="ports-running-out",
        severity=Severity.PROBLEM if worst >= PROBLEM_SHARE * size else Severity.WARNING,
        title=f"Local ports run out towards {several(len(table), 'destination')}: "
        f"{worst:,} of {size:,} in use at once",
        evidence=[
            {
                "remote": endpoint(row.remote_address, row.remote_port),
                "local_address": text_or_none(row.local_address),
                "netns": integer_or_none(row.netns),
                "ports_in_use": int(row.peak),
                "range": size,
            }
            for row in rows(table.head(MOST_EVIDENCE))
        ],
        why="Each connection, and each TIME_WAIT, to one destination holds a local port; "
        "when none is left connect() fails with EADDRNOTAVAIL. (The range is the one of "
        "the network namespace recorded from.)",
        advice="Reuse connections; else widen net.ipv4.ip_local_port_range, set "
        "net.ipv4.tcp_tw_reuse=1, or use more local or remote addresses.",
        source="Documentation/networking/ip-sysctl.rst (ip_local_port_range, tcp_tw_reuse)",
    )


@per_slice
def _portless(part: Slice) -> Grouped:
    chosen = without_port(part.connections)
    keys = ["comm", "remote_address", "remote_port"]
    return grouped(part.connections.loc[chosen, keys]).alone()


def none_left(view: View) -> Iterator[Finding]:
    """Find connects that got no local port at all."""
    table = ranked(_portless(view), "connects")
    if table.empty:
        return
    total = int(table["connects"].sum())
    yield Finding(
        id="no-port-left",
        severity=Severity.PROBLEM,
        title=f"{several(total, 'connect')} found no free local port",
        evidence=[
            {
                "comm": text_or_none(row.comm),
                "remote": endpoint(row.remote_address, row.remote_port),
                "connects": int(row.connects),
            }
            for row in rows(table.head(MOST_EVIDENCE))
        ],
        why="They left SYN_SENT without ever having a port: no SYN was sent, and "
        "connect() returned EADDRNOTAVAIL.",
        advice="See which connections and TIME_WAITs hold the ports "
        "(--by remote); reuse connections or widen net.ipv4.ip_local_port_range.",
        source="man 2 connect (EADDRNOTAVAIL)",
    )


RULES = (running_out, none_left)
