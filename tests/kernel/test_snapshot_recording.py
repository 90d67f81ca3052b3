"""What a recording knows of sockets that made no event while it ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from .duo import PORT, Duo
from .lab import Lab
from .rows import Rows
from .scenarios import REPEATS, orderly


def sides(duo: Duo) -> list[tuple[object, object]]:
    return [(duo.client, duo.pair.client), (duo.server, duo.pair.server)]


def test_connections_that_did_nothing_have_state_owner_and_other_end(lab: Lab) -> None:
    duo = Duo(lab)
    duo.connect_many(REPEATS)
    recorder = lab.record()
    recorder.stop()
    recording = recorder.read()
    assert recording.final["snapshots"] == {"start": None, "end": None}
    rows = Rows(recording)
    for program, space in sides(duo):
        own = rows.of(space)
        assert len(own) == REPEATS
        for row in own:
            assert (row["pid"], row["comm"]) == (program.pid, program.name)
            assert (row["state"], row["outcome"]) == ("ESTABLISHED", "open")
            assert (row["opened"], row["closed"], row["censored"]) == (None, None, "both")
    shared = [{row["conversation"] for row in rows.of(space)} for _, space in sides(duo)]
    assert shared[0] == shared[1]
    assert None not in shared[0]


def test_accepted_connection_still_open_has_its_owner(lab: Lab) -> None:
    duo = Duo(lab)
    recorder = lab.record()
    for near, far in duo.connect_many(REPEATS):
        near.shut()
        far.read_to_end()
    duo.pair.server.wait_for(CLOSE_WAIT=REPEATS)
    recorder.stop()
    own = Rows(recorder.read()).of(duo.pair.server)
    assert len(own) == REPEATS
    for row in own:
        assert (row["role"], row["state"], row["censored"]) == ("server", "CLOSE_WAIT", "right")
        assert (row["pid"], row["comm"]) == (duo.server.pid, "tt-server")


def test_orphan_that_became_time_wait_without_an_event_is_in_time_wait(lab: Lab) -> None:
    duo = Duo(lab)
    recorder = lab.record()
    open_one, half_closed = duo.connect_many(2)
    half_closed[0].close()
    expected = {open_one[0].port: "ESTABLISHED", half_closed[0].port: "FIN_WAIT_2"}
    # Several rounds: where a bucket of the timer wheel ends in between, each FIN is seen.
    for done in range(0, 3 * REPEATS, REPEATS):
        ends = duo.connect_many(REPEATS)
        for near, _ in ends:
            near.close()
        # All are FIN_WAIT_2 mini-sockets; a FIN so soon re-arms the timer in its bucket.
        duo.pair.client.wait_for(FIN_WAIT_2=1 + REPEATS, TIME_WAIT=done)
        for _, far in ends:
            far.close()
        duo.pair.client.wait_for(FIN_WAIT_2=1, TIME_WAIT=done + REPEATS)
        expected |= {near.port: "TIME_WAIT" for near, _ in ends}
    recorder.stop()
    recording = recorder.read()
    events = recording.events[recording.events["netns"] == duo.pair.client.inode]
    started = (events["kind"] == "timewait_start") & (events["new_state"] == "TIME_WAIT")
    assert started.sum() < 3 * REPEATS, "every FIN made an event: nothing is shown here"
    states = {row["local_port"]: row["state"] for row in Rows(recording).of(duo.pair.client)}
    assert states == expected


def test_time_wait_older_than_the_recording_is_left_censored_and_open(lab: Lab) -> None:
    duo = Duo(lab)
    for near, far in duo.connect_many(REPEATS):
        orderly(near, far)
    duo.pair.client.wait_for(TIME_WAIT=REPEATS)
    recorder = lab.record()
    recorder.stop()
    rows = Rows(recorder.read())
    waits = rows.time_wait(duo.pair.client)
    assert len(waits) == REPEATS
    assert {(wait["end"], wait["censored"]) for wait in waits} == {("open", "both")}
    assert {row["state"] for row in rows.of(duo.pair.client)} == {"TIME_WAIT"}


def test_settling_sees_the_end_of_time_waits_older_than_the_recording(
    lab: Lab, tmp_path: Path
) -> None:
    duo = Duo(lab)
    client = duo.pair.client
    old = duo.connect_many(REPEATS)
    for near, far in old:
        orderly(near, far)
    client.wait_for(TIME_WAIT=REPEATS)
    over = tmp_path / "over"
    until = f"while [ ! -e {over} ]; do sleep 0.1; done"
    options = ["--netns", str(client.inode), "--settle", "90"]
    recorder = lab.record(*options, "--", "sh", "-c", until)
    young = duo.connect()
    orderly(*young)
    client.wait_for(TIME_WAIT=REPEATS + 1)
    over.touch()
    recorder.finish()
    waits = Rows(recorder.read()).time_wait(client)
    censored = {wait["local_port"]: wait["censored"] for wait in waits}
    assert censored == {near.port: "left" for near, _ in old} | {young[0].port: "none"}
    assert {wait["end"] for wait in waits} == {"expired"}


def test_each_connection_is_told_once_whatever_goes_on_meanwhile(lab: Lab) -> None:
    duo = Duo(lab)
    held = duo.connect_many(REPEATS)
    for near, far in held[:5]:
        orderly(near, far)
    recorder = lab.record()
    # The snapshot is under way.
    for near, far in held[5:10]:
        orderly(near, far)
    more = duo.connect_many(REPEATS)
    for near, far in more[:5]:
        orderly(far, near)
    duo.pair.wait_quiet()
    recorder.stop()
    rows = Rows(recorder.read())
    told = sorted(row["local_port"] for row in rows.of(duo.pair.client))
    assert told == sorted(near.port for near, _ in [*held, *more])
    states = {row["local_port"]: row["state"] for row in rows.of(duo.pair.client)}
    for number, (near, _) in enumerate(held):
        assert states[near.port] == ("TIME_WAIT" if number < 10 else "ESTABLISHED")


@pytest.mark.parametrize("option", ["--local-port", "--pid", "--netns", "--comm"])
def test_filters_hold_for_sockets_that_did_nothing(lab: Lab, option: str) -> None:
    duo = Duo(lab)
    duo.connect_many(REPEATS)
    wanted = {
        "--local-port": PORT,
        "--pid": duo.server.pid,
        "--netns": duo.pair.server.inode,
        "--comm": duo.server.name,
    }
    recorder = lab.record(option, str(wanted[option]))
    recorder.stop()
    rows = Rows(recorder.read())
    assert len(rows.of(duo.pair.server)) == REPEATS
    assert not rows.of(duo.pair.client)
