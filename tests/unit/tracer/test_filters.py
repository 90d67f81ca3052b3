"""Filters while recording keep connections whole: every event of one, or none."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcptrace.tracer.filters import ConnectionFilter
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.schema import KIND
from tcptrace.tracer.selection import Selection

from .events import NETNS, End, batch, packed

CLIENT = End(socket=0x1000, pid=100, comm="curl")
SERVER = End(
    socket=0x2000,
    local="10.0.0.2",
    local_port=80,
    remote="10.0.0.1",
    remote_port=40000,
    pid=200,
    comm="nginx",
)


def network(text: str) -> Selection:
    return Selection(address=(ipaddress.ip_network(text),))


def push_all(wanted: Selection, *batches: np.ndarray, held_rows: int = 10**6) -> np.ndarray:
    keep = ConnectionFilter(wanted, held_rows)
    return np.concatenate([*(keep.push(one) for one in batches), keep.drain()])


def one_by_one(events: np.ndarray) -> list[np.ndarray]:
    return [events[i : i + 1] for i in range(len(events))]


def same(got: np.ndarray, wanted: np.ndarray) -> bool:
    """The same events, each socket's in the same order."""
    got, wanted = (rows[np.argsort(rows["socket"], kind="stable")] for rows in (got, wanted))
    return bool(np.array_equal(got, wanted))


WHOLE_CLIENT = batch(
    CLIENT.opens(0), CLIENT.closes_first(10), CLIENT.timewait(12, "start"), CLIENT.gone(13)
)
WHOLE_SERVER = batch(SERVER.is_accepted(2), SERVER.closes_second(11))
BOTH = np.sort(np.concatenate([WHOLE_CLIENT, WHOLE_SERVER]), order="time", kind="stable")


@pytest.mark.parametrize("pieces", [lambda events: [events], one_by_one])
@pytest.mark.parametrize(
    ("wanted", "client", "server"),
    [
        (Selection(port=(80,)), True, True),
        (Selection(port=(81,)), False, False),
        (Selection(local_port=(40000,)), True, False),
        (Selection(local_port=(80,)), False, True),
        (Selection(remote_port=(80,)), True, False),
        (Selection(remote_port=(80, 40000)), True, True),
        (network("10.0.0.0/31"), True, True),
        (network("10.0.0.2/32"), True, True),
        (network("10.0.0.3/32"), False, False),
        (network("0.0.0.0/0"), True, True),
        (network("::/0"), True, True),
        (network("fd00::/8"), False, False),
        (Selection(pid=(100,)), True, False),
        (Selection(comm=("nginx",)), False, True),
        (Selection(comm=("curl", "nginx")), True, True),
        (Selection(comm=("bystander",)), False, False),
        (Selection(pid=(999,)), False, False),
        (Selection(netns=(NETNS,)), True, True),
        (Selection(netns=(NETNS + 1,)), False, False),
        (Selection(family=(4,)), True, True),
        (Selection(family=(6,)), False, False),
        (Selection(port=(80,), comm=("curl",)), True, False),
        (Selection(local_port=(80,), comm=("curl",)), False, False),
    ],
    ids=str,
)
def test_each_filter_keeps_whole_connections(
    wanted: Selection, client: bool, server: bool, pieces: object
) -> None:
    assert callable(pieces)
    kept = [one for one, is_kept in ((WHOLE_CLIENT, client), (WHOLE_SERVER, server)) if is_kept]
    expected = np.concatenate([np.empty(0, EVENT), *kept])
    assert same(push_all(wanted, *pieces(BOTH)), expected)


def test_clients_first_event_waits_for_its_port() -> None:
    keep = ConnectionFilter(Selection(local_port=(40000,)))
    first, second = one_by_one(batch(CLIENT.opens(0)))
    assert len(keep.push(first)) == 0
    assert same(keep.push(second), batch(CLIENT.opens(0)))


def test_accepted_socket_of_an_older_kernel_waits_for_its_peer() -> None:
    """Before Linux 6.15 LISTEN->SYN_RECV has the listener's tuple."""
    events = batch(SERVER.is_accepted(0, old_kernel=True))
    for wanted, kept in ((Selection(remote_port=(40000,)), 2), (Selection(remote_port=(1,)), 0)):
        assert len(push_all(wanted, *one_by_one(events))) == kept
    for text, kept in (("10.0.0.1/32", 2), ("10.0.0.9/32", 0)):
        assert len(push_all(network(text), *one_by_one(events))) == kept


def test_owner_of_an_accepted_socket_is_awaited_and_bystanders_are_not_believed() -> None:
    keep = ConnectionFilter(Selection(comm=("nginx",)))
    assert len(keep.push(batch(SERVER.is_accepted(0)))) == 0
    assert len(keep.push(batch([SERVER.state(5, "ESTABLISHED", "CLOSE_WAIT")]))) == 0
    last = batch([SERVER.state(6, "CLOSE_WAIT", "LAST_ACK", owned=True)])
    assert len(keep.push(last)) == 4
    assert len(keep.push(batch(SERVER.gone(7, "LAST_ACK")))) == 1


