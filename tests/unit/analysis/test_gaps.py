"""Lost events: no connection is made up of what came before the gap and what came after."""

from __future__ import annotations

from typing import Any

import pytest

from . import simulator
from .scenario import CLIENT_END, CURL, NGINX, SERVER_END, Story, plain

ANOTHER = CLIENT_END._replace(local_port=40077)
NAMES = ("netns", "local_address", "local_port", "remote_address", "remote_port")


def of_port(story: Story, port: int) -> list[dict[str, Any]]:
    return [row for row in story.connections() if row["local_port"] == port]


def test_the_next_socket_at_an_address_is_told_by_its_ports() -> None:
    story = Story()
    before = story.socket(CLIENT_END).connect()
    story.after(5).lose(40)
    # The one's end and the other's beginning were lost; both were established.
    after = story.socket(ANOTHER, "ESTABLISHED", before.address)
    after.to("CLOSE_WAIT").to("LAST_ACK", by=CURL).gone(fin=True)
    (first,), (second,) = of_port(story, 40001), of_port(story, 40077)
    assert (first["outcome"], first["closed"], first["established_s"]) == ("unknown", None, None)
    assert (second["outcome"], second["opened"], second["censored"]) == ("finished", None, "left")
    assert second["established_s"] is None


def test_the_next_socket_is_told_by_its_peer() -> None:
    story = Story()
    before = story.socket(SERVER_END).accept()
    story.after(5).lose(40)
    after = story.socket(SERVER_END._replace(remote="10.9.9.9"), "ESTABLISHED", before.address)
    after.to("CLOSE_WAIT").to("LAST_ACK", by=NGINX).gone(fin=True)
    rows = {row["remote_address"]: row for row in story.connections()}
    assert rows["10.0.0.1"]["outcome"] == "unknown"
    assert rows["10.9.9.9"]["opened"] is None


def test_the_next_socket_is_told_by_a_state_that_cannot_follow() -> None:
    story = Story()
    before = story.socket(CLIENT_END).connect()
    before.close(CURL)
    story.after(5).lose(40)
    # The same ports again: but out of FIN_WAIT_2 nobody becomes established.
    after = story.socket(CLIENT_END, "SYN_SENT", before.address)
    after.to("ESTABLISHED").to("CLOSE_WAIT").to("LAST_ACK", by=CURL).gone(fin=True)
    first, second = of_port(story, 40001)
    assert (first["outcome"], first["closed_by"]) == ("unknown", "local")
    assert (second["outcome"], second["closed_by"]) == ("finished", "remote")


def test_what_goes_on_after_a_gap_is_still_the_same_connection() -> None:
    story = Story()
    near = story.socket(CLIENT_END).connect()
    story.after(5).lose(40)
    near.to("CLOSE_WAIT").to("LAST_ACK", by=CURL).gone(fin=True)
    row = story.connection()
    assert (row["outcome"], row["closed_by"], row["censored"]) == ("finished", "remote", "none")
    assert row["established_s"] == pytest.approx(5, abs=0.01)


def test_states_lost_between_are_not_counted_to_those_beside() -> None:
    story = Story()
    near = story.socket(CLIENT_END).connect()
    story.after(5).lose(2)
    near.state = "FIN_WAIT_2"
    near.time_wait()
    row = story.connection()
    assert row["established_s"] is None
    assert row["fin_wait_1_s"] is None


def test_time_before_time_wait_is_unknown_where_the_states_before_it_were_lost() -> None:
    story = Story()
    near = story.socket(CLIENT_END).connect()
    story.after(5).lose(3)
    wait = story.timewait(CLIENT_END).start()
    story.after(60.2)
    wait.expire()
    row = story.connection()
    assert row["time_wait_s"] == pytest.approx(60.2, abs=0.01)
    assert row["established_s"] is None
    assert near.state == "ESTABLISHED"


def test_no_connection_begins_that_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels at random, with and without the events that were lost."""
    whole: list[dict[str, Any]] = []
    lose = simulator.lose

    def remember(kernel: simulator.Kernel) -> None:
        whole[:] = plain(kernel.tables().connections)
        lose(kernel)

    monkeypatch.setattr(simulator, "lose", remember)
    checked = 0
    for seed in range(40):
        found = plain(simulator.simulate(seed, kernels=15, lossy=True).tables().connections)
        began = {
            (row["opened"] // 1_000_000, *(row[name] for name in NAMES))
            for row in whole
            if row["opened"]
        }
        for row in found:
            if row["opened"] and row["local_port"] and row["remote_port"]:
                ends = tuple(row[name] for name in NAMES)
                assert (row["opened"] // 1_000_000, *ends) in began, f"seed {seed}: {row}"
                checked += 1
    assert checked > 1000
