"""TIME_WAIT in pictures: how many at once, how long, how they ended, what they hold."""

from typing import Any

import numpy as np
import pandas as pd

from tcptrace.analysis.html.charts import Floats, bar, steps
from tcptrace.analysis.html.markup import Html, tag
from tcptrace.analysis.html.tables import UNKNOWN, left_out, section, table
from tcptrace.analysis.ports_in_use import ports_in_use
from tcptrace.analysis.services import endpoint, ephemeral_range, setting
from tcptrace.analysis.states import time_wait_survival
from tcptrace.analysis.survival import Survival
from tcptrace.analysis.text.layout import duration, number, share
from tcptrace.analysis.values import rows, text_or_none
from tcptrace.analysis.view import View
from tcptrace.analysis.waiting import waiting_at_once

_MOST = 12

#: A limit this much higher than anything seen would only flatten the curve.
_LIMIT_IN_SIGHT = 3

#: More ticks for censored lives than these would be one black bar.
_MARKS = 60

#: Where the first end comes this late in the longest life, the end is drawn by itself.
_CLOSER = 0.8

_ENDS = {
    "expired": "expired by itself",
    "reused_connect": "reused by a local connect()",
    "reused_syn": "reused by an incoming SYN",
    "reset": "ended by a reset sent",
    "killed": "killed (RST received, ss -K, namespace gone)",
}


def time_wait(view: View, summary: dict[str, Any]) -> Html:
    """Show everything about TIME_WAIT."""
    found = summary["time_wait"]
    if found["began"] is None:
        said = "Not known: it was not watched, see the findings."
        return section("time-wait", "TIME_WAIT", tag("p", said))
    if not found["began"] and not found["skipped"]:
        return section("time-wait", "TIME_WAIT", tag("p", "No TIME_WAIT began."))
    return section(
        "time-wait",
        "TIME_WAIT",
        tag("h3", "How many at once"),
        _population(view, found),
        tag("h3", "How long they live"),
        _survival(view),
        tag("h3", "How they ended"),
        _ends(found),
        tag("h3", "Local ports held, per destination"),
        _ports(view),
    )


def _seconds_since(times: pd.DatetimeIndex, start: pd.Timestamp) -> Floats:
    return np.asarray((times - start).total_seconds(), dtype=np.float64)


def _population(view: View, found: dict[str, Any]) -> list[Html]:
    started, stopped = view.recording.started, view.recording.ended
    counts = waiting_at_once(view)
    limit = setting(view.recording.header, "tcp_max_tw_buckets")
    near = limit is not None and limit <= _LIMIT_IN_SIGHT * max(found["peak"], 1)
    said = f"At most {number(found['peak'])} at once. "
    if limit is None:
        said += "tcp_max_tw_buckets was not recorded."
    else:
        said += f"The limit of the namespace recorded from (tcp_max_tw_buckets): {number(limit)}"
        said += "." if near else ", far above this chart."
    x = _seconds_since(pd.DatetimeIndex(counts.index), started)
    return [
        tag("p", said),
        steps(
            np.concatenate([[0.0], x]),
            np.concatenate([[0.0], counts.to_numpy(np.float64)]),
            title="TIME_WAIT sockets at once",
            x_title="seconds into the recording",
            x_top=max((stopped - started).total_seconds(), 1e-6),
            limit=(float(limit), "tcp_max_tw_buckets") if near and limit is not None else None,
            divide=_settling(view),
        ),
    ]


def _settling(view: View) -> tuple[float, str] | None:
    """Say from when on new TIME_WAITs were not followed."""
    observed = view.recording.observed
    if observed.settling >= observed.ended:
        return None
    return (observed.settling - observed.started) / 1e9, "from here on none that begins is counted"


