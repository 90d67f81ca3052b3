"""The trace against the published Trace Event Format: phases, fields, nesting, flows."""

import json
from itertools import pairwise

import pytest

from tcptrace.analysis.perfetto import perfetto

from .tables import CLIENT, SERVER, view

PAIR = ({**CLIENT, "conversation": 0}, {**SERVER, "conversation": 0})
OPEN_WAIT = {
    **CLIENT,
    "time_wait_began": 50.0,
    "time_wait_s": 25.0,
    "time_wait_end": "open",
    "censored": "right",
}
NOBODY = {**CLIENT, "pid": None, "comm": None}

#: What the format asks of each phase (Trace Event Format, "Event Descriptions").
FIELDS = {
    "M": {"ph", "name", "pid", "tid", "args"},
    "X": {"ph", "cat", "name", "pid", "tid", "ts", "dur", "args"},
    "s": {"ph", "cat", "name", "id", "pid", "tid", "ts"},
    "f": {"ph", "cat", "name", "id", "pid", "tid", "ts", "bp"},
}


def trace(*rows, **about):
    return json.loads(b"".join(perfetto(view(*rows, **about))))


def of_phase(found, phase):
    return [event for event in found["traceEvents"] if event["ph"] == phase]


@pytest.mark.parametrize("rows", [(), PAIR, (OPEN_WAIT,), (NOBODY,), (*PAIR, OPEN_WAIT, NOBODY)])
def test_every_event_has_the_fields_of_its_phase(rows):
    for event in trace(*rows)["traceEvents"]:
        assert set(event) == FIELDS[event["ph"]]
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert event.get("dur", 0) >= 0


def test_each_owner_is_a_process_and_each_end_a_thread():
    named = {event["pid"]: event["args"]["name"] for event in of_phase(trace(*PAIR), "M")[:2]}
    assert named == {100: "curl", 200: "nginx"}
    threads = [e for e in of_phase(trace(*PAIR), "M") if e["name"] == "thread_name"]
    assert [event["args"]["name"] for event in threads] == [
        "#0 client 10.0.0.2:80",
        "#1 server 10.0.0.1:40001",
    ]


def test_states_follow_each_other_without_overlap():
    slices = of_phase(trace(CLIENT), "X")
    assert [event["name"] for event in slices] == [
        "SYN_SENT",
        "ESTABLISHED",
        "FIN_WAIT_1",
        "FIN_WAIT_2",
        "TIME_WAIT",
    ]
    for before, after in pairwise(slices):
        assert after["ts"] >= before["ts"] + before["dur"] - 0.002


def test_times_keep_nanoseconds():
    (first, *_) = of_phase(trace({**CLIENT, "opened": 12.000_000_123}), "X")
    assert first["ts"] == 12_000_000.123


def test_flows_tie_syn_and_fin_to_what_they_brought_about():
    found = trace(*PAIR)
    starts, ends = of_phase(found, "s"), of_phase(found, "f")
    assert [(event["name"], event["pid"]) for event in starts] == [("SYN", 100), ("FIN", 100)]
    assert [(event["name"], event["pid"]) for event in ends] == [("SYN", 200), ("FIN", 200)]
    assert [event["id"] for event in starts] == [event["id"] for event in ends]


def test_one_end_alone_has_no_flow():
    assert of_phase(trace(PAIR[0]), "s") == []


def test_lower_bounds_and_unknown_owners_are_said():
    wait = of_phase(trace(OPEN_WAIT), "X")[-1]
    assert wait["args"]["at_least"] == "goes on"
    assert of_phase(trace(NOBODY), "M")[0]["args"]["name"] == "owner unknown"


def test_hostile_names_stay_inside_their_string():
    found = trace({**CLIENT, "comm": '"},{"ph":"X\x1b\u202e'})
    assert of_phase(found, "M")[0]["args"]["name"] == '"},{"ph":"X\x1b\u202e'
