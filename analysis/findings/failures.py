"""Connections that failed, were reset, or took long to come about."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from tcptrace.analysis import failed
from tcptrace.analysis.counts import counts, most_first, outcome_counts
from tcptrace.analysis.findings import cases
from tcptrace.analysis.findings.finding import MOST_EVIDENCE, Finding, Severity, several
from tcptrace.analysis.grouping import plain
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.values import rows, seconds, text_or_none
from tcptrace.analysis.view import Slice, View, per_slice

#: As many failed connects are no single mishap.
FAILED_WARNING = 10

#: Fewer resets, or a smaller share of what ended, are everyday life (a browser
#: closed, a health check).
RESETS = 10
RESETS_SHARE = 0.05

#: From this share on, lost SYNs are no accident of the network.
SLOW_WARNING_SHARE = 0.01

_FAILURES = {
    "refused": (
        "refused",
        "Nobody listened on that port, or a firewall answered with a reset.",
        "Check that the service runs and listens on that address and port (`ss -tln`).",
        "RFC 9293 section 3.10.7.1; man 2 connect (ECONNREFUSED)",
    ),
    "timed_out": (
        "timed out",
        "No answer came to any SYN: the host is down, the way is blocked, or the "
        "server's backlog is full.",
        "Check the way there (`ping`, firewalls) and, on the server, "
        "`nstat TcpExtListenDrops TcpExtListenOverflows`.",
        "man 7 tcp (tcp_syn_retries); man 2 connect (ETIMEDOUT)",
    ),
    "unreachable": (
        "found host or network unreachable",
        "A router, or this machine itself, said that the host or network cannot be reached.",
        "Check the routes (`ip route get ADDRESS`) and firewalls.",
        "RFC 1122 section 4.2.3.9; man 2 connect (ENETUNREACH)",
    ),
}


def failed_connects(view: View) -> Iterator[Finding]:
    """Find destinations that connections could not be made to."""
    all_failed = failed.failures(view)
    for outcome, (what, why, advice, source) in _FAILURES.items():
        found = [row for row in all_failed if row["outcome"] == outcome and not row["established"]]
        total = sum(row["connects"] for row in found)
        if not total:
            continue
        where = f"to {found[0]['remote']}" if len(found) == 1 else f"to {len(found):,} destinations"
        yield Finding(
            id=f"connects-{outcome.replace('_', '-')}",
            severity=Severity.WARNING if total >= FAILED_WARNING else Severity.INFO,
            title=f"{several(total, 'connect')} {where} {what}",
            evidence=[
                {key: row[key] for key in ("comm", "remote", "connects", "error")}
                for row in found[:MOST_EVIDENCE]
            ],
            why=why,
            advice=advice,
            source=source,
        )


def many_resets(view: View) -> Iterator[Finding]:
    """Find resets in place of orderly closes."""
    outcomes = outcome_counts(view)
    total = outcomes.get("reset", 0)
    ended = total + outcomes.get("finished", 0)
    if total < RESETS or total < RESETS_SHARE * ended:
        return
    evidence: list[dict[str, Any]] = [
        {key: row[key] for key in ("comm", "role", "sent_by", "resets", "reason")}
        for row in failed.resets(view)[:MOST_EVIDENCE]
    ]
    yield Finding(
        id="many-resets",
        severity=Severity.WARNING,
        title=f"{total:,} of {ended:,} connection ends that closed were reset "
        f"({total / ended:.0%})",
        evidence=evidence,
        why="A reset throws away data not yet delivered, on both sides, and the program "
        "at the other end gets ECONNRESET.",
        advice="Look for SO_LINGER with 0 seconds, close() with unread data, "
        "and proxies or firewalls with short timeouts.",
        source="RFC 9293 section 3.6; RFC 2525 section 2.17; man 7 socket (SO_LINGER)",
    )


@per_slice
def _slow(part: Slice) -> pd.DataFrame:
    chosen = cases.slow(part.connections)
    return plain(part.connections.loc[chosen, ["remote_address", "remote_port", "syn_sent_s"]])


def slow_handshakes(view: View) -> Iterator[Finding]:
    """Find connects that needed a second SYN."""
    slow = pd.concat(_slow(view))
    if slow.empty:
        return
    table = most_first(
        slow.groupby(["remote_address", "remote_port"], dropna=False)["syn_sent_s"]
        .agg(connects="size", longest="max")
        .reset_index(),
        "connects",
    )
    all_ = counts(view)
    made = int(all_["connections"][(all_["role"] == "client") & all_["established"]].sum())
    share = len(slow) / made
    yield Finding(
        id="slow-handshakes",
        severity=Severity.WARNING if share >= SLOW_WARNING_SHARE else Severity.INFO,
        title=f"{len(slow):,} of {made:,} handshakes took 1 s or longer ({share:.1%})",
        evidence=[
            {
                "remote": text_or_none(endpoint(row.remote_address, row.remote_port)),
                "connects": int(row.connects),
                "longest_s": seconds(row.longest),
            }
            for row in rows(table.head(MOST_EVIDENCE))
        ],
        why="The first SYN is repeated after 1 s: the SYN or its answer was lost, or the "
        "server's backlog was full and dropped it.",
        advice="Look for packet loss, and on the server for "
        "`nstat TcpExtListenDrops`; raise listen()'s backlog and net.core.somaxconn.",
        source="RFC 6298 section 2.1; man 2 listen",
    )


RULES = (failed_connects, many_resets, slow_handshakes)