def _survival(view: View) -> list[Html]:
    survival = time_wait_survival(view)
    if not survival.count:
        return [tag("p", "None was followed.")]
    censored = survival.count - survival.ended
    text = f"{number(survival.count)} lives, {number(survival.ended)} of them seen to end"
    if censored:
        text += (
            f"; the other {number(censored)} lasted at least as long as they were seen "
            "(small ticks)"
        )
    guides = [
        (value, 1 - part, f"{name}: {duration(value)}")
        for part, name in ((0.5, "median"), (0.95, "95 %"))
        if (value := survival.quantile(part)) is not None
    ]
    if not guides:
        text += "; too few ended to tell the median"
    marks, last = _censoring(view, survival), float(survival.times[-1])

    def drawn(x_from: float, guides: list[tuple[float, float, str]]) -> Html:
        return steps(
            np.concatenate([[0.0], survival.times]),
            np.concatenate([[1.0], survival.alive]),
            title="Share of TIME_WAITs still there",
            x_title="seconds since TIME_WAIT began",
            y_format=lambda value: f"{value:.0%}",
            x_top=last + (0.04 * (last - x_from) or 1.0),
            x_from=x_from,
            known_to=last,
            y_top=1.0,
            marks=marks,
            guides=guides,
        )

    content = [
        tag("p", f"{text}. Kaplan-Meier estimate of the share still there."),
        drawn(0.0, guides),
    ]
    ends = survival.times[np.diff(survival.alive, prepend=1.0) < 0]
    if len(ends) and ends[0] > _CLOSER * last > 0:
        # They all end within a moment of each other: that moment by itself.
        start = float(ends[0]) - 0.1 * (last - float(ends[0])) if last > ends[0] else 0.98 * last
        content += [tag("p", f"The same, from {start:.1f} s on:"), drawn(start, [])]
    return content


def _censoring(view: View, survival: Survival) -> list[tuple[float, float]]:
    waits = view.time_wait
    unfinished = waits["lived_s"][(waits["end"] == "open") | waits["began"].isna()].dropna()
    distinct = np.unique(unfinished.to_numpy(np.float64))
    if len(distinct) > _MARKS:
        distinct = distinct[np.linspace(0, len(distinct) - 1, _MARKS).astype(int)]
    places = np.searchsorted(survival.times, distinct, side="right") - 1
    alive = np.where(places >= 0, survival.alive[places], 1.0)
    return list(zip(distinct.tolist(), alive.tolist(), strict=True))


def _ends(found: dict[str, Any]) -> Html:
    counts = {text: found["ended"][end] for end, text in _ENDS.items()}
    counts["open at the recording's end"] = found["open"]
    counts["skipped: never began (tcp_max_tw_buckets reached)"] = found["skipped"]
    whole = sum(counts.values())
    return table(
        ("End", "", "Count", "Share"),
        [
            (text, bar(count, whole), number(count), share(count, whole))
            for text, count in counts.items()
        ],
        left=2,
    )


def _ports(view: View) -> list[Html | None]:
    ephemeral = ephemeral_range(view.recording.header)
    if ephemeral is None:
        return [tag("p", "Unknown: ip_local_port_range was not recorded.")]
    size = ephemeral[1] - ephemeral[0] + 1
    found = ports_in_use(view)
    shown = [
        (
            endpoint(row.remote_address, row.remote_port),
            text_or_none(row.local_address) or UNKNOWN,
            UNKNOWN if pd.isna(row.netns) else str(row.netns),
            bar(row.peak, size, "bar" if row.peak < 0.7 * size else "bar-bad"),
            number(int(row.peak)),
            share(int(row.peak), size),
        )
        for row in rows(found.head(_MOST))
    ]
    return [
        tag(
            "p",
            f"Ports {ephemeral[0]} to {ephemeral[1]} ({number(size)}) were to be had in the "
            "namespace recorded from; connections and TIME_WAITs both hold one.",
        ),
        table(("Destination", "From", "Namespace", "", "At once", "Of the range"), shown, left=4)
        if shown
        else tag("p", "No client was seen."),
        left_out(len(shown), len(found), "destinations"),
    ]
