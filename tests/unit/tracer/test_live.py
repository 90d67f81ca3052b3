"""The sockets of this moment, from hand-made records."""

import itertools

import numpy as np
import pytest

from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.live import LiveSockets
from tcptrace.tracer.live_view import (
    Rates,
    duration,
    endpoint,
    owner,
    programs,
    top_lines,
    transition_line,
)
from tcptrace.tracer.schema import KIND, STATE

MAPPED = bytes(10) + b"\xff\xff"
HERE, THERE = MAPPED + bytes([10, 0, 0, 1]), MAPPED + bytes([10, 0, 0, 2])
MS = 1_000_000


class Script:
    """Writes records one after the other, 1 ms apart."""

    def __init__(self):
        self.clock = itertools.count(1)
        self.rows = []

    def add(self, kind, old, new, *, socket=1, pid=7, comm=b"bystander", **changed):
        row = np.zeros(1, EVENT)
        row["kind"], row["old_state"], row["new_state"] = KIND[kind], STATE[old], STATE[new]
        row["socket"], row["pid"], row["comm"] = socket, pid, comm
        row["local_address"], row["remote_address"] = HERE, THERE
        row["local_port"], row["remote_port"] = 40000, 80
        row["netns"], row["time"] = 1, next(self.clock) * MS
        for name, value in changed.items():
            row[name] = value
        self.rows.append(row)
        return self

    def state(self, old, new, **changed):
        return self.add("state", old, new, **changed)

    def timer(self, kind, state="TIME_WAIT", **changed):
        return self.add(f"timewait_{kind}", state, state, socket=99, **changed)

    def told(self, live=None, now=None):
        live = live or LiveSockets()
        found = list(live.push(np.concatenate(self.rows)))
        return found + list(live.settle(now or 10**12))


def client_closes():
    script = Script()
    script.state("CLOSE", "SYN_SENT", pid=42, comm=b"curl", local_port=0)
    script.state("SYN_SENT", "ESTABLISHED")
    script.state("ESTABLISHED", "FIN_WAIT_1", pid=42, comm=b"curl")
    script.state("FIN_WAIT_1", "FIN_WAIT_2")
    script.timer("start")
    script.state("FIN_WAIT_2", "CLOSE")
    return script


def moves(told):
    return [(each.old, each.new) for each in told]


def test_an_active_close_ends_in_time_wait_not_in_close():
    assert moves(client_closes().told()) == [
        ("CLOSE", "SYN_SENT"),
        ("SYN_SENT", "ESTABLISHED"),
        ("ESTABLISHED", "FIN_WAIT_1"),
        ("FIN_WAIT_1", "FIN_WAIT_2"),
        ("FIN_WAIT_2", "TIME_WAIT"),
    ]


def test_the_owner_is_who_connected_not_the_bystander():
    assert {(each.comm, each.pid) for each in client_closes().told()} == {("curl", 42)}


def test_the_owner_of_a_time_wait_is_known_to_its_end():
    told = client_closes().timer("cancel").timer("expire").told()
    assert (told[-1].comm, told[-1].note, told[-1].new) == ("curl", "expired", "CLOSE")


def test_a_cancel_alone_is_an_early_end_and_a_new_start_is_none():
    assert client_closes().timer("cancel").told()[-1].note == "ended early"
    again = client_closes().timer("cancel").timer("start").told()[-1]
    assert (again.new, "came again" in again.note) == ("TIME_WAIT", True)


def test_fin_wait_2_mini_sockets_are_no_time_wait():
    script = client_closes()
    script.rows[-2]["old_state"] = script.rows[-2]["new_state"] = STATE["FIN_WAIT_2"]
    live = LiveSockets()
    assert moves(script.told(live))[-1] == ("FIN_WAIT_1", "FIN_WAIT_2")
    assert [socket.state for socket in live.everything()] == ["FIN_WAIT_2"]
    told = Script().timer("cancel", "FIN_WAIT_2").timer("start").told(live)
    assert moves(told) == [("FIN_WAIT_2", "TIME_WAIT")]


def test_a_time_wait_that_began_unseen_is_told_at_its_end_without_a_duration():
    script = client_closes()
    script.rows[-2]["old_state"] = script.rows[-2]["new_state"] = STATE["FIN_WAIT_2"]
    live = LiveSockets()
    script.told(live)
    told = Script().timer("cancel").timer("expire").told(live)
    assert moves(told) == [("FIN_WAIT_2", "TIME_WAIT"), ("TIME_WAIT", "CLOSE")]
    assert [each.lasted_ns for each in told] == [None, None]
    assert told[0].note == "some time before: it made no event"
    assert list(live.everything()) == []


