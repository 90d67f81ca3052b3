"""What was recorded against what the kernel itself counted meanwhile."""

from typing import Any

import numpy as np
import pandas as pd

from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.order import order_within
from tcptrace.analysis.view import Slice, View, per_slice
from tcptrace.analysis.watched import TIMEWAIT_COUNTERS, lacks, time_wait_watched
from tcptrace.tracer.schema import KIND

#: A re-arm of a timewait socket's timer is a cancel and a start within one function
#: (inet_twsk_reschedule); the kernel counts the first start only. ns
_REARM = 1_000_000

#: Counter -> the MIB names whose growth it is (/proc/net/snmp, /proc/net/netstat).
_COUNTERS = {
    "active_opens": ("ActiveOpens",),
    "passive_opens": ("PassiveOpens",),
    "estab_resets": ("EstabResets",),
    "timewait_sockets": ("TW", "TWKilled"),
    "time_wait_reused_connect": ("TWRecycled",),
    "time_wait_skipped": ("TCPTimeWaitOverflow",),
}
#: Those that only timewait sockets' timers tell.
_OF_TIME_WAIT = ("timewait_sockets", "time_wait_reused_connect", "time_wait_skipped")


def completeness(view: View) -> dict[str, Any]:
    """Compare with the kernel's counters, of the network namespace recorded from.

    ``lost``: events the kernel made that are not in the file. ``counters``: per
    counter what was ``recorded`` there and what the ``kernel`` counted; None where
    unknown: the counters or the namespace are not in the file, an older kernel counts
    TIME_WAITs only as they end, or filters left
    connections out on purpose (``filtered``); ``comparable`` says if they can be.
    """
    recording = view.recording
    netns = recording.header.get("netns")
    # A recording of that namespace alone leaves out nothing that its counters count.
    filtered = recording.header.get("filters") not in (None, {}, {"netns": [netns]})
    filtered |= bool(view.filters)
    comparable = not filtered and netns is not None
    kernel = _kernel_counts(recording.header.get("mib"), recording.final.get("mib"))
    recorded: dict[str, int | None] = dict.fromkeys(_COUNTERS)
    if comparable and netns is not None:
        slices = _recorded_counts(view)
        recorded |= {name: sum(each[name] for each in slices) for name in slices[0]}
        recorded["estab_resets"] = recording.found.broken[int(netns)]
    if lacks(recording.header, TIMEWAIT_COUNTERS):
        kernel["timewait_sockets"] = None  # what it counts are those that expired
    if not time_wait_watched(recording.header):
        recorded |= dict.fromkeys(_OF_TIME_WAIT)
    return {
        "lost": int(recording.lost),
        "filtered": filtered,
        "comparable": comparable,
        "counters": {
            name: {"recorded": recorded[name], "kernel": kernel[name]} for name in _COUNTERS
        },
    }


def _kernel_counts(before: Any, after: Any) -> dict[str, int | None]:
    first, last = _flat(before), _flat(after)
    return {
        name: sum(last[mib] - first[mib] for mib in mibs)
        if all(mib in first and mib in last for mib in mibs)
        else None
        for name, mibs in _COUNTERS.items()
    }


def _flat(mib: Any) -> dict[str, int]:
    """Read counters as ``{"TcpExt": {"TW": 1}}``, ``{"TcpExt": ...}`` or ``{"TW": 1}``."""
    counters: dict[str, int] = {}
    for name, value in mib.items() if isinstance(mib, dict) else ():
        if isinstance(value, dict):
            counters |= _flat(value)
        elif isinstance(value, int):
            counters[name.split(".")[-1]] = value
    return counters


@per_slice
def _recorded_counts(part: Slice) -> dict[str, int]:
    """Count what the kernel's counters count, but for ``estab_resets``."""
    netns = part.recording.header.get("netns")
    # When they were read last: what comes while settling is not in them.
    until = part.recording.observed.settling
    connections = part.connections
    names = ["netns", "opened", "role", "time_wait_began", "time_wait_s", "time_wait_end"]
    ours = connections[names]
    ours = ours[(ours["netns"] == netns).fillna(False).astype(bool)]
    end = pd.Timestamp(until, tz="UTC")
    opened = ours["opened"] <= end
    reused = ours[ours["time_wait_end"] == "reused_connect"]
    later = reused["time_wait_began"] + pd.to_timedelta(reused["time_wait_s"], unit="s") > end
    return {
        "active_opens": int((opened & (ours["role"] == "client")).sum()),
        "passive_opens": int((opened & (ours["role"] == "server")).sum()),
        "timewait_sockets": _timewait_sockets(part.events, netns, until),
        "time_wait_reused_connect": int((~later).sum()),
        "time_wait_skipped": int((ours["time_wait_end"] == "skipped").sum()),
    }


def _timewait_sockets(events: EventArrays, netns: object, until: int) -> int:
    """Count the timewait sockets made, sub-state FIN_WAIT_2 included, re-arms not."""
    starts = events.kind == KIND["timewait_start"]
    timers = starts | (events.kind == KIND["timewait_cancel"])
    rows = np.flatnonzero(timers & (events.netns == netns) & (events.time <= until))
    rows = rows[order_within(events.socket.take(rows), events.time.take(rows))]
    again = np.flatnonzero(starts[rows[1:]] & ~starts[rows[:-1]])
    one, other = rows[again], rows[again + 1]
    rearmed = events.time[other] - events.time[one] < _REARM
    for column in (events.socket, events.local_port, events.remote_port):
        rearmed &= column[one] == column[other]
    return int(starts.take(rows).sum() - rearmed.sum())
