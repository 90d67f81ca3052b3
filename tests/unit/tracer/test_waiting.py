"""Which TIME_WAITs run, followed by address."""

from __future__ import annotations

import pytest

from tcptrace.tracer.waiting import WaitingSockets

from .events import End, batch

END = End()


def test_started_and_not_ended_are_counted() -> None:
    waiting = WaitingSockets()
    waiting.update(batch(*(END.timewait(n, "start", n) for n in (1, 2, 3))))
    waiting.update(batch(END.timewait(4, "expire", 2), END.opens(5)))
    assert len(waiting) == 2
    waiting.update(batch(END.timewait(6, "cancel", 1), END.timewait(6, "expire", 3)))
    assert not waiting


def test_rearmed_timer_is_one_time_wait() -> None:
    waiting = WaitingSockets()
    waiting.update(batch(END.timewait(1, "start", 7)))
    waiting.update(batch(END.timewait(2, "cancel", 7), END.timewait(3, "start", 7)))
    assert len(waiting) == 1
    waiting.update(batch(END.timewait(4, "cancel", 7)))
    waiting.update(batch(END.timewait(5, "start", 7)))
    assert len(waiting) == 1


def test_whole_life_within_one_batch_leaves_nothing() -> None:
    waiting = WaitingSockets()
    waiting.update(batch(END.timewait(1, "start", 7), END.timewait(2, "expire", 7)))
    assert not waiting


def test_end_of_an_unknown_one_is_ignored() -> None:
    waiting = WaitingSockets()
    waiting.update(batch(END.timewait(1, "expire", 7)))
    assert not waiting


def test_events_of_running_and_just_ended_ones_are_known() -> None:
    waiting = WaitingSockets()
    waiting.update(batch(END.timewait(1, "start", 7), END.timewait(1, "start", 8)))
    waiting.update(batch(END.timewait(2, "cancel", 7)))
    told = batch(
        END.row(3, "timewait_reused", "TIME_WAIT", "NEW_SYN_RECV", socket=7),
        END.timewait(4, "expire", 8),
        END.timewait(5, "start", 9),
    )
    assert waiting.known(told).tolist() == [True, True, False]


def test_another_socket_at_the_address_of_one_that_ended_is_not_followed() -> None:
    waiting = WaitingSockets()
    waiting.update(batch(END.timewait(1, "start", 7)))
    waiting.update(batch(END.timewait(2, "cancel", 7), END.timewait(2, "expire", 7)))
    assert not waiting
    other = End(local_port=END.local_port + 1)
    told = batch(other.timewait(3, "start", 7), END.timewait(3, "start", 7))
    # The second is the same connection's: its timer, armed again.
    assert waiting.known(told).tolist() == [False, True]


@pytest.mark.parametrize(("every", "known"), [(True, [False, True]), (False, [True, True])])
def test_a_snapshot_that_lacks_nothing_takes_the_place_of_the_one_before(
    every: bool, known: list[bool]
) -> None:
    """Each file of a rotated recording has one: they must not add up."""
    waiting = WaitingSockets()
    ends = [End(local_port=port) for port in (1, 2)]
    rows = [end.row(0, "existing", "TIME_WAIT", "TIME_WAIT", detail=9) for end in ends]
    waiting.include(batch(*rows), every=True)
    waiting.include(batch(rows[1]), every=every)
    told = batch(*(end.timewait(3, "expire", 70) for end in ends))
    assert waiting.known(told).tolist() == known
