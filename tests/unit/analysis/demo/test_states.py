"""State changes of one host, TIME_WAIT included, from hand-made events."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tcptrace.analysis.demo.states import listens, state_changes

HERE, THERE = 4026531840, 4026531841
START = pd.Timestamp("2026-11-20 19:00:00", tz="UTC")


def recording(rows: list[dict[str, Any]], connections: list[dict[str, Any]] | None = None) -> Any:
    defaults = {
        "kind": "state",
        "socket": 1,
        "old_state": "ESTABLISHED",
        "netns": HERE,
        "local_port": 40000,
        "remote_port": 8000,
    }
    events = pd.DataFrame([defaults | row for row in rows])
    events["time"] = START + pd.to_timedelta(events.pop("at"), unit="s")
    columns = ["netns", "role", "local_port", "remote_port", "time_wait_began"]
    table = pd.DataFrame(connections or [], columns=columns)
    table["time_wait_began"] = pd.to_datetime(table["time_wait_began"], utc=True)
    return SimpleNamespace(events=events, connections=table, header={"hz": 250})


def changes(recorded: Any, port: int = 8000) -> list[tuple[float, str, str]]:
    return [
        (round((change.time - START.value) / 1e9, 6), change.state, change.note)
        for change in state_changes(recorded, HERE, "left", port)
    ]


def test_the_close_that_makes_a_timewait_socket_is_no_end() -> None:
    rows = [
        {"at": 0.0, "new_state": "FIN_WAIT_2"},
        {"at": 1.0, "kind": "timewait_start", "new_state": "TIME_WAIT", "socket": 2},
        {"at": 1.000002, "new_state": "CLOSE"},
        {"at": 61.5, "kind": "timewait_cancel", "new_state": "TIME_WAIT", "socket": 2},
        {"at": 61.500002, "kind": "timewait_expire", "new_state": "TIME_WAIT", "socket": 2},
    ]
    assert changes(recording(rows)) == [
        (0.0, "FIN_WAIT_2", ""),
        (1.0, "TIME_WAIT", ""),
        (61.500002, "CLOSE", ""),
    ]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (None, ("CLOSE", "ended early")),
        ("timewait_start", ("TIME_WAIT", "starts anew")),
        ("timewait_reused", ("CLOSE", "a SYN takes its place")),
    ],
)
def test_what_follows_a_cancel_says_what_it_was(
    after: str | None, expected: tuple[str, str]
) -> None:
    rows = [
        {"at": 0.0, "kind": "timewait_start", "new_state": "TIME_WAIT"},
        {"at": 5.0, "kind": "timewait_cancel", "new_state": "TIME_WAIT"},
    ]
    if after:
        rows.append({"at": 5.000002, "kind": after, "new_state": "TIME_WAIT"})
    assert changes(recording(rows))[-1][1:] == expected


def test_a_fin_wait_2_that_becomes_a_smaller_socket_goes_on() -> None:
    rows = [
        {"at": 0.0, "new_state": "FIN_WAIT_2"},
        {"at": 0.000001, "kind": "timewait_start", "new_state": "FIN_WAIT_2", "socket": 2},
        {"at": 0.000002, "new_state": "CLOSE"},
    ]
    assert changes(recording(rows)) == [(0.0, "FIN_WAIT_2", "")]


def test_a_time_wait_that_began_unseen_is_taken_from_the_analysis() -> None:
    rows = [
        {"at": 0.0, "new_state": "FIN_WAIT_2"},
        {"at": 61.0, "kind": "timewait_cancel", "new_state": "TIME_WAIT"},
        {"at": 61.000001, "kind": "timewait_expire", "new_state": "TIME_WAIT"},
    ]
    began = {
        "netns": HERE,
        "role": "client",
        "local_port": 40000,
        "remote_port": 8000,
        "time_wait_began": START + pd.Timedelta(seconds=1),
    }
    found = changes(recording(rows, [began]))
    assert found[1] == (1.0, "TIME_WAIT", "(to 4 ms)")


def test_another_host_and_another_port_are_left_out() -> None:
    rows = [
        {"at": 0.0, "new_state": "FIN_WAIT_1", "netns": THERE},
        {"at": 0.1, "new_state": "FIN_WAIT_1", "remote_port": 8001},
        {"at": 0.2, "new_state": "LISTEN", "local_port": 8000, "remote_port": 0},
    ]
    assert changes(recording(rows)) == []


def test_an_unbound_client_is_known_by_its_next_event() -> None:
    first = {"at": 0.0, "new_state": "SYN_SENT", "old_state": "CLOSE", "local_port": 0}
    rows = [
        first | {"socket": 7},
        {"at": 0.1, "new_state": "ESTABLISHED", "old_state": "SYN_SENT", "socket": 7},
        {"at": 1.0, "new_state": "CLOSE", "socket": 7},
        # The same address again, for another connection that failed.
        first | {"at": 2.0, "socket": 7},
    ]
    assert [state for _, state, _ in changes(recording(rows))] == [
        "SYN_SENT",
        "ESTABLISHED",
        "CLOSE",
    ]


def test_close_in_last_ack_is_no_change() -> None:
    rows = [
        {"at": 0.0, "new_state": "LAST_ACK", "old_state": "CLOSE_WAIT"},
        {"at": 0.1, "new_state": "LAST_ACK", "old_state": "LAST_ACK"},
    ]
    assert changes(recording(rows)) == [(0.0, "LAST_ACK", "")]


def test_a_listener_is_found_by_its_clients_port_too() -> None:
    listen = {"at": 0.0, "new_state": "LISTEN", "local_port": 8000, "remote_port": 0}
    served = {"netns": HERE, "role": "server", "local_port": 8000, "remote_port": 40000}
    recorded = recording([listen], [served])
    assert listens(recorded, HERE, 8000)
    assert listens(recorded, HERE, 40000)
    assert not listens(recorded, HERE, 40001)
    assert not listens(recorded, THERE, 8000)