def test_an_accepted_socket_has_its_listeners_name_until_its_owner_acts():
    script = Script()
    script.state("CLOSE", "LISTEN", socket=5, pid=9, comm=b"nginx", local_port=80)
    script.state("LISTEN", "SYN_RECV", local_port=80)
    script.state("SYN_RECV", "ESTABLISHED", local_port=80)
    script.state("ESTABLISHED", "CLOSE_WAIT", local_port=80)
    script.state("CLOSE_WAIT", "LAST_ACK", local_port=80, pid=10, comm=b"worker")
    assert [(each.comm, each.pid) for each in script.told()] == [
        ("nginx", None),
        ("nginx", None),
        ("nginx", None),
        ("worker", 10),
    ]


def test_the_first_time_of_an_older_socket_is_unknown():
    (first,) = Script().state("ESTABLISHED", "CLOSE_WAIT").told()
    assert first.lasted_ns is None
    assert first.comm is None


def test_a_snapshot_names_the_owners_of_what_has_done_nothing():
    live = LiveSockets()
    existing = Script().add("existing", "CLOSE_WAIT", "CLOSE_WAIT", socket=0, pid=3, comm=b"leaky")
    existing.told(live)
    live.snapshot_done()
    assert [(socket.state, socket.comm) for socket in live.everything()] == [
        ("CLOSE_WAIT", "leaky")
    ]
    (told,) = Script().state("CLOSE_WAIT", "LAST_ACK", pid=3, comm=b"leaky").told(live)
    assert (told.pid, told.lasted_ns) == (3, None)
    assert len(list(live.everything())) == 1


def test_what_ended_before_the_snapshot_came_is_not_raised_by_it():
    live = LiveSockets()
    Script().state("ESTABLISHED", "CLOSE").told(live)
    Script().add("existing", "ESTABLISHED", "ESTABLISHED", socket=0).told(live)
    assert list(live.everything()) == []


def test_nothing_is_left_once_all_is_over():
    live = LiveSockets()
    client_closes().timer("cancel").timer("expire").told(live)
    assert list(live.everything()) == []
    assert not live._last_by_key


@pytest.mark.parametrize(
    ("comm", "pid", "shown"),
    [("curl", 42, "curl[42]"), ("nginx", None, "(nginx)"), (None, None, "?")],
)
def test_owners_say_how_sure_they_are(comm, pid, shown):
    assert owner(comm, pid) == shown


def test_a_line_says_when_who_between_whom_and_how_long():
    told = client_closes().told()[-1]
    assert transition_line(told, 0) == (
        "00:00:00.005000  curl[42]              10.0.0.1:40000 10.0.0.2:80  "
        "FIN_WAIT_2 -> TIME_WAIT  after 1.0 ms"
    )


def test_hostile_names_reach_no_terminal():
    script = Script().state("CLOSE", "SYN_SENT", comm=b"\x1b[31m\xe2\x80\xae")
    assert transition_line(script.told()[0], 0).isprintable()


def test_addresses_and_durations():
    assert endpoint(HERE, 80) == "10.0.0.1:80"
    assert endpoint(HERE, 0) == "10.0.0.1:?"
    assert endpoint(bytes(15) + b"\x01", 80) == "[::1]:80"
    assert [duration(n) for n in (900, 1_500_000, 61_000_000_000)] == ["0.9 us", "1.5 ms", "61.0 s"]


def test_top_counts_per_program_and_sorts_by_the_key():
    live, rates = LiveSockets(), Rates()
    for told in client_closes().told(live):
        rates.take(told)
    leak = Script().add("existing", "CLOSE_WAIT", "CLOSE_WAIT", remote_port=81, comm=b"leaky")
    leak.told(live)
    assert [each.name for each in programs(live, rates, "TIME_WAIT")] == ["curl", "leaky"]
    assert [each.name for each in programs(live, rates, "CLOSE_WAIT")] == ["leaky", "curl"]
    assert rates.closes == {"curl": 1}


@pytest.mark.parametrize("height", [1, 5, 50])
def test_top_fits_the_screen(height):
    live, rates = LiveSockets(), Rates()
    for port in range(30):
        Script().add(
            "existing", "CLOSE_WAIT", "CLOSE_WAIT", remote_port=port, comm=f"p{port}".encode()
        ).told(live)
    lines = top_lines(
        live,
        rates,
        before=(0, 0),
        elapsed=1.0,
        lost=0,
        now=10**9,
        sort_by="TIME_WAIT",
        height=height,
    )
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) <= max(height, 6)
