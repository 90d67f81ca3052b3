"""Connections as a trace that Perfetto's UI (ui.perfetto.dev) opens.

The Trace Event Format, JSON object form: a process per owner, a thread per
connection's end, a complete event (``X``) per state, flow events (``s``, ``f``)
between the two ends. Times are microseconds into the recording, such that Perfetto
makes of them the very nanoseconds: it drops a slice that begins 1 ns before the one
before it ended, and a flow that begins where no slice is or whose id is no number
(src/trace_processor/importers: json, common/slice_tracker.cc, common/flow_tracker.cc).
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tcptrace.analysis.services import endpoint
from tcptrace.analysis.steps import CLOSED, Step, steps
from tcptrace.analysis.values import rows, text_or_none
from tcptrace.analysis.view import View

#: No process has this number (PID_MAX_LIMIT, 2**22): the ends of unknown owner.
_NOBODY = (1 << 22) + 1

#: Above all process numbers, which Perfetto would take for main threads.
_FIRST_THREAD = 10_000_000

#: From a state of one end to the state it brings about at the other.
_FLOWS = {("SYN_SENT", "SYN_RECV"): "SYN", ("FIN_WAIT_1", "CLOSE_WAIT"): "FIN"}

Event = dict[str, Any]


@dataclass(frozen=True)
class _Slice:
    """A state as it is drawn: ``began`` and ``ended`` in ns, never before one another."""

    began: int
    ended: int
    step: Step


def perfetto(view: View) -> Iterator[bytes]:
    """Write the trace piece by piece: one JSON object in the end."""
    about = {
        "host": view.recording.header.get("host"),
        "kernel": view.recording.header.get("kernel"),
        "started": str(view.recording.started),
    }
    head = json.dumps(about)
    yield f'{{"displayTimeUnit":"ns","otherData":{head},"traceEvents":[\n'.encode()
    separator = ""
    for event in _events(view):
        yield f"{separator}{json.dumps(event, separators=(',', ':'))}".encode()
        separator = ",\n"
    yield b"\n]}\n"


def _events(view: View) -> Iterator[Event]:
    connections = view.connections
    yield from _processes(connections)
    waiting: dict[int, tuple[Any, list[_Slice]]] = {}
    pairs = set(connections["conversation"][connections["conversation"].duplicated()].dropna())
    for row in rows(connections):
        drawn = _slices(steps(row, view.recording.started))
        yield from _end(row, drawn)
        if row.conversation in pairs:
            other = waiting.pop(int(row.conversation), None)
            if other is None:
                waiting[int(row.conversation)] = (row, drawn)
            else:
                yield from _flows(other, (row, drawn))


def _processes(connections: pd.DataFrame) -> Iterator[Event]:
    owners = connections[["pid", "comm"]].drop_duplicates()
    names: dict[int, list[str]] = {}
    for row in rows(owners):
        name = "owner unknown" if pd.isna(row.pid) else text_or_none(row.comm) or "?"
        names.setdefault(_process(row), []).append(name)
    for process, called in names.items():
        # A program can call itself anything, and change it.
        yield _named("process_name", process, 0, ", ".join(dict.fromkeys(called)))


def _slices(found: list[Step]) -> list[_Slice]:
    """Place the states one after the other; where two overlap, the later one begins."""
    ended = [round((step.time + step.seconds) * 1e9) for step in found]
    began = [round(step.time * 1e9) for step in found]
    after = [*began[1:], max([*ended, 0])][: len(began)]
    return [
        _Slice(begin, max(begin, min(end, follower)), step)
        for begin, end, follower, step in zip(began, ended, after, found, strict=True)
        if step.state != CLOSED
    ]


def _end(row: Any, drawn: list[_Slice]) -> Iterator[Event]:
    process, thread = _process(row), _thread(row)
    peer = endpoint(row.remote_address, row.remote_port)
    name = f"#{row.connection} {text_or_none(row.role) or 'unknown'} {peer}"
    yield _named("thread_name", process, thread, name)
    for each in drawn:
        event: Event = {
            "ph": "X",
            "cat": "tcp",
            "name": each.step.state,
            "pid": process,
            "tid": thread,
            "ts": _microseconds(each.began),
            "dur": _microseconds(each.ended - each.began),
            "args": {
                "local": endpoint(row.local_address, row.local_port),
                "remote": peer,
                "outcome": text_or_none(row.outcome),
                "closed_by": text_or_none(row.closed_by),
            },
        }
        if each.step.bound:
            event["args"]["at_least"] = "before the recording" if each.step.older else "goes on"
        if each.step.state == "TIME_WAIT":
            event["args"]["end"] = text_or_none(row.time_wait_end)
        yield event


def _flows(*ends: tuple[Any, list[_Slice]]) -> Iterator[Event]:
    """Tie what one end did to what it brought about at the other."""
    for (cause, effect), segment in _FLOWS.items():
        for (source, from_slices), (target, to_slices) in (ends, ends[::-1]):
            start = next((each for each in from_slices if each.step.state == cause), None)
            end = next((each for each in to_slices if each.step.state == effect), None)
            if start is None or end is None or start.step.older or end.step.older:
                continue
            # No effect before its cause, where a clock or the order of events says so.
            if end.began < start.began:
                continue
            # Perfetto tells flows apart by this number and the name.
            common = {"cat": "tcp", "name": segment, "id": int(source.conversation)}
            for phase, row, each in (("s", source, start), ("f", target, end)):
                yield {
                    "ph": phase,
                    **common,
                    "pid": _process(row),
                    "tid": _thread(row),
                    "ts": _microseconds(each.began),
                    **({"bp": "e"} if phase == "f" else {}),
                }


def _named(what: str, process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}


def _process(row: Any) -> int:
    return _NOBODY if pd.isna(row.pid) else int(row.pid)


def _thread(row: Any) -> int:
    return _FIRST_THREAD + int(row.connection)


def _microseconds(nanoseconds: int) -> float:
    """Give the number that Perfetto's ``int(number * 1000.0)`` makes these ns of."""
    found = nanoseconds / 1000
    return found if int(found * 1000.0) == nanoseconds else math.nextafter(found, math.inf)
