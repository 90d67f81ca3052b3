"""Connections as a trace that Perfetto's UI (ui.perfetto.dev) opens.

The Trace Event Format, JSON object form: a process per owner, a thread per
connection's end, a complete event (``X``) per state, flow events (``s``, ``f``)
between the two ends. Times are microseconds into the recording.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from tcptrace.analysis.filters import View
from tcptrace.analysis.services import endpoint
from tcptrace.analysis.steps import CLOSED, Step, steps
from tcptrace.analysis.values import rows, text_or_none

#: No process has this number (PID_MAX_LIMIT, 2**22): the ends of unknown owner.
_NOBODY = (1 << 22) + 1

#: Above all process numbers, which Perfetto would take for main threads.
_FIRST_THREAD = 10_000_000

#: From a state of one end to the state it brings about at the other.
_FLOWS = {("SYN_SENT", "SYN_RECV"): "SYN", ("FIN_WAIT_1", "CLOSE_WAIT"): "FIN"}

Event = dict[str, Any]


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
    waiting: dict[int, list[tuple[Any, list[Step]]]] = {}
    pairs = set(connections["conversation"][connections["conversation"].duplicated()].dropna())
    for row in rows(connections):
        found = steps(row, view.recording.started)
        yield from _slices(row, found)
        if row.conversation in pairs:
            ends = waiting.setdefault(int(row.conversation), [])
            ends.append((row, found))
            if len(ends) == 2:
                yield from _flows(int(row.conversation), waiting.pop(int(row.conversation)))


def _processes(connections: pd.DataFrame) -> Iterator[Event]:
    owners = connections[["pid", "comm"]].drop_duplicates("pid")
    for row in rows(owners):
        name = "owner unknown" if pd.isna(row.pid) else text_or_none(row.comm) or "?"
        yield _named("process_name", _process(row), 0, name)


def _slices(row: Any, found: Iterable[Step]) -> Iterator[Event]:
    process, thread = _process(row), _thread(row)
    peer = endpoint(row.remote_address, row.remote_port)
    name = f"#{row.connection} {text_or_none(row.role) or 'unknown'} {peer}"
    yield _named("thread_name", process, thread, name)
    for step in found:
        if step.state == CLOSED:
            continue
        event: Event = {
            "ph": "X",
            "cat": "tcp",
            "name": step.state,
            "pid": process,
            "tid": thread,
            "ts": _microseconds(step.time),
            "dur": _microseconds(step.seconds),
            "args": {
                "local": endpoint(row.local_address, row.local_port),
                "remote": peer,
                "outcome": text_or_none(row.outcome),
                "closed_by": text_or_none(row.closed_by),
            },
        }
        if step.bound:
            event["args"]["at_least"] = "before the recording" if step.older else "goes on"
        if step.state == "TIME_WAIT":
            event["args"]["end"] = text_or_none(row.time_wait_end)
        yield event


def _flows(conversation: int, ends: list[tuple[Any, list[Step]]]) -> Iterator[Event]:
    """Tie what one end did to what it brought about at the other."""
    for (cause, effect), segment in _FLOWS.items():
        for (source, from_steps), (target, to_steps) in (ends, ends[::-1]):
            start = next((step for step in from_steps if step.state == cause), None)
            end = next((step for step in to_steps if step.state == effect), None)
            if start is None or end is None or start.older or end.older:
                continue
            common = {"cat": "tcp", "name": segment, "id": f"{segment}-{conversation}"}
            for phase, row, step in (("s", source, start), ("f", target, end)):
                yield {
                    "ph": phase,
                    **common,
                    "pid": _process(row),
                    "tid": _thread(row),
                    "ts": _microseconds(step.time),
                    **({"bp": "e"} if phase == "f" else {}),
                }


def _named(what: str, process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}


def _process(row: Any) -> int:
    return _NOBODY if pd.isna(row.pid) else int(row.pid)


def _thread(row: Any) -> int:
    return _FIRST_THREAD + int(row.connection)


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e6, 3)
