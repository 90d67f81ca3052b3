"""Connections of which the recording saw only a part: told as far as seen, no further."""

from __future__ import annotations

from typing import Any

import pytest

from .duo import Duo
from .lab import Lab
from .net import Namespace
from .rows import Row, Rows
from .scenarios import REPEATS, orderly

SECONDS = (
    "syn_sent_s",
    "syn_recv_s",
    "established_s",
    "fin_wait_1_s",
    "fin_wait_2_s",
    "closing_s",
    "close_wait_s",
    "last_ack_s",
    "time_wait_s",
)


@pytest.fixture
def duo(lab: Lab) -> Duo:
    return Duo(lab)


def both_ends(duo: Duo) -> list[tuple[str, Namespace]]:
    return [("client", duo.pair.client), ("server", duo.pair.server)]


def assert_nothing_invented(recording: Any, row: Row) -> None:
    """No duration is longer than the recording watched."""
    watched = (recording.ended - recording.started).total_seconds()
    for name in SECONDS:
        assert row[name] is None or 0 <= row[name] <= watched + 0.001, (name, row[name])


@pytest.mark.parametrize("first", ["client", "server"])
def test_opened_before_and_closed_within(lab: Lab, duo: Duo, first: str) -> None:
    held = duo.connect_many(REPEATS)
    recorder = lab.record()
    for near, far in held:
        orderly(*((near, far) if first == "client" else (far, near)))
    duo.pair.wait_quiet()
    recorder.stop()
    rows = Rows(recorder.read())
    owner = {"client": duo.client, "server": duo.server}
    for side, space in both_ends(duo):
        own = rows.of(space)
        assert len(own) == REPEATS
        for row in own:
            assert (row["opened"], row["established"]) == (None, None)
            assert row["closed"] is not None
            assert row["outcome"] == "finished"
            assert row["closed_by"] == ("local" if side == first else "remote")
            # An accepted socket and a connected one look the same by now.
            assert row["role"] in (side, "unknown")
            assert (row["pid"], row["comm"]) == (owner[side].pid, owner[side].name)
            assert row["syn_sent_s"] is None
            assert row["syn_recv_s"] is None
            assert row["censored"] == ("both" if row["time_wait_end"] == "open" else "left")
            assert_nothing_invented(rows.recording, row)
    shared = [{row["conversation"] for row in rows.of(space)} for _, space in both_ends(duo)]
    assert shared[0] == shared[1]
    assert None not in shared[0]


def test_idle_throughout(lab: Lab, duo: Duo) -> None:
    duo.connect_many(REPEATS)
    recorder = lab.record()
    recorder.stop()
    rows = Rows(recorder.read())
    owner = {"client": duo.client, "server": duo.server}
    for side, space in both_ends(duo):
        own = rows.of(space)
        assert len(own) == REPEATS
        for row in own:
            assert (row["opened"], row["established"], row["closed"]) == (None, None, None)
            assert (row["outcome"], row["closed_by"]) == ("open", None)
            assert (row["state"], row["censored"]) == ("ESTABLISHED", "both")
            assert (row["pid"], row["comm"]) == (owner[side].pid, owner[side].name)
            assert row["role"] in (side, "unknown")
            assert_nothing_invented(rows.recording, row)


def test_opened_before_and_half_closed_at_the_end(lab: Lab, duo: Duo) -> None:
    held = duo.connect_many(REPEATS)
    recorder = lab.record()
    for near, far in held:
        near.shut()
        far.read_to_end()
    duo.pair.client.wait_for(FIN_WAIT_2=REPEATS)
    recorder.stop()
    rows = Rows(recorder.read())
    state = {"client": "FIN_WAIT_2", "server": "CLOSE_WAIT"}
    for side, space in both_ends(duo):
        own = rows.of(space)
        assert len(own) == REPEATS
        for row in own:
            assert (row["opened"], row["established"], row["closed"]) == (None, None, None)
            assert (row["outcome"], row["closed_by"]) == ("open", None)
            assert row["state"] == state[side]
            assert row["censored"] == "both"
            assert row[f"{state[side].lower()}_s"] > 0
            assert_nothing_invented(rows.recording, row)


def test_opened_within_and_open_at_the_end(lab: Lab, duo: Duo) -> None:
    recorder = lab.record()
    duo.connect_many(REPEATS)
    recorder.stop()
    rows = Rows(recorder.read())
    owner = {"client": duo.client, "server": duo.server}
    for side, space in both_ends(duo):
        own = rows.of(space)
        assert len(own) == REPEATS
        for row in own:
            assert (row["role"], row["outcome"], row["closed_by"]) == (side, "open", None)
            assert (row["state"], row["censored"]) == ("ESTABLISHED", "right")
            assert row["closed"] is None
            assert row["opened"] <= row["established"]
            seen = (rows.recording.ended - row["established"]).total_seconds()
            assert row["established_s"] == pytest.approx(seen, abs=0.001)
            assert row["time_wait_end"] is None
            assert (row["pid"], row["comm"]) == (owner[side].pid, owner[side].name)
            assert_nothing_invented(rows.recording, row)


def test_handshake_without_an_answer_at_the_end(lab: Lab, duo: Duo) -> None:
    nobody = "11.0.0.1"
    duo.pair.client.ip(f"route add {nobody}/32 via {duo.pair.server4}")
    duo.pair.server.ip(f"route add blackhole {nobody}/32")
    duo.pair.server.sysctl(ip_forward=1)
    recorder = lab.record()
    duo.client.begin("connect_all", sources=[duo.pair.client4] * REPEATS, address=nobody, port=9000)
    duo.pair.client.wait_for(SYN_SENT=REPEATS)
    recorder.stop()
    duo.client.kill()  # or it would wait for two minutes
    rows = Rows(recorder.read())
    own = rows.of(duo.pair.client)
    assert len(own) == REPEATS
    for row in own:
        assert (row["role"], row["outcome"], row["closed_by"]) == ("client", "open", None)
        assert (row["state"], row["censored"]) == ("SYN_SENT", "right")
        assert (row["established"], row["closed"], row["established_s"]) == (None, None, None)
        assert (row["remote_address"], row["remote_port"]) == (nobody, 9000)
        assert_nothing_invented(rows.recording, row)
