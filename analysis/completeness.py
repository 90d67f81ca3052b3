"""What was recorded against what the kernel itself counted meanwhile."""

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tcptrace.analysis.filters import View
from tcptrace.analysis.watched import time_wait_watched

#: A re-arm of a timewait socket's timer is a cancel and a start within one function
#: (inet_twsk_reschedule); the kernel counts the first start only.
_REARM_SECONDS = 0.001

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
    unknown: the counters or the namespace are not in the file, or filters left
    connections out on purpose (``filtered``); ``comparable`` says if they can be.
    """
    recording = view.recording
    netns = recording.header.get("netns")
    # A recording of that namespace alone leaves out nothing that its counters count.
    filtered = recording.header.get("filters") not in (None, {}, {"netns": [netns]})
    filtered |= bool(view.filters)
    comparable = not filtered and netns is not None
    kernel = _kernel_counts(recording.header.get("mib"), recording.final.get("mib"))
    recorded = (
        _recorded_counts(recording.table, recording.connections, int(netns))
        if comparable and netns is not None
        else dict.fromkeys(_COUNTERS)
    )
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


def _recorded_counts(
    table: pa.Table, connections: pd.DataFrame, netns: int
) -> dict[str, int | None]:
    here = pc.equal(table["netns"], netns)
    broken = pc.and_(
        pc.is_in(table["old_state"], pa.array(["ESTABLISHED", "CLOSE_WAIT"])),
        pc.and_(pc.equal(table["kind"], "state"), pc.equal(table["new_state"], "CLOSE")),
    )
    ours = connections[(connections["netns"] == netns).fillna(False).astype(bool)]
    opened = ours["opened"].notna()
    return {
        "active_opens": int((opened & (ours["role"] == "client")).sum()),
        "passive_opens": int((opened & (ours["role"] == "server")).sum()),
        "estab_resets": int(pc.sum(pc.and_(here, broken)).as_py() or 0),
        "timewait_sockets": _timewait_sockets(table.filter(here)),
        "time_wait_reused_connect": int((ours["time_wait_end"] == "reused_connect").sum()),
        "time_wait_skipped": int((ours["time_wait_end"] == "skipped").sum()),
    }


def _timewait_sockets(table: pa.Table) -> int:
    """Count the timewait sockets made, sub-state FIN_WAIT_2 included, re-arms not."""
    chosen = pc.is_in(table["kind"], pa.array(["timewait_start", "timewait_cancel"]))
    columns = ["time", "kind", "socket", "local_port", "remote_port"]
    timers = table.select(columns).filter(chosen).unify_dictionaries().to_pandas()
    timers = timers.sort_values(["socket", "time"], kind="stable")
    previous = timers.shift()
    rearmed = (
        (previous["kind"] == "timewait_cancel")
        & (previous["socket"] == timers["socket"])
        & (previous["remote_port"] == timers["remote_port"])
        & (previous["local_port"] == timers["local_port"])
        & ((timers["time"] - previous["time"]).dt.total_seconds() < _REARM_SECONDS)
    )
    return int(((timers["kind"] == "timewait_start") & ~rearmed).sum())
