"""TIME_WAITs that did not go as RFC 9293 means them to."""

from collections.abc import Iterator

import pandas as pd

from tcptrace.analysis.counts import most_first, ranked
from tcptrace.analysis.findings import cases
from tcptrace.analysis.findings.finding import MOST_EVIDENCE, Finding, Severity, several
from tcptrace.analysis.grouping import Grouped, grouped, plain
from tcptrace.analysis.services import setting
from tcptrace.analysis.states import time_waits
from tcptrace.analysis.values import integer_or_none, rows, text_or_none
from tcptrace.analysis.view import Slice, View, per_slice

#: Above this share of TIME_WAITs, lost last ACKs are no accident of the network.
RESTARTED_WARNING_SHARE = 0.01


def skipped(view: View) -> Iterator[Finding]:
    """Find TIME_WAITs the kernel left out because it had too many."""
    table = ranked(skipped_ones(view), "skipped")
    if table.empty:
        return
    total = int(table["skipped"].sum())
    limit = setting(view.recording.header, "tcp_max_tw_buckets")
    netns = view.recording.header.get("netns")
    yield Finding(
        id="time-wait-skipped",
        severity=Severity.WARNING,
        title=f"{several(total, 'connection')} closed without TIME_WAIT",
        evidence=[
            {
                "comm": text_or_none(row.comm),
                "netns": integer_or_none(row.netns),
                "skipped": int(row.skipped),
                # The limit is each namespace's own; the header has the recorder's.
                "tcp_max_tw_buckets": limit if row.netns == netns else None,
            }
            for row in rows(table.head(MOST_EVIDENCE))
        ],
        why="The kernel holds no more than tcp_max_tw_buckets TIME_WAITs; beyond, a "
        "repeated FIN is answered by RST, and old segments can reach a new connection.",
        advice="Close less from this side (reuse connections), or raise "
        "net.ipv4.tcp_max_tw_buckets (about 300 bytes each).",
        source="Documentation/networking/ip-sysctl.rst (tcp_max_tw_buckets); RFC 1337",
    )


@per_slice
def skipped_ones(part: Slice) -> Grouped:
    """Group those whose TIME_WAIT was left out, by ``comm`` and ``netns``."""
    chosen = cases.skipped(part.connections)
    return grouped(part.connections.loc[chosen, ["comm", "netns"]]).alone()


@per_slice
def _restarted(part: Slice) -> pd.DataFrame:
    again = (part.time_wait["restarts"] > 0).fillna(False).astype(bool)
    return plain(part.time_wait.loc[again, ["comm", "remote_address", "restarts"]])


def last_acks_lost(view: View) -> Iterator[Finding]:
    """Find TIME_WAITs that the peer's repeated FIN restarted."""
    restarted = pd.concat(_restarted(view))
    if restarted.empty:
        return
    began = len(time_waits(view))
    share = len(restarted) / began
    table = most_first(
        restarted.groupby(["comm", "remote_address"], dropna=False)["restarts"]
        .agg(time_waits="size", restarts="sum")
        .reset_index(),
        "restarts",
    )
    yield Finding(
        id="last-acks-lost",
        severity=Severity.WARNING if share >= RESTARTED_WARNING_SHARE else Severity.INFO,
        title=f"{len(restarted):,} of {several(began, 'TIME_WAIT')} began anew: "
        "the peer sent its FIN again",
        evidence=[
            {
                "comm": text_or_none(row.comm),
                "peer": text_or_none(row.remote_address),
                "time_waits": int(row.time_waits),
                "restarts": int(row.restarts),
            }
            for row in rows(table.head(MOST_EVIDENCE))
        ],
        why="The last ACK, or the FIN it answers, was lost or late on the way. TIME_WAIT "
        "did its work: it answered again, and the peer could close properly.",
        advice="Look for packet loss towards these peers (`nstat TcpRetransSegs`, `ip -s link`).",
        source="RFC 9293 sections 3.6.1 and 3.10.7.4 (TIME-WAIT)",
    )


RULES = (skipped, last_acks_lost)
