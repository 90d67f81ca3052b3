"""The numbers of a report: the object that ``report --json`` prints, schema 1."""

from typing import Any

import pandas as pd

from tcptrace.analysis.close_wait import leak_rows, leaks
from tcptrace.analysis.completeness import completeness
from tcptrace.analysis.filters import View
from tcptrace.analysis.findings import Finding, find
from tcptrace.analysis.groups import active_closers
from tcptrace.analysis.population import population
from tcptrace.analysis.states import LEFT, dwell, time_wait_survival
from tcptrace.analysis.survival import Survival
from tcptrace.analysis.values import seconds, utc
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
        "connections": _connections(view.connections),
        "closed_by": closed_by(view.connections),
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


def _connections(connections: pd.DataFrame) -> dict[str, int]:
    outcome = connections["outcome"]
    return {
        "total": len(connections),
        **{
            name: int((outcome == name).sum())
            for name in ("open", "finished", "reset", "refused", "timed_out")
        },
    }


def closed_by(connections: pd.DataFrame) -> dict[str, int]:
    """Count which side closed; ``unknown``: it was closed, and nobody saw by whom."""
    side, outcome = connections["closed_by"], connections["outcome"]
    counts = {name: int((side == name).sum()) for name in ("local", "remote", "both")}
    came_to_be = connections["established"].notna() | connections["censored"].isin(LEFT)
    counts["unknown"] = int((side.isna() & (outcome != "open") & came_to_be).sum())
    return counts


def _time_wait(view: View) -> dict[str, Any]:
    time_wait, connections = view.time_wait, view.connections
    if not time_wait_watched(view.recording.header):
        # Snapshots may have seen some; how many more there were, and how they ended, nobody.
        unknown = dict.fromkeys(("began", "skipped", "open", "peak", "restarts"))
        lifetime = dict.fromkeys(("min", "p50", "p95", "max"))
        return unknown | {"ended": dict.fromkeys(TIME_WAIT_ENDS), "lifetime_s": lifetime}
    end = time_wait["end"]
    started, stopped = view.recording.started, view.recording.ended
    at_once = population(time_wait["began"], time_wait["ended"], started, stopped)
    return {
        "began": len(time_wait),
        "skipped": int((connections["time_wait_end"] == "skipped").sum()),
        "ended": {name: int((end == name).sum()) for name in TIME_WAIT_ENDS},
        "open": int((end == "open").sum()),
        "peak": int(at_once.max()) if len(at_once) else 0,
        "restarts": int(time_wait["restarts"].sum()),
        "lifetime_s": _lifetime(time_wait, time_wait_survival(time_wait, started)),
    }


def _lifetime(time_wait: pd.DataFrame, survival: Survival) -> dict[str, float | None]:
    """Give the shortest and longest life seen to its end; quantiles are Kaplan-Meier's."""
    over = time_wait["lived_s"][(time_wait["end"] != "open") & time_wait["began"].notna()]
    return {
        "min": seconds(over.min()),
        "p50": seconds(survival.quantile(0.5)),
        "p95": seconds(survival.quantile(0.95)),
        "max": seconds(over.max()),
    }


def _close_wait(view: View) -> dict[str, Any]:
    connections = view.connections
    now = (connections["outcome"] == "open") & (connections["state"] == "CLOSE_WAIT")
    return {
        "now": int(now.sum()),
        "longest_s": seconds(connections["close_wait_s"].max()),
        "leaks": leak_rows(leaks(connections)),
    }


def _states(view: View) -> dict[str, dict[str, Any]]:
    """Give each visited state's dwell time; ``max_s`` is the longest seen, ended or not."""
    found = dwell(view.connections, view.time_wait, view.recording.started)
    return {
        state: {
            "count": survival.count,
            "p50_s": seconds(survival.quantile(0.5)),
            "p95_s": seconds(survival.quantile(0.95)),
            "max_s": seconds(survival.times[-1]),
        }
        for state, survival in found.items()
    }
