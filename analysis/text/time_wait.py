"""TIME_WAIT: how many, how long, how they ended."""

from typing import Any

import numpy as np
import pandas as pd
from rich.text import Text

from tcptrace.analysis.ports_in_use import ports_in_use
from tcptrace.analysis.services import endpoint, ephemeral_range, setting
from tcptrace.analysis.text.layout import duration, heading, line, number, sparkline
from tcptrace.analysis.values import rows
from tcptrace.analysis.view import View
from tcptrace.analysis.waiting import waiting_at_once

_SPARK = 48
_ENDS = {
    "expired": "expired",
    "reused_connect": "reused by connect()",
    "reused_syn": "reused by a SYN",
    "reset": "reset",
    "killed": "killed",
}


def section(view: View, summary: dict[str, Any]) -> list[Text]:
    """Show what became of the TIME_WAITs."""
    found = summary["time_wait"]
    if found["began"] is None:
        return [heading("TIME_WAIT"), line("not known: it was not watched, see the findings")]
    if not found["began"] and not found["skipped"]:
        return []
    ways = found["ended"]
    ended = [f"{text} {number(ways[end])}" for end, text in _ENDS.items() if ways[end]]
    ended.append(f"open {number(found['open'])}")
    lines = [
        heading("TIME_WAIT", f"{number(found['began'])} begun"),
        line("ended     " + ", ".join(ended)),
    ]
    if found["began"]:
        lines.append(line("lifetime  " + _lifetime(found)))
        if found["open"] and found["lifetime_s"]["max"] is not None:
            note = '* open ones count as "at least so long" (Kaplan-Meier)'
            lines.append(line(" " * 10 + note, "dim"))
        lines += _population(view, found)
        lines += _limits(view)
    if found["restarts"]:
        lines.append(line(f"restarts  {number(found['restarts'])} (the peer's FIN came again)"))
    if found["skipped"]:
        lines.append(line(f"skipped   {number(found['skipped'])} (tcp_max_tw_buckets reached)"))
    return lines


def _limits(view: View) -> list[Text]:
    """Show what bounds TIME_WAITs: tcp_max_tw_buckets, and the ports they hold."""
    lines = []
    limit = setting(view.recording.header, "tcp_max_tw_buckets")
    if limit is not None:
        lines.append(
            line(f"limit     {number(limit)} (tcp_max_tw_buckets of the namespace recorded from)")
        )
    ephemeral = ephemeral_range(view.recording.header)
    ports = None if ephemeral is None else ports_in_use(view).head(1)
    if ephemeral is not None and ports is not None and len(ports):
        (most,) = rows(ports)
        size = ephemeral[1] - ephemeral[0] + 1
        lines.append(
            line(
                f"ports     at most {number(int(most.peak))} of {number(size)} at once held "
                f"towards {endpoint(most.remote_address, most.remote_port)}"
            )
        )
    return lines


def _lifetime(found: dict[str, Any]) -> str:
    life = found["lifetime_s"]
    if life["max"] is None:
        return "unknown: none was followed to its end"
    text = (
        f"min {duration(life['min'])}, median {duration(life['p50'])}, "
        f"p95 {duration(life['p95'])}, max {duration(life['max'])}"
    )
    return f"{text} *" if found["open"] else text


def _population(view: View, found: dict[str, Any]) -> list[Text]:
    """Draw how many there were at a time, from the recording's start to its end."""
    started, stopped = view.recording.started, view.recording.ended
    steps = waiting_at_once(view)
    text = f"at once   at most {number(found['peak'])}"
    if stopped <= started or found["peak"] < 2:
        return [line(text)]
    edges = pd.date_range(started, stopped, periods=_SPARK + 1)
    place = np.clip(edges.searchsorted(steps.index, side="right") - 1, 0, _SPARK - 1)
    levels = steps.groupby(place).max().reindex(range(_SPARK))
    # Between changes the level stays what it was after the last one.
    last = steps.groupby(place).last().reindex(range(_SPARK)).ffill().shift(fill_value=0)
    drawn = np.fmax(levels.to_numpy(), last.fillna(0).to_numpy())
    return [line(f"{text}  {sparkline(drawn.tolist())}".rstrip())]
