"""Endings that are rare, each told for what it is."""

from __future__ import annotations

import errno
import socket

from .duo import PORT, Duo
from .lab import Lab
from .oracle import CLIENT, SERVER
from .rows import Row, Rows
from .scenarios import REPEATS, expect, orderly

OPEN_PORT = 7000
TCP = socket.IPPROTO_TCP
KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (TCP, socket.TCP_KEEPIDLE, 1),
    (TCP, socket.TCP_KEEPINTVL, 1),
    (TCP, socket.TCP_KEEPCNT, 1),
]


def told(rows: list[Row]) -> set[tuple[str, str, str | None]]:
    return {(row["role"], row["outcome"], row["closed_by"]) for row in rows}


def test_both_open_at_once(lab: Lab) -> None:
    """SYNs that cross (RFC 9293 3.5): two clients, one connection."""
    cable = lab.cable()
    duo = Duo(lab, cable.pair)
    one, two = duo.client, duo.server
    capture = lab.capture(duo.pair.client, duo.pair.server4)
    recorder = lab.record()
    for number in range(REPEATS):
        near, far = OPEN_PORT + 2 * number, OPEN_PORT + 2 * number + 1
        cable.hold("syn")
        one.begin_connect(duo.pair.server4, far, source_port=near)
        two.begin_connect(duo.pair.client4, near, source_port=far)
        cable.wait_held(2)
        cable.release()
        orderly(one.finish_connect(), two.finish_connect())
    duo.pair.wait_quiet()
    recorder.stop()
    capture.stop()
    assert {one.outcome for one in capture.conversations()} == {"finished"}
    rows = Rows(recorder.read())
    near_rows, far_rows = rows.of(duo.pair.client), rows.of(duo.pair.server)
    assert len(near_rows) == len(far_rows) == REPEATS
    assert told(near_rows) == {(CLIENT, "finished", "local")}
    assert told(far_rows) == {(CLIENT, "finished", "remote")}
    assert all(row["syn_recv_s"] is not None for row in near_rows + far_rows)
    shared = {row["conversation"] for row in near_rows}
    assert shared == {row["conversation"] for row in far_rows}
    assert len(shared) == REPEATS


def test_first_fin_was_not_the_first_to_arrive(lab: Lab) -> None:
    """The server's FIN is on its way when the client's is sent, which arrives first."""
    cable = lab.cable()
    duo = Duo(lab, cable.pair)
    capture = lab.capture(duo.pair.client, duo.pair.server4)
    recorder = lab.record()
    for near, far in duo.connect_many(REPEATS):
        cable.hold("fin", source="b")
        far.close()
        cable.wait_held(1)
        near.close()
        duo.pair.client.wait_for(FIN_WAIT_1=0)
        cable.release()
        duo.pair.wait_quiet()
    recorder.stop()
    capture.stop()
    assert {one.first_fin for one in capture.conversations()} == {"both"}
    rows = Rows(recorder.read())
    assert told(rows.of(duo.pair.server)) == {(SERVER, "finished", "both")}
    # The client's own states are those of an ordinary active close.
    assert told(rows.of(duo.pair.client)) <= {
        (CLIENT, "finished", "both"),
        (CLIENT, "finished", "local"),
    }


def test_listener_closes_before_it_accepts(lab: Lab) -> None:
    duo = Duo(lab)
    recorder = lab.record()
    held = duo.client.connect_many(duo.address, PORT, REPEATS)
    duo.pair.server.wait_for(ESTABLISHED=REPEATS)
    duo.listener.close()
    for near in held:
        expect(errno.ECONNRESET, near.read_to_end)
        near.close()
    recorder.stop()
    rows = Rows(recorder.read())
    assert told(rows.of(duo.pair.client)) == {(CLIENT, "reset", "remote")}
    assert told(rows.of(duo.pair.server)) == {(SERVER, "reset", "local")}
    assert len(rows.of(duo.pair.server)) == REPEATS


def test_keepalive_finds_the_peer_gone(lab: Lab) -> None:
    cable = lab.cable()
    duo = Duo(lab, cable.pair)
    recorder = lab.record()
    held = []
    for _ in range(REPEATS):
        held.append(duo.client.connect(duo.address, PORT, options=KEEPALIVE))
        duo.listener.accept()
    cable.drop("any")
    for near in held:
        expect(errno.ETIMEDOUT, near.read_to_end)
        near.close()
    recorder.stop()
    rows = Rows(recorder.read())
    assert {row["outcome"] for row in rows.of(duo.pair.client)} == {"timed_out"}
    assert {row["error"] for row in rows.of(duo.pair.client)} == {"ETIMEDOUT"}
    # What the client sent never arrived.
    assert told(rows.of(duo.pair.server)) == {(SERVER, "open", None)}


def test_program_gives_a_handshake_up(lab: Lab) -> None:
    cable = lab.cable()
    duo = Duo(lab, cable.pair)
    cable.drop("any")
    recorder = lab.record()
    duo.client.call("give_up", address=duo.address, port=PORT, count=REPEATS)
    recorder.stop()
    rows = Rows(recorder.read()).of(duo.pair.client)
    assert len(rows) == REPEATS
    # Nobody refused, nothing timed out: the program did not wait for either.
    assert told(rows) == {(CLIENT, "unknown", None)}