def test_who_connected_owns_it_whoever_closes() -> None:
    other = End(socket=CLIENT.socket, pid=300, comm="other")
    events = batch(CLIENT.opens(0), other.closes_first(5), other.gone(9))
    for pieces in ([events], one_by_one(events)):
        assert len(push_all(Selection(pid=(100,)), *pieces)) == len(events)
        assert len(push_all(Selection(pid=(300,)), *pieces)) == 0


def test_undecided_at_the_end_is_written() -> None:
    events = batch(SERVER.is_accepted(0))
    assert same(push_all(Selection(comm=("nginx",)), events), events)


def test_closed_without_an_owner_seen_is_written() -> None:
    events = batch(SERVER.is_accepted(0), SERVER.gone(5, "ESTABLISHED"))
    keep = ConnectionFilter(Selection(comm=("nginx",)))
    assert same(keep.push(events), events)


def test_reused_address_is_judged_anew() -> None:
    other = End(socket=CLIENT.socket, remote_port=443, local_port=40001)
    events = batch(CLIENT.opens(0), CLIENT.closes_first(5), CLIENT.gone(7), other.opens(8))
    for pieces in ([events], one_by_one(events)):
        assert len(push_all(Selection(remote_port=(443,)), *pieces)) == 2
        assert len(push_all(Selection(remote_port=(80,)), *pieces)) == 5


def test_ipv4_through_an_ipv6_socket_is_ipv4() -> None:
    dual = End(socket=SERVER.socket, family=6, local="10.0.0.2", remote="10.0.0.1")
    assert len(push_all(Selection(family=(4,)), batch(dual.is_accepted(0)))) == 2
    assert len(push_all(Selection(family=(6,)), batch(dual.is_accepted(0)))) == 0
    assert len(push_all(network("10.0.0.1/32"), batch(dual.is_accepted(0)))) == 2


def test_ipv6_networks_are_matched_to_the_bit() -> None:
    end = End(local="fd00::1", remote="fd00:0:0:1:8000::", family=6)
    rows = batch(end.opens(0))
    for text, kept in (("fd00:0:0:1:8000::/65", 2), ("fd00:0:0:1::/65", 0), ("fd00::/63", 2)):
        assert len(push_all(network(text), rows)) == kept, text


@pytest.mark.parametrize("pieces", [lambda events: [events], one_by_one])
def test_timewait_socket_follows_its_connection(pieces: object) -> None:
    """It has an address of its own and starts before its connection says CLOSE."""
    assert callable(pieces)
    later = batch(CLIENT.timewait(100, "expire"))
    for comm, kept in (("curl", len(WHOLE_CLIENT) + 1), ("nginx", 0)):
        got = push_all(Selection(comm=(comm,)), *pieces(WHOLE_CLIENT), later)
        assert len(got) == kept


@pytest.mark.parametrize("pieces", [lambda events: [events], one_by_one])
def test_timewait_address_that_was_a_strangers_is_judged_anew(pieces: object) -> None:
    """Killed, freed, and at once another connection's: as a re-arm looks, but for the tuple."""
    assert callable(pieces)
    stranger = End(local_port=1, remote_port=2, comm="stranger")
    events = batch(
        stranger.timewait(0, "start"), stranger.timewait(5, "cancel"), CLIENT.timewait(6, "start")
    )
    assert len(push_all(Selection(port=(80,)), *pieces(events))) == 1
    assert len(push_all(Selection(port=(2,)), *pieces(events))) == 2


def test_a_snapshots_time_wait_follows_its_connection() -> None:
    """It has neither address nor owner."""
    nobody = {"socket": 0, "pid": 0, "comm": b""}
    found = batch(CLIENT.row(50, "existing", "TIME_WAIT", "TIME_WAIT", **nobody))
    for pieces in ((WHOLE_CLIENT, found), (np.concatenate([WHOLE_CLIENT, found]),)):
        assert len(push_all(Selection(comm=("curl",)), *pieces)) == len(WHOLE_CLIENT) + 1
        assert len(push_all(Selection(comm=("nginx",)), *pieces)) == 0
    assert len(push_all(Selection(comm=("nginx",)), found)) == 1


def test_a_snapshots_socket_is_its_holders() -> None:
    held = CLIENT.row(0, "existing", "ESTABLISHED", "ESTABLISHED", socket=0, pid=100, comm=b"curl")
    assert len(push_all(Selection(comm=("curl",)), held)) == 1
    assert len(push_all(Selection(comm=("nginx",)), held)) == 0


def test_timewait_socket_of_an_unseen_connection_is_written() -> None:
    rows = batch(CLIENT.timewait(0, "expire"))
    assert len(push_all(Selection(comm=("curl",)), rows)) == 1
    assert len(push_all(Selection(comm=("curl",), port=(81,)), rows)) == 0


