"""The trace against the published Trace Event Format, and by the rules of Perfetto's importer."""

import json
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tcptrace.analysis.perfetto import _microseconds, perfetto

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


def imported(found):
    """Take a trace in as Perfetto does: the slices kept and dropped, the flows bound.

    Whole ns, cut off; in the order of time; on each track a slice that overlaps the one
    before it without lying inside it is dropped; a flow binds to the open slice.
    """
    nanoseconds = {id(e): int(e["ts"] * 1000.0) for e in found["traceEvents"] if "ts" in e}
    timed = [event for event in found["traceEvents"] if "ts" in event]
    stacks, kept, dropped, begun, flows = {}, [], [], {}, []
    for event in sorted(timed, key=lambda event: nanoseconds[id(event)]):
        begin, stack = nanoseconds[id(event)], stacks.setdefault(event["tid"], [])
        if event["ph"] == "X":
            end = begin + int(event["dur"] * 1000.0)
            while stack and stack[-1][1] <= begin:
                stack.pop()
            if stack and end > stack[-1][1]:
                dropped.append(event)
                continue
            stack.append((event, end))
            kept.append((event, begin, end))
        elif event["ph"] in "sf":
            assert isinstance(event["id"], int)
            key, top = (event["id"], event["cat"], event["name"]), stack[-1][0]
            if event["ph"] == "s":
                assert key not in begun
                begun[key] = top
            else:
                flows.append((event["name"], begun.pop(key)["name"], top["name"]))
    assert not begun
    return kept, dropped, flows


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
    kept, dropped, _ = imported(trace(CLIENT))
    assert dropped == []
    for (_, _, end), (_, begin, _) in pairwise(kept):
        assert begin == end


def test_perfetto_keeps_every_slice_whatever_its_nanoseconds():
    rows = [
        {
            **CLIENT,
            "opened": 12.0 + place * 1.000_000_007,
            "syn_sent_s": 0.000_123_457 + place * 1e-9,
            "fin_wait_1_s": 0.000_000_003 * place,
            "time_wait_began": None,
            "time_wait_s": None,
        }
        for place in range(1, 300)
    ]
    kept, dropped, _ = imported(trace(*rows))
    assert dropped == []
    assert len(kept) == 4 * len(rows)


def test_a_time_wait_that_is_told_to_begin_early_cuts_the_state_before_it():
    early = {**CLIENT, "time_wait_began": 0.95}
    kept, dropped, _ = imported(trace(early))
    assert dropped == []
    assert [(event["name"], end) for event, _, end in kept][-2:] == [
        ("FIN_WAIT_2", 950_000_000),
        ("TIME_WAIT", 61_750_000_000),
    ]


@given(st.integers(0, 10**15))
def test_perfetto_reads_the_very_nanoseconds(nanoseconds):
    assert int(_microseconds(nanoseconds) * 1000.0) == nanoseconds


def test_times_keep_nanoseconds():
    (first, *_) = of_phase(trace({**CLIENT, "opened": 12.000_000_123}), "X")
    assert int(first["ts"] * 1000.0) == 12_000_000_123
    assert first["ts"] == pytest.approx(12_000_000.123, abs=1e-6)


def test_flows_tie_syn_and_fin_to_what_they_brought_about():
    found = trace(*PAIR)
    starts, ends = of_phase(found, "s"), of_phase(found, "f")
    assert [(event["name"], event["pid"]) for event in starts] == [("SYN", 100), ("FIN", 100)]
    assert [(event["name"], event["pid"]) for event in ends] == [("SYN", 200), ("FIN", 200)]
    assert [event["id"] for event in starts] == [event["id"] for event in ends]


def test_flows_bind_to_the_states_they_tie():
    many = [
        {**end, "conversation": place, "opened": place + opened}
        for place in range(20)
        for end, opened in ((CLIENT, 0.0), (SERVER, 0.0005))
    ]
    _, _, flows = imported(trace(*many))
    assert sorted(set(flows)) == [
        ("FIN", "FIN_WAIT_1", "CLOSE_WAIT"),
        ("SYN", "SYN_SENT", "SYN_RECV"),
    ]
    assert len(flows) == 40


def test_no_flow_goes_back_in_time():
    early = {**PAIR[1], "opened": -0.001, "established_s": 0.95}
    assert [event["name"] for event in of_phase(trace(PAIR[0], early), "s")] == ["FIN"]


def test_a_process_that_changed_its_name_has_both():
    found = of_phase(trace(CLIENT, {**CLIENT, "comm": "wget"}, CLIENT), "M")
    assert found[0]["args"]["name"] == "curl, wget"


def test_one_end_alone_has_no_flow():
    assert of_phase(trace(PAIR[0]), "s") == []


def test_lower_bounds_and_unknown_owners_are_said():
    wait = of_phase(trace(OPEN_WAIT), "X")[-1]
    assert wait["args"]["at_least"] == "goes on"
    assert of_phase(trace(NOBODY), "M")[0]["args"]["name"] == "owner unknown"


def test_hostile_names_stay_inside_their_string():
    found = trace({**CLIENT, "comm": '"},{"ph":"X\x1b\u202e'})
    assert of_phase(found, "M")[0]["args"]["name"] == '"},{"ph":"X\x1b\u202e'
