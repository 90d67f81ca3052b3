"""A recording read piece by piece gives what it gives read whole."""

import random
from typing import Any

import pandas as pd
import pytest

from tcptrace.analysis.connections import Tables, assemble
from tcptrace.analysis.found import Found
from tcptrace.analysis.reconstruct import Reconstruction

from .scenario import CLIENT_END, CURL, NGINX, SECOND, SERVER_END, Story, TimeWait
from .simulator import simulate


def found(kernel: Story, piece: int, batch: int) -> Found:
    reconstruction = Reconstruction(piece)
    for part in kernel.table.to_batches(max_chunksize=batch):
        reconstruction.add(part)
    return reconstruction.finish()


def tables(kernel: Story, piece: int, batch: int = 1000) -> Tables:
    return assemble(found(kernel, piece, batch).gathered.whole(), kernel.header, kernel.observed)


def assert_same(kernel: Story, piece: int, batch: int) -> None:
    whole, parts = tables(kernel, 1 << 30), tables(kernel, piece, batch)
    pd.testing.assert_frame_equal(parts.connections, whole.connections)
    pd.testing.assert_frame_equal(parts.time_wait, whole.time_wait)


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("block", range(4))
def test_pieces_of_any_size_give_the_same_tables(block: int, lossy: bool) -> None:
    for seed in range(5000 + block * 10, 5010 + block * 10):
        chance = random.Random(seed)  # noqa: S311
        kernel = simulate(seed, kernels=5, lossy=lossy)
        for _ in range(2):
            assert_same(kernel, chance.randint(1, 50), chance.choice([1, 7, 1000]))


def test_a_single_event_at_a_time_gives_the_same_tables() -> None:
    for seed in range(5100, 5105):
        assert_same(simulate(seed, lossy=True), 1, 1)


def test_events_are_counted_however_they_are_read() -> None:
    kernel = simulate(5200, kernels=3)
    whole, parts = found(kernel, 1 << 30, 1000), found(kernel, 3, 2)
    assert parts.count == whole.count == len(kernel.table)
    assert parts.broken == whole.broken
    assert whole.broken


def test_what_is_over_is_not_carried_for_ever() -> None:
    story = Story()
    for _ in range(200):
        near = story.socket(CLIENT_END, address=0xFFFF888000001000).connect()
        far = story.socket(SERVER_END, address=0xFFFF888000002000).accept()
        near.close(CURL)
        far.closed_by_peer(NGINX)
        near.gone(fin=True)
    reconstruction = Reconstruction(10)
    for part in story.table.to_batches(max_chunksize=10):
        reconstruction.add(part)
        assert len(reconstruction._carried) < 20
    assert len(reconstruction.finish().gathered.whole().lives) == 400


def test_resets_of_a_listener_are_not_carried_for_ever() -> None:
    story = Story()
    listener = story.socket(SERVER_END).to("LISTEN", by=NGINX)
    for _ in range(200):
        listener.reset_sent()
    reconstruction = Reconstruction(10)
    for part in story.table.to_batches(max_chunksize=10):
        reconstruction.add(part)
    assert len(reconstruction._carried) == 2


#: Memory that a timewait socket and full ones have in turn.
PAGE = 0xFFFF888000003000


def wait_at_page(story: Story, substate: str) -> TimeWait:
    return TimeWait(story, CLIENT_END, PAGE, substate, story.now + 60 * SECOND)


def rows_in_any_pieces(story: Story) -> list[dict[str, Any]]:
    """The connections, after having seen that pieces of any size give the same."""
    for piece in range(1, len(story.rows) + 1):
        assert_same(story, piece, 1)
    return story.connections()


def test_a_timewait_sockets_reset_is_not_the_next_sockets() -> None:
    story = Story()
    wait_at_page(story, "FIN_WAIT_2").start().reset_sent()
    story.socket(SERVER_END, "ESTABLISHED", PAGE).gone()
    outcomes = [row["outcome"] for row in rows_in_any_pieces(story)]
    assert outcomes == ["unknown", "unknown"]


def test_a_reset_whose_socket_shows_only_later_is_told_of() -> None:
    story = Story()
    wait = wait_at_page(story, "FIN_WAIT_2")
    wait.reset_sent()
    wait.cancel()
    (row,) = rows_in_any_pieces(story)
    assert row["outcome"] == "reset"


def test_a_socket_whose_memory_was_used_again_has_gone() -> None:
    story = Story()
    story.socket(SERVER_END, "CLOSE", PAGE).connect()
    wait_at_page(story, "TIME_WAIT").start().expire()
    story.socket(SERVER_END._replace(remote_port=40009), "CLOSE", PAGE).connect()
    outcomes = [row["outcome"] for row in rows_in_any_pieces(story)]
    assert sorted(outcomes) == ["finished", "open", "unknown"]


def test_a_reset_received_first_of_all_is_its_sockets() -> None:
    story = Story()
    wait_at_page(story, "TIME_WAIT").start().expire()
    story.socket(SERVER_END, "ESTABLISHED", PAGE).reset_received().gone()
    outcomes = [row["outcome"] for row in rows_in_any_pieces(story)]
    assert sorted(outcomes) == ["finished", "reset"]
