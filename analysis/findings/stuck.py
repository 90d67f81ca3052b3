"""Connections whose end does not come: CLOSE_WAIT and FIN_WAIT_2."""

from collections.abc import Iterator

import pandas as pd

from tcptrace.analysis.findings.cases import long_in_close_wait, stuck_in_fin_wait_2
from tcptrace.analysis.findings.finding import MOST_EVIDENCE, Finding, Severity, several
from tcptrace.analysis.grouping import plain
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.states import LEFT, STATE_COLUMNS
from tcptrace.analysis.values import integer_or_none, rows, seconds, text_or_none
from tcptrace.analysis.view import Slice, View, per_slice

#: From here on it is no slow answer any more but a forgotten socket.
LEAK_PROBLEM_SECONDS = 60.0


def close_wait_leak(view: View) -> Iterator[Finding]:
    """Find programs that do not close what the peer has closed, or do so late."""
    late = pd.concat(_late(view))
    if late.empty:
        return
    still = late["outcome"] == "open"
    longest = _longest(late, "CLOSE_WAIT")
    keys = ["comm", "pid", "remote_address"]
    table = (
        late.assign(still=still)
        .groupby(keys, dropna=False)
        .agg(connections=("still", "size"), still=("still", "sum"), longest=("close_wait_s", "max"))
        .reset_index()
        .sort_values(["still", "connections", "longest"], ascending=False, kind="stable")
    )
    count = int(still.sum())
    told = "left in CLOSE_WAIT" if count else "closed late, after CLOSE_WAIT"
    forgotten = float(late["close_wait_s"][still].max()) >= LEAK_PROBLEM_SECONDS
    yield Finding(
        id="close-wait-leak",
        severity=Severity.PROBLEM if forgotten else Severity.WARNING,
        title=f"{several(count or len(late), 'connection')} {told}, the longest for {longest}",
        evidence=[
            {
                "comm": text_or_none(row.comm),
                "pid": integer_or_none(row.pid),
                "peer": text_or_none(row.remote_address),
                "connections": int(row.connections),
                "still_open": int(row.still),
                "longest_s": seconds(row.longest),
            }
            for row in rows(table.head(MOST_EVIDENCE))
        ],
        why="The peer has closed; nothing but this program's own close() ends "
        "CLOSE_WAIT. Each one keeps a file descriptor and its buffers for ever.",
        advice="Close the socket when read() returns 0 (see `ss -tpn state close-wait`); "
        "if the program still sends on purpose (half-close), nothing is wrong.",
        source="RFC 9293 sections 3.3.2 and 3.6",
    )


def fin_wait_2_stuck(view: View) -> Iterator[Finding]:
    """Find closes the peer does not answer with its own."""
    stuck = pd.concat(_stuck(view))
    if stuck.empty:
        return
    table = _by_peer(stuck)
    given_up = int((stuck["outcome"] != "open").sum())
    longest = _longest(stuck, "FIN_WAIT_2")
    yield Finding(
        id="fin-wait-2-stuck",
        severity=Severity.WARNING,
        title=f"{several(len(stuck), 'close')} waited long for the peer's FIN in FIN_WAIT_2, "
        f"the longest {longest} ({given_up:,} over)",
        evidence=[
            {
                "comm": text_or_none(row.comm),
                "remote": endpoint(row.remote_address, row.remote_port),
                "connections": int(row.connections),
                "longest_s": seconds(row.longest),
            }
            for row in rows(table.head(MOST_EVIDENCE))
        ],
        why="This side has closed and the other has not: the peer leaks CLOSE_WAIT, "
        "still sends, or is gone. After close() the kernel gives up after "
        "tcp_fin_timeout; after shutdown(SHUT_WR) alone it waits for ever.",
        advice="Look at the peer's program; after shutdown(SHUT_WR) set a read timeout "
        "and close().",
        source="RFC 9293 section 3.6; Documentation/networking/ip-sysctl.rst (tcp_fin_timeout)",
    )


_TOLD = ["comm", "pid", "role", "remote_address", "remote_port", "outcome", "censored"]
_TOLD += list(STATE_COLUMNS.values())


@per_slice
def _late(part: Slice) -> pd.DataFrame:
    return plain(part.connections.loc[long_in_close_wait(part.connections), _TOLD])


@per_slice
def _stuck(part: Slice) -> pd.DataFrame:
    return plain(part.connections.loc[stuck_in_fin_wait_2(part.connections), _TOLD])


def _longest(stuck: pd.DataFrame, state: str) -> str:
    """Write the longest stay; of one that was there before the recording, a lower bound."""
    (row,) = rows(stuck.nlargest(1, STATE_COLUMNS[state]))
    names = list(STATE_COLUMNS)
    earlier = [STATE_COLUMNS[name] for name in names[: names.index(state)]]
    older = row.censored in LEFT and all(pd.isna(getattr(row, name)) for name in earlier)
    return f"{'at least ' if older else ''}{getattr(row, STATE_COLUMNS[state]):,.1f} s"


def _by_peer(stuck: pd.DataFrame) -> pd.DataFrame:
    """Count per program and service: a server's peers have ports of no meaning."""
    port = stuck["remote_port"].astype("Int64").where(stuck["role"] != "server")
    keys = ["comm", "remote_address", "remote_port"]
    return (
        stuck.assign(remote_port=port)
        .groupby(keys, dropna=False)["fin_wait_2_s"]
        .agg(connections="size", longest="max")
        .reset_index()
        .sort_values(["connections", "longest"], ascending=False, kind="stable")
    )


RULES = (close_wait_leak, fin_wait_2_stuck)
