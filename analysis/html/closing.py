"""Who closes: programs, pairs of services, leaks, failures."""

from typing import Any

from tcptrace.analysis import groups
from tcptrace.analysis.close_wait import LEAK_SECONDS
from tcptrace.analysis.failed import failures as failures_of
from tcptrace.analysis.failed import resets
from tcptrace.analysis.findings.cases import long_in_close_wait
from tcptrace.analysis.html.charts import bar
from tcptrace.analysis.html.markup import Html, tag
from tcptrace.analysis.html.tables import UNKNOWN, left_out, section, table
from tcptrace.analysis.text.layout import duration, number
from tcptrace.analysis.text.words import failure
from tcptrace.analysis.view import View

_MOST = 20


def active_closers(view: View, summary: dict[str, Any]) -> Html:
    """Show who closes first, and for each service which side does."""
    closers = summary["active_closers"]
    most = max((row["closes"] for row in closers), default=0)
    rows = [
        (
            row["comm"] or UNKNOWN,
            (row["role"] or UNKNOWN)
            + (f" on port {row['local_port']}" if row["local_port"] else ""),
            row["remote_service"],
            bar(row["closes"], most),
            number(row["closes"]),
            number(row["time_wait"]),
        )
        for row in closers[:_MOST]
    ]
    names = ("Program", "Role", "Remote service", "", "Closes", "TIME_WAITs")
    return section(
        "closers",
        "Who closes first",
        table(names, rows, left=4) if rows else tag("p", "Nobody closed anything."),
        left_out(len(rows), len(closers), "groups"),
        _sides(view),
        note="The side that closes first (the active close) takes the TIME_WAIT.",
    )


def _sides(view: View) -> list[Html | None]:
    found = groups.sides_by_service(view)
    rows = [
        (
            row["client"] or UNKNOWN,
            row["server"] or UNKNOWN,
            row["service"],
            number(row["connections"]),
            number(row["closed_by_client"]),
            number(row["closed_by_server"]),
            number(row["closed_by_both"]),
            number(row["connections"] - sum(row[f"closed_by_{s}"] for s in _SIDES)),
        )
        for row in found[:_MOST]
    ]
    if not rows:
        return []
    names = ("Client", "Server", "Service", "Connections", *_CLOSED_BY)
    return [
        tag("h3", "Which side, per pair of programs"),
        tag("p", "Here a connection counts once, whether one end was seen or both.", class_="note"),
        table(names, rows, left=3),
        left_out(len(rows), len(found), "pairs"),
    ]


_SIDES = ("client", "server", "both")
_CLOSED_BY = ("Closed by client", "By server", "By both", "Open or unknown")


def close_wait(view: View, summary: dict[str, Any]) -> Html:
    """Show each leak with its owner, age and peer; count those closed late."""
    found = summary["close_wait"]
    late = int(long_in_close_wait(view.connections).sum()) - len(summary["close_wait"]["leaks"])
    leaks = found["leaks"]
    rows = [
        (
            leak["comm"] or UNKNOWN,
            UNKNOWN if leak["pid"] is None else str(leak["pid"]),
            leak["local"],
            leak["remote"],
            ("at least " if leak["at_least"] else "") + duration(leak["age_s"]),
        )
        for leak in leaks[:_MOST]
    ]
    names = ("Program", "Process", "Local", "Peer", "Age at the end")
    longest = duration(found["longest_s"]) if found["longest_s"] is not None else "none"
    return section(
        "close-wait",
        "CLOSE_WAIT",
        tag("p", f"Open in it at the end: {number(found['now'])}. Longest seen: {longest}."),
        table(names, rows, left=4) if rows else tag("p", "No leak."),
        left_out(len(rows), len(leaks), "leaks"),
        tag("p", f"Closed late, after {LEAK_SECONDS:g} s or longer in it: {number(late)}.")
        if late > 0
        else None,
        note="The peer has closed, this side's program has not. Left so at the end "
        f"for {LEAK_SECONDS:g} s or longer counts as a leak.",
    )


def failures(view: View) -> Html:
    """Show connects that failed and connections that were reset, with reasons."""
    failed, reset = failures_of(view), resets(view)
    failed_rows = [
        (
            failure(row),
            row["comm"] or UNKNOWN,
            row["remote"],
            row["error"] or UNKNOWN,
            number(row["connects"]),
        )
        for row in failed[:_MOST]
    ]
    reset_rows = [
        (
            {"local": "this end", "remote": "the other end"}.get(row["sent_by"], UNKNOWN),
            row["comm"] or UNKNOWN,
            row["role"] or UNKNOWN,
            (row["reason"] or UNKNOWN).replace("_", " "),
            number(row["resets"]),
        )
        for row in reset[:_MOST]
    ]
    return section(
        "failures",
        "Failed and reset",
        tag("h3", "Failed"),
        table(("Outcome", "Program", "Destination", "Error", "Times"), failed_rows, left=4)
        if failed_rows
        else tag("p", "None."),
        left_out(len(failed_rows), len(failed), "destinations"),
        tag("h3", "Resets"),
        table(("Sent by", "Program", "Role", "Kernel's reason", "Resets"), reset_rows, left=4)
        if reset_rows
        else tag("p", "None."),
        left_out(len(reset_rows), len(reset), "groups"),
    )
