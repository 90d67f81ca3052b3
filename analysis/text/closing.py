"""Who closes, who does not, and what failed: tables by program and peer."""

from typing import Any

from rich.text import Text

from tcptrace.analysis import groups
from tcptrace.analysis.failed import failures as failures_of
from tcptrace.analysis.failed import resets
from tcptrace.analysis.text.layout import (
    UNKNOWN,
    duration,
    heading,
    line,
    more,
    number,
    table,
)
from tcptrace.analysis.text.words import failure
from tcptrace.analysis.view import View

_ROWS = 5
_ROWS_VERBOSE = 50


def _most(verbose: bool) -> int:
    return _ROWS_VERBOSE if verbose else _ROWS


def active_closers(summary: dict[str, Any], *, verbose: bool) -> list[Text]:
    """Show who closes first, towards whom, and the TIME_WAITs that gave."""
    closers = summary["active_closers"]
    if not closers:
        return []
    rows = [
        (
            row["comm"] or UNKNOWN,
            _role(row),
            row["remote_service"],
            number(row["closes"]),
            number(row["time_wait"]),
        )
        for row in closers[: _most(verbose)]
    ]
    names = ("program", "role", "remote service", "closes", "TIME_WAIT")
    return [
        heading("ACTIVE CLOSERS", "who closed first (or reset)"),
        *table(names, rows, left=3),
        *more(len(closers) - len(rows), "groups"),
    ]


def sides(view: View, *, verbose: bool) -> list[Text]:
    """Show which side closed first, for each pair of programs and their service."""
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
        )
        for row in found[: _most(verbose)]
    ]
    if not rows:
        return []
    names = ("client", "server", "service", "connections", "by client", "by server", "by both")
    return [
        heading("WHICH SIDE CLOSED", "per pair of programs; a connection counts once"),
        *table(names, rows, left=3),
        *more(len(found) - len(rows), "pairs"),
    ]


def _role(row: dict[str, Any]) -> str:
    port = row["local_port"]
    role = "role unknown" if row["role"] in (None, "unknown") else row["role"]
    return role if port is None else f"{role} :{port}"


def _named(row: dict[str, Any], by: str) -> str:
    name = UNKNOWN if row[by] is None else str(row[by])
    return f"{name} ({row['name']})" if row.get("name") else name


def by_group(view: View, by: str, *, verbose: bool) -> list[Text]:
    """Show the counts per program, service, remote address, namespace or unit."""
    found = groups.grouped_by(view, by)
    rows = [
        (
            _named(row, by),
            *(
                number(row[column])
                for column in (
                    "connections",
                    "closed_local",
                    "closed_remote",
                    "reset",
                    "failed",
                    "time_wait",
                    "close_wait",
                )
            ),
        )
        for row in found[: max(_most(verbose), 15)]
    ]
    names = (by, "ends", "by this", "by other", "reset", "failed", "TIME_WAIT", "CLOSE_WAIT")
    return [
        heading(f"BY {by.upper()}", "closed by this or the other end; CLOSE_WAIT: now"),
        *table(names, rows),
        *more(len(found) - len(rows), "groups"),
    ]


def close_wait(summary: dict[str, Any], *, verbose: bool) -> list[Text]:
    """Show what waits for its program to close it."""
    found = summary["close_wait"]
    if found["longest_s"] is None:
        return []
    leaks = found["leaks"]
    lines = [
        heading("CLOSE_WAIT", f"{number(found['now'])} now"),
        line(f"longest seen {duration(found['longest_s'])}; leaks {number(len(leaks))}"),
    ]
    if leaks:
        rows = [
            (
                leak["comm"] or UNKNOWN,
                UNKNOWN if leak["pid"] is None else str(leak["pid"]),
                leak["local"],
                leak["remote"],
                ("> " if leak["at_least"] else "") + duration(leak["age_s"]),
            )
            for leak in leaks[: _most(verbose)]
        ]
        lines += table(("program", "pid", "local", "peer", "age"), rows, left=4)
        lines += more(len(leaks) - len(rows), "leaks")
    return lines


def failures(view: View, *, verbose: bool) -> list[Text]:
    """Show connects that failed, by destination, and resets, by sender."""
    failed, reset = failures_of(view), resets(view)
    lines = []
    if failed:
        rows = [
            (
                failure(row),
                row["comm"] or UNKNOWN,
                row["remote"],
                row["error"] or "",
                number(row["connects"]),
            )
            for row in failed[: _most(verbose)]
        ]
        lines += [heading("FAILED")]
        lines += table(("outcome", "program", "destination", "error", "times"), rows, left=4)
        lines += more(len(failed) - len(rows), "destinations")
    if reset:
        rows = [
            (
                {"local": "this end", "remote": "the other end"}.get(row["sent_by"], UNKNOWN),
                row["comm"] or UNKNOWN,
                row["role"] or UNKNOWN,
                (row["reason"] or "").replace("_", " "),
                number(row["resets"]),
            )
            for row in reset[: _most(verbose)]
        ]
        lines += [Text("")] if lines else []
        lines += [heading("RESETS")]
        lines += table(("sent by", "program", "role", "reason", "resets"), rows, left=4)
        lines += more(len(reset) - len(rows), "groups")
    return lines