def test_held_back_events_are_bounded_and_the_oldest_written() -> None:
    wanted = Selection(comm=("nginx",))
    ends = [SERVER.at(n, remote_port=n) for n in range(1, 101)]
    keep = ConnectionFilter(wanted, held_rows=50)
    got = np.concatenate([keep.push(batch(end.is_accepted(2 * i))) for i, end in enumerate(ends)])
    assert len(got) == 150
    assert got["time"].max() < keep.drain()["time"].min()


def test_what_was_written_undecided_stays_whole() -> None:
    keep = ConnectionFilter(Selection(comm=("nginx",)), held_rows=1)
    assert len(keep.push(batch(SERVER.is_accepted(0)))) == 1
    other = End(socket=SERVER.socket, comm="other")
    assert len(keep.push(batch(other.closes_second(5)))) == 4


def test_resets_to_no_socket_are_judged_by_their_own_ports() -> None:
    reset = batch(CLIENT.row(0, "reset_sent", "CLOSE", "CLOSE", socket=0))
    assert len(push_all(Selection(port=(80,)), reset)) == 1
    assert len(push_all(Selection(port=(81,)), reset)) == 0


def test_a_listeners_resets_do_not_decide_about_the_listener() -> None:
    listener = End(socket=5, local="0.0.0.0", local_port=80, remote="0.0.0.0", remote_port=0)
    reset = listener.row(
        2, "reset_sent", "LISTEN", "LISTEN", remote_port=7, remote_address=packed("10.9.9.9")
    )
    events = batch([listener.state(0, "CLOSE", "LISTEN", owned=True)], reset)
    got = push_all(Selection(remote_port=(7,)), *one_by_one(events))
    assert got["kind"].tolist() == [KIND["reset_sent"]]
    assert len(push_all(Selection(port=(80,)), *one_by_one(events))) == 2


@dataclass(frozen=True)
class Story:
    """A connection's events, and what is true of it."""

    end: End
    rows: list[np.ndarray]


@st.composite
def stories(draw: st.DrawFn) -> list[Story]:
    """Connections one after the other or at once, sharing few socket addresses."""
    made = []
    free = dict.fromkeys((1, 2, 3), 0)  # address: from when on
    waiting = dict.fromkeys((100, 101), 0)
    for number in range(draw(st.integers(1, 8))):
        socket = draw(st.sampled_from(sorted(free)))
        time = free[socket] + draw(st.integers(1, 40))
        end = End(
            socket=socket,
            local_port=40000 + number,
            remote_port=draw(st.sampled_from([80, 443])),
            remote=draw(st.sampled_from(["10.0.0.2", "10.1.0.2"])),
            pid=draw(st.sampled_from([100, 200])),
            comm=draw(st.sampled_from(["curl", "nginx"])),
        )
        old = draw(st.booleans())
        rows = end.opens(time) if draw(st.booleans()) else end.is_accepted(time, old_kernel=old)
        time += draw(st.integers(5, 60))
        if draw(st.booleans()):
            idle = [address for address, since in waiting.items() if since < time + 2]
            waits = idle[0] if idle else 200 + number
            rows += end.closes_first(time)
            rows += [end.timewait(time + 2, "start", waits), *end.gone(time + 3)]
            for rearmed in draw(st.lists(st.integers(4, 90), max_size=2, unique=True)):
                rows += [end.timewait(time + rearmed, "cancel", waits)]
                rows += [end.timewait(time + rearmed, "start", waits)]
            rows += [end.timewait(time + 100, draw(st.sampled_from(["expire", "cancel"])), waits)]
            waiting[waits] = time + 100
        else:
            rows += end.closes_second(time)
        free[socket] = time + 3
        made.append(Story(end, rows))
    return made


SELECTIONS = st.builds(
    Selection,
    port=st.sampled_from([(), (80,), (443, 40001)]),
    remote_port=st.sampled_from([(), (80,)]),
    address=st.sampled_from([(), (ipaddress.ip_network("10.1.0.0/16"),)]),
    pid=st.sampled_from([(), (100,)]),
    comm=st.sampled_from([(), ("curl",), ("nginx", "other")]),
)


def is_wanted(end: End, wanted: Selection) -> bool:
    """The same question, asked of a connection that is known whole."""
    ports = {end.local_port, end.remote_port}
    return (
        (not wanted.port or bool(ports & set(wanted.port)))
        and (not wanted.remote_port or end.remote_port in wanted.remote_port)
        and (not wanted.address or ipaddress.ip_address(end.remote) in wanted.address[0])
        and (not wanted.pid or end.pid in wanted.pid)
        and (not wanted.comm or end.comm in wanted.comm)
    )


@settings(max_examples=150, deadline=None)
@given(stories(), SELECTIONS, st.lists(st.integers(0, 100), max_size=8))
def test_any_connections_cut_into_any_batches_are_kept_whole(
    told: Sequence[Story], wanted: Selection, cuts: list[int]
) -> None:
    events = batch(*(story.rows for story in told))
    pieces = np.split(events, sorted(min(cut, len(events)) for cut in cuts))
    expected = batch(*(story.rows for story in told if is_wanted(story.end, wanted)))
    assert same(push_all(wanted, *pieces), expected)
