"""Connections that failed or were reset: by whom, where to, and why."""

from typing import Any

from tcptrace.analysis.counts import ranked
from tcptrace.analysis.grouping import Grouped, grouped
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.states import LEFT
from tcptrace.analysis.values import rows, text_or_none
from tcptrace.analysis.view import Slice, View, per_slice

#: Outcomes of a connect() that got no connection.
FAILED_OUTCOMES = ("refused", "timed_out", "unreachable")


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
        for row in rows(ranked(_failures(view), "connects"))
    ]


@per_slice
def _failures(part: Slice) -> Grouped:
    connections = part.connections
    failed = connections[connections["outcome"].isin(FAILED_OUTCOMES)]
    older = failed["censored"].isin(LEFT) & failed["syn_sent_s"].isna()
    came_to_be = failed["established"].notna() | failed["established_s"].notna() | older
    keys = ["outcome", "comm", "remote_address", "remote_port", "error"]
    return grouped(failed[keys].assign(came_to_be=came_to_be)).alone()


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
        for row in rows(ranked(_resets(view), "resets"))
    ]


@per_slice
def _resets(part: Slice) -> Grouped:
    reset = part.connections["outcome"] == "reset"
    keys = ["closed_by", "comm", "role", "reset_reason"]
    return grouped(part.connections.loc[reset, keys]).alone()
