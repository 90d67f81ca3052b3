"""What happened at a glance: the recording, tiles, findings, times, completeness."""

from typing import Any

from tcptrace.analysis.counts import outcome_counts
from tcptrace.analysis.findings import Finding
from tcptrace.analysis.html.markup import Child, Html, tag, with_code
from tcptrace.analysis.html.ranges import ranges
from tcptrace.analysis.html.tables import UNKNOWN, section, table
from tcptrace.analysis.summary import seen_twice
from tcptrace.analysis.text.layout import NOT_REACHED, duration, number, share
from tcptrace.analysis.text.words import COUNTERS, evidence, settled, warnings
from tcptrace.analysis.view import View


def header(view: View, summary: dict[str, Any]) -> Html:
    """Name the recording; say first if it is empty, cut off or lossy."""
    about = summary["recording"]
    host, kernel = about["host"] or "unknown host", about["kernel"] or "(version unknown)"
    began = (about["started"] or UNKNOWN)[:19].replace("T", " ")
    return tag(
        "header",
        tag("h1", view.recording.path.name),
        tag("p", f"{host}, Linux {kernel}; {began} UTC, {duration(about['duration_s'])}"),
        tag("p", f"Only: {view.filters}") if view.filters else None,
        tag("p", settled(view)) if settled(view) else None,
        [tag("p", text, class_="warning") for text in warnings(view, summary)],
    )


def tiles(view: View, summary: dict[str, Any]) -> Html:
    """Show the numbers that answer "what happened?"."""
    counts, sides = summary["connections"], summary["closed_by"]
    wait, about = summary["time_wait"], summary["recording"]
    closed = sum(sides.values())
    failed = counts["refused"] + counts["timed_out"]
    failed += outcome_counts(view).get("unreachable", 0)
    both = seen_twice(view)
    life = wait["lifetime_s"]["p50"]
    shown = [
        (number(counts["total"]), "ends of connections", f"both ends seen of {number(both)}"),
        (
            number(counts["finished"]),
            "finished in order",
            f"{number(counts['reset'])} reset, {number(failed)} failed, "
            f"{number(counts['open'])} open",
        ),
        (
            number(sides["local"] + sides["both"]),
            "active closes",
            f"closed from here first: {share(sides['local'] + sides['both'], closed) or 'none'}",
        ),
        (
            number(wait["began"]),
            "TIME_WAITs",
            f"at most {number(wait['peak'])} at once, {number(wait['skipped'])} skipped"
            if wait["began"] is not None
            else "not watched: see the findings",
        ),
        (
            UNKNOWN if life is None else duration(life),
            "median life of a TIME_WAIT",
            "Kaplan-Meier" if life is not None else "too few were followed to their end",
        ),
        (
            number(summary["close_wait"]["now"]),
            "in CLOSE_WAIT at the end",
            f"{number(len(summary['close_wait']['leaks']))} leaks",
        ),
        (
            number(about["events"]),
            "events recorded",
            f"{number(about['lost'])} lost" if about["lost"] else "none lost",
        ),
    ]
    return tag(
        "div",
        [
            tag(
                "div",
                tag("div", value, class_="value"),
                tag("div", name, class_="name"),
                tag("div", note, class_="note"),
                class_="tile",
            )
            for value, name, note in shown
        ],
        class_="tiles",
    )


def findings(found: list[Finding]) -> Html:
    """Show each finding with evidence, reason, advice and source."""
    content: Child = [
        tag(
            "article",
            tag("h3", tag("span", str(each.severity), class_="badge"), " ", each.title),
            tag("ul", [tag("li", evidence(row)) for row in each.evidence]),
            tag("p", each.why),
            tag("p", tag("strong", "What to do: "), with_code(each.advice)),
            tag("p", f"{each.id}. Source: {each.source}", class_="note"),
            class_=f"finding {each.severity}",
        )
        for each in found
    ]
    return section("findings", "Findings", content or tag("p", "None: nothing here looks wrong."))


def dwell(summary: dict[str, Any]) -> Html:
    """Show the time spent in each state, as a chart and as numbers."""
    found = summary["states"]
    if not found:
        return section("dwell", "Time in each state", tag("p", "Nothing was seen."))
    rows = [(state, each["p50_s"], each["p95_s"], each["max_s"]) for state, each in found.items()]
    numbers = [
        (
            state,
            number(each["count"]),
            duration(each["p50_s"]),
            duration(each["p95_s"]),
            duration(each["max_s"]),
        )
        for state, each in found.items()
    ]
    return section(
        "dwell",
        "Time in each state",
        tag(
            "p",
            tag("span", "● ", class_="key-median"),
            "median  ",
            tag("span", "● ", class_="key-p95"),
            "95 %  ",
            tag("span", "● ", class_="key-max"),
            "longest seen",
            class_="legend",
        ),
        ranges(rows),
        table(("State", "Ends", "Median", "95 %", "Longest seen"), numbers),
        note=f"Stays not seen to their end count as at least so long (Kaplan-Meier); "
        f"{NOT_REACHED}: most were still in it at the end.",
    )


def completeness(summary: dict[str, Any]) -> Html:
    """Put what was recorded beside what the kernel counted."""
    found = summary["completeness"]
    rows = [
        (
            COUNTERS[name],
            UNKNOWN if pair["recorded"] is None else number(pair["recorded"]),
            UNKNOWN if pair["kernel"] is None else number(pair["kernel"]),
        )
        for name, pair in found["counters"].items()
    ]
    return section(
        "completeness",
        "Completeness",
        tag("p", f"Events lost: {number(found['lost'])}."),
        table(("In the network namespace recorded from", "Recorded", "Kernel's count"), rows),
        note="Filters leave connections out on purpose: nothing to compare."
        if found["filtered"]
        else None,
    )
