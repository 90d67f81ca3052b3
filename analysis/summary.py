"""The numbers of a report: the object that ``report --json`` prints, schema 1."""

from typing import Any

import pandas as pd

from tcptrace.analysis.close_wait import leak_rows, leaks
from tcptrace.analysis.completeness import completeness
from tcptrace.analysis.counts import counts, outcome_counts
from tcptrace.analysis.findings import Finding, find
from tcptrace.analysis.findings.time_wait import skipped_ones
from tcptrace.analysis.groups import active_closers
from tcptrace.analysis.states import Dwell, dwell, time_waits
from tcptrace.analysis.values import seconds, utc
from tcptrace.analysis.view import Slice, View, per_slice
from tcptrace.analysis.waiting import waiting_at_once
from tcptrace.analysis.watched import time_wait_watched

SCHEMA_VERSION = 1

#: How a TIME_WAIT that did end can have ended.
TIME_WAIT_ENDS = ("expired", "reused_connect", "reused_syn", "reset", "killed")


def summarise(view: View, findings: list[Finding] | None = None) -> dict[str, Any]:
    """Count everything a report tells. JSON-ready: None where unknown.

    ``findings``: those already made for this view; made here if None.
    """
    found = find(view) if findings is None else findings
    return {
        "schema": SCHEMA_VERSION,
        "recording": _recording(view),
        "connections": _connections(view),
        "closed_by": closed_by(view),
        "active_closers": active_closers(view),
        "time_wait": _time_wait(view),
        "close_wait": _close_wait(view),
        "states": _states(view),
        "findings": [finding.as_dict() for finding in found],
        "completeness": completeness(view),
    }


def _recording(view: View) -> dict[str, Any]:
    recording = view.recording
    told = bool(recording.header) or recording.count > 0
    return {
        "host": recording.header.get("host"),
        "kernel": recording.header.get("kernel"),
        # An empty file, or one cut off within its header, does not say.
        "started": utc(recording.started) if told else None,
        "ended": utc(recording.ended) if told else None,
        "duration_s": seconds((recording.ended - recording.started).total_seconds())
        if told
        else None,
        "events": recording.count,
        "lost": int(recording.lost),
        "complete": bool(recording.complete),
    }


def _connections(view: View) -> dict[str, int]:
    outcomes = outcome_counts(view)
    names = ("open", "finished", "reset", "refused", "timed_out")
    return {"total": sum(outcomes.values()), **{name: outcomes.get(name, 0) for name in names}}


def seen_twice(view: View) -> int:
    """Count the connections both ends of which are in the recording."""
    return sum(_pairs(view))


@per_slice
def _pairs(part: Slice) -> int:
    numbers = part.connections["conversation"].dropna()
    return int(numbers.duplicated().sum())


def closed_by(view: View) -> dict[str, int]:
    """Count which side closed; ``unknown``: it was closed, and nobody saw by whom."""
    table = counts(view)
    side, number = table["closed_by"], table["connections"]
    found = {name: int(number[side == name].sum()) for name in ("local", "remote", "both")}
    nobody = side.isna() & (table["outcome"] != "open") & table["came_to_be"]
    found["unknown"] = int(number[nobody].sum())
    return found


def _time_wait(view: View) -> dict[str, Any]:
    time_wait = time_waits(view)
    if not time_wait_watched(view.recording.header):
        # Snapshots may have seen some; how many more there were, and how they ended, nobody.
        unknown = dict.fromkeys(("began", "skipped", "open", "peak", "restarts"))
        lifetime = dict.fromkeys(("min", "p50", "p95", "max"))
        return unknown | {"ended": dict.fromkeys(TIME_WAIT_ENDS), "lifetime_s": lifetime}
    end = time_wait["end"]
    at_once = waiting_at_once(view)
    return {
        "began": len(time_wait),
        "skipped": sum(int(each.size.sum()) for each in skipped_ones(view)),
        "ended": {name: int((end == name).sum()) for name in TIME_WAIT_ENDS},
        "open": int((end == "open").sum()),
        "peak": int(at_once.max()) if len(at_once) else 0,
        "restarts": int(time_wait["restarts"].sum()),
        "lifetime_s": _lifetime(time_wait, dwell(view).get("TIME_WAIT")),
    }


def _lifetime(time_wait: pd.DataFrame, stays: Dwell | None) -> dict[str, float | None]:
    """Give the shortest and longest life seen to its end; quantiles are Kaplan-Meier's."""
    over = time_wait["lived_s"][(time_wait["end"] != "open") & time_wait["began"].notna()]
    return {
        "min": seconds(over.min()),
        "p50": seconds(stays.p50 if stays else None),
        "p95": seconds(stays.p95 if stays else None),
        "max": seconds(over.max()),
    }


def _close_wait(view: View) -> dict[str, Any]:
    table, stays = counts(view), dwell(view).get("CLOSE_WAIT")
    return {
        "now": int(table["connections"][table["state"] == "CLOSE_WAIT"].sum()),
        "longest_s": seconds(stays.longest if stays else None),
        "leaks": leak_rows(leaks(view)),
    }


def _states(view: View) -> dict[str, dict[str, Any]]:
    """Give each visited state's dwell time; ``max_s`` is the longest seen, ended or not."""
    return {
        state: {
            "count": stays.count,
            "p50_s": seconds(stays.p50),
            "p95_s": seconds(stays.p95),
            "max_s": seconds(stays.longest),
        }
        for state, stays in dwell(view).items()
    }
