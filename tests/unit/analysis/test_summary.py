import json

import pandas as pd

from tcptrace.analysis.sanitize import to_json
from tcptrace.analysis.summary import summarise

from .tables import CLIENT, SERVER, events, view

OPEN_WAIT = {
    **CLIENT,
    "local_port": 40002,
    "time_wait_began": 50.0,
    "closed": 50.0,
    "time_wait_s": 25.0,
    "time_wait_end": "open",
    "time_wait_restarts": 2,
    "censored": "right",
}
NO_WAIT = {"time_wait_began": None, "time_wait_s": None, "time_wait_end": None}
REFUSED = {
    **CLIENT,
    **NO_WAIT,
    "outcome": "refused",
    "closed_by": None,
    "established": None,
    "established_s": None,
}
LEAK = {
    **SERVER,
    "outcome": "open",
    "state": "CLOSE_WAIT",
    "close_wait_s": 66.2,
    "last_ack_s": None,
    "closed": None,
    "closed_by": None,
    "censored": "right",
}
UNSEEN = {**CLIENT, **NO_WAIT, "outcome": "unknown", "closed_by": None}


def test_the_object_has_exactly_the_documented_keys():
    found = summarise(view(CLIENT, SERVER, LEAK))
    assert list(found) == [
        "schema",
        "recording",
        "connections",
        "closed_by",
        "active_closers",
        "time_wait",
        "close_wait",
        "states",
        "findings",
        "completeness",
    ]
    assert found["schema"] == 1
    assert set(found["recording"]) == {
        "host",
        "kernel",
        "started",
        "ended",
        "duration_s",
        "events",
        "lost",
        "complete",
    }
    assert set(found["connections"]) == {
        "total",
        "open",
        "finished",
        "reset",
        "refused",
        "timed_out",
    }
    assert set(found["closed_by"]) == {"local", "remote", "both", "unknown"}
    assert set(found["active_closers"][0]) == {
        "comm",
        "role",
        "remote_service",
        "local_port",
        "closes",
        "time_wait",
    }
    assert set(found["time_wait"]) == {
        "began",
        "skipped",
        "ended",
        "open",
        "peak",
        "restarts",
        "lifetime_s",
    }
    assert set(found["time_wait"]["ended"]) == {
        "expired",
        "reused_connect",
        "reused_syn",
        "reset",
        "killed",
    }
    assert set(found["time_wait"]["lifetime_s"]) == {"min", "p50", "p95", "max"}
    assert set(found["close_wait"]) == {"now", "longest_s", "leaks"}
    assert all(
        set(state) == {"count", "p50_s", "p95_s", "max_s"} for state in found["states"].values()
    )
    assert {"id", "severity", "title", "evidence", "advice"} <= set(found["findings"][0])


def test_every_count_is_right_and_plain_json():
    found = summarise(view(CLIENT, SERVER, OPEN_WAIT, REFUSED, LEAK, UNSEEN))
    found = json.loads(to_json(found))
    assert found["recording"]["started"] == "2026-11-20T19:00:00.000000000Z"
    assert found["recording"]["duration_s"] == 75
    assert found["connections"] == {
        "total": 6,
        "open": 1,
        "finished": 3,
        "reset": 0,
        "refused": 1,
        "timed_out": 0,
    }
    assert found["closed_by"] == {"local": 2, "remote": 1, "both": 0, "unknown": 1}
    assert found["time_wait"]["began"] == 2
    assert found["time_wait"]["ended"]["expired"] == 1
    assert found["time_wait"]["open"] == 1
    assert found["time_wait"]["peak"] == 2
    assert found["time_wait"]["restarts"] == 2
    assert found["time_wait"]["lifetime_s"] == dict.fromkeys(("min", "p50", "p95", "max"), 60.8)
    assert found["close_wait"]["now"] == 1
    assert found["close_wait"]["longest_s"] == 66.2
    leak = found["close_wait"]["leaks"][0]
    assert (leak["comm"], leak["pid"], leak["remote"], leak["age_s"]) == (
        "nginx",
        200,
        "10.0.0.1:40001",
        66.2,
    )


def test_what_never_came_to_be_was_closed_by_nobody():
    no_port = {**REFUSED, "outcome": "unknown", "censored": "none"}
    older = {**UNSEEN, "established": None, "censored": "left"}
    assert summarise(view(no_port, older))["closed_by"]["unknown"] == 1


def test_closers_are_grouped_by_the_service_not_by_each_clients_port():
    closing_server = {**SERVER, "closed_by": "local", "time_wait_began": 1.0}
    rows = [{**closing_server, "remote_port": port} for port in (40001, 40002, 40003)]
    found = summarise(view(*rows, CLIENT))["active_closers"]
    assert [
        (row["comm"], row["local_port"], row["remote_service"], row["closes"]) for row in found
    ] == [
        ("nginx", 80, "10.0.0.1:*", 3),
        ("curl", None, "10.0.0.2:80", 1),
    ]


def test_lifetimes_are_unknown_while_all_are_open():
    found = summarise(view(OPEN_WAIT))["time_wait"]
    assert found["lifetime_s"] == dict.fromkeys(("min", "p50", "p95", "max"))


def test_an_empty_recording_gives_zeros_and_nulls():
    found = json.loads(to_json(summarise(view(events=events(0)))))
    assert found["connections"]["total"] == 0
    assert found["time_wait"]["peak"] == 0
    assert found["close_wait"] == {"now": 0, "longest_s": None, "leaks": []}
    assert found["states"] == {}


def test_a_recording_that_knows_no_time_gives_null():
    found = summarise(view(started=pd.NaT, ended=pd.NaT, events=events(0)))["recording"]
    assert (found["started"], found["ended"], found["duration_s"]) == (None, None, None)


def test_inputs_are_not_changed():
    seen = view(CLIENT, SERVER, OPEN_WAIT, LEAK)
    before = seen.connections.copy(), seen.time_wait.copy()
    summarise(seen)
    pd.testing.assert_frame_equal(seen.connections, before[0])
    pd.testing.assert_frame_equal(seen.time_wait, before[1])
