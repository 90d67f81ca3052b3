"""What to know about the recording before believing anything in it."""

from collections.abc import Iterator

import pandas as pd

from tcptrace.analysis.findings.finding import MOST_EVIDENCE, Finding, Severity, several
from tcptrace.analysis.observed import ALWAYS, NEVER
from tcptrace.analysis.recording import Recording
from tcptrace.analysis.states import dwell, time_waits
from tcptrace.analysis.values import seconds, utc
from tcptrace.analysis.view import View
from tcptrace.tracer.probes import PROBES

#: From this share on, too many connections are pieced together wrongly to call the
#: counts roughly right: a connection is about 8 events, and one lost spoils it.
LOST_PROBLEM_SHARE = 0.01


def share_lost(recording: Recording) -> str:
    """Say how many events were lost, and of how many, where that is known."""
    lost, made = recording.lost, recording.made
    if not made:
        return f"{several(lost, 'event')} lost"
    return f"{lost:,} of {made:,} events were lost ({lost / made:.2%})"


def events_lost(view: View) -> Iterator[Finding]:
    """Say how much never reached the file."""
    recording = view.recording
    lost, made = int(recording.lost), recording.made
    if not lost:
        return
    # Of a recording that does not say how many there were, the rows give an idea.
    share = lost / (made or lost + recording.count)
    until = recording.observed.lost_until
    last = None if until in (NEVER, ALWAYS) else utc(pd.Timestamp(until, tz="UTC"))
    yield Finding(
        id="events-lost",
        severity=Severity.PROBLEM if share >= LOST_PROBLEM_SHARE else Severity.WARNING,
        title=share_lost(recording),
        evidence=[
            {
                "lost": lost,
                "made": made,
                "share": round(lost / made, 6) if made else None,
                "none_lost_after": last,
            }
        ],
        why="A connection with a lost event may lack its start, its end or its owner; "
        "counts here are lower bounds. What was not heard of after the last loss is "
        "unknown, not open, and no connection is pieced together across the gap.",
        advice="Record again with a larger --buffer-size, or with filters "
        "such as --port for fewer events.",
        source="man 2 bpf (BPF_MAP_TYPE_RINGBUF: a full buffer refuses new records)",
    )


def cut_off(view: View) -> Iterator[Finding]:
    """Say that the file has no proper end."""
    recording = view.recording
    if recording.complete:
        return
    yield Finding(
        id="recording-cut-off",
        severity=Severity.WARNING,
        title=f"The recording was cut off: {recording.problem or 'it has no end mark'}",
        evidence=[{"events": recording.count, "last_event": utc(recording.ended)}],
        why="What happened after the last event is not known, and neither is how much "
        "was lost; connections open then are shown as open.",
        advice="End a recording with Ctrl-C, --duration or its command's end, "
        "and see that the disk has room.",
        source="docs/recording.md (no batch with `final`)",
    )


def time_wait_unjudged(view: View) -> Iterator[Finding]:
    """Say that the recording ended before any TIME_WAIT's natural end."""
    time_wait = time_waits(view)
    still_open = int((time_wait["end"] == "open").sum())
    if not still_open or dwell(view)["TIME_WAIT"].p50 is not None:
        return
    span = view.recording.ended - view.recording.started
    yield Finding(
        id="time-wait-unjudged",
        severity=Severity.INFO,
        title="Too short to say how long TIME_WAIT lasts: "
        f"{still_open:,} of {len(time_wait):,} still open at the end",
        evidence=[
            {
                "open": still_open,
                "began": len(time_wait),
                "recording_s": seconds(span.total_seconds()),
            }
        ],
        why="TIME_WAIT lasts 60 s on Linux, rounded up by the timer wheel to as much as "
        "65 s; fewer than half were followed to their end.",
        advice="Record with --settle 70 to follow the TIME_WAITs begun to their end.",
        source="include/net/tcp.h (TCP_TIMEWAIT_LEN); RFC 9293 section 3.6.1",
    )


def snapshot_failed(view: View) -> Iterator[Finding]:
    """Say that the sockets that were there were not, or not all, asked for."""
    asked = view.recording.final.get("snapshots")
    problems = asked.items() if isinstance(asked, dict) else ()
    evidence = [
        {"snapshot": str(when), "problem": str(problem)} for when, problem in problems if problem
    ]
    if not evidence:
        return
    yield Finding(
        id="snapshot-failed",
        severity=Severity.WARNING,
        title="Connections that made no event are not all in the recording",
        evidence=evidence[:MOST_EVIDENCE],
        why="What was open before the recording and did nothing meanwhile is known only "
        "from the snapshots at its start and end; what they lack is missing here: old "
        "connections, CLOSE_WAIT leaks and TIME_WAITs among it.",
        advice="Record again, as root of the machine itself, for a little longer; "
        "`ss -tan` shows what is there now.",
        source="docs/recording.md (snapshots); man 7 sock_diag",
    )


def probes_missing(view: View) -> Iterator[Finding]:
    """Say what the machine could not be asked for."""
    probes = view.recording.header.get("probes", {})
    missing: dict[tuple[str, str | None], list[str]] = {}
    for probe in PROBES:
        found = probes.get(probe.name)
        if found and not found.get("attached"):
            reason = str(found["reason"]) if found.get("reason") else None
            missing.setdefault((probe.without, reason), []).append(probe.name)
    if not missing:
        return
    yield Finding(
        id="probes-missing",
        severity=Severity.WARNING,
        title="The recorder could not watch everything: "
        f"{several(sum(map(len, missing.values())), 'probe')} not attached",
        evidence=[
            {"not_known": without, "probes": " ".join(names), "reason": reason}
            for (without, reason), names in missing.items()
        ],
        why="What is listed here was not recorded; that none of it is seen below does not "
        "mean that there was none.",
        advice="Run `tcptrace check` on that machine: it says what is missing and the fix.",
        source="docs/recording.md (probes)",
    )


RULES = (events_lost, cut_off, snapshot_failed, probes_missing, time_wait_unjudged)
