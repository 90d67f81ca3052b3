"""Both ends of connections between two machines whose clocks differ."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcptrace.analysis.hosts import Pairing, pair, pairings
from tcptrace.analysis.hosts.summary import as_json, turned
from tcptrace.analysis.hosts.words import both_sides

from .play import WAY, Life, both

OFFSETS = (0.0, 0.003, -0.003, 17.0, -3600.0, 86400.0)


def matched(found: Pairing) -> list[tuple[int, int]]:
    """The paired lives by their places."""
    return sorted(zip(found.pairs["connection_one"], found.pairs["connection_two"], strict=True))


def same(places: range | list[int]) -> list[tuple[int, int]]:
    return [(place, place) for place in places]


def text(found: Pairing) -> str:
    return "\n".join(line.plain for line in both_sides(found))


@pytest.mark.parametrize("ahead", OFFSETS)
def test_many_connections_are_paired_whatever_the_clocks_say(ahead: float) -> None:
    closers = ("client", "server", "both", None)
    lives = [
        Life(place * 0.7, 40000 + place, closer=closers[place % 4], swapped=place % 3 == 0)
        for place in range(20)
    ]
    found = pair(*both(lives, ahead))
    assert matched(found) == same(range(20))
    assert found.clock is not None
    assert found.clock.constant
    assert found.clock.low is not None
    assert found.clock.high is not None
    assert found.clock.low <= round(ahead * 1e9) <= found.clock.high
    assert found.clock.high - found.clock.low < 2.1 * WAY * 1e9


@pytest.mark.parametrize("ahead", OFFSETS)
def test_a_four_tuple_used_again_is_paired_in_order(ahead: float) -> None:
    lives = [Life(place * 3.1, 40001, closer="server") for place in range(8)]
    found = pair(*both([*lives, Life(2.0, 40002)], ahead))
    assert matched(found) == same(range(9))
    assert found.ambiguous == (0, 0)


@pytest.mark.parametrize("ahead", OFFSETS)
def test_one_side_lost_is_left_alone(ahead: float) -> None:
    lives = [Life(place, 40000 + place) for place in range(10)]
    found = pair(*both(lives, ahead, lost_on_one=(2,), lost_on_two=(5, 6)))
    assert matched(found) == same([0, 1, 3, 4, 7, 8, 9])
    assert found.alone == (2, 1)
    assert "Seen on one only: 2" in text(found)


@pytest.mark.parametrize("ahead", OFFSETS)
def test_of_reused_four_tuples_the_lost_are_told_from_others_by_the_clock(ahead: float) -> None:
    # Unlike them, 50000 and 50001 say how the clocks differ.
    lives = [Life(place * 2.0, 40001, closer="server") for place in range(6)]
    lives += [Life(3.3, 50000), Life(8.1, 50001)]
    found = pair(*both(lives, ahead, lost_on_one=(0, 3), lost_on_two=(5,)))
    assert matched(found) == same([1, 2, 4, 6, 7])
    assert found.alone == (1, 2)


def test_what_fits_several_ways_is_ambiguous_and_not_guessed() -> None:
    # The same four-tuple every 2 s, and the server's host missed the first or the last of
    # them: nothing tells which.
    lives = [Life(place * 2.0, 40001, closer="server") for place in range(6)]
    for lost in (0, 5):
        found = pair(*both(lives, 17.0, lost_on_two=(lost,)))
        assert matched(found) == []
        assert found.ambiguous == (6, 5)
        assert found.clock is None
        assert "Ambiguous: 6 of one and 5 of two" in text(found)


def test_a_wrong_difference_that_fits_better_makes_no_pairs() -> None:
    # One host missed the first, the other the last: moved by one, all seven seem to fit.
    lives = [Life(place * 2.0, 40001, closer="server") for place in range(8)]
    found = pair(*both(lives, 17.0, lost_on_one=(7,), lost_on_two=(0,)))
    assert matched(found) == []
    assert found.ambiguous == (7, 7)


def test_reuse_sooner_than_the_clocks_are_known_is_ambiguous() -> None:
    # Open connections bound the difference on one side only, to 3 s on the other.
    lives = [Life(1.0, 40001, closer=None), Life(50.0, 40002, closer=None)]
    sooner = [Life(20.0, 40003, lasts=0.001, pause=0.001, closer="server", way=1e-5)]
    sooner += [Life(20.0 + 0.004, 40003, lasts=0.001, pause=0.001, closer="server", way=1e-5)]
    found = pair(*both([*lives, *sooner], 0.0))
    assert (2, 3) not in matched(found)
    assert (3, 2) not in matched(found)
    assert set(matched(found)) <= set(same(range(4)))


def test_only_a_handshake_bounds_the_difference_on_one_side() -> None:
    found = pair(*both([Life(1.0, closer=None)], 5.0))
    assert found.clock is not None
    assert found.clock.low is None
    assert found.clock.high == pytest.approx((5.0 + WAY) * 1e9, abs=2000)
    assert "at most 5.000" in text(found)


def test_a_clock_that_moved_is_said_to() -> None:
    early, late = Life(0.0, 40001), Life(90.0, 40002)
    one, two = both([early, late])
    frame = two.frame.copy()
    times = ["first", "last", "established", "close_wait"]
    frame.loc[1, times] += 2_000_000
    found = pair(one, type(two)(**{**vars(two), "frame": frame}))
    assert matched(found) == same(range(2))
    assert found.clock is not None
    assert not found.clock.constant
    assert "moved by" in text(found)


def test_two_recordings_of_one_machine_are_not_paired() -> None:
    one, two = both([Life(1.0)])
    assert len(pairings([one, two])) == 1
    assert pairings([one, type(two)(**{**vars(two), "boot_id": one.boot_id})]) == []


def test_nothing_in_common_is_said() -> None:
    one, _ = both([Life(1.0)])
    _, two = both([Life(1.0, 40999)])
    found = pair(one, two)
    assert matched(found) == []
    assert "no connection between them was seen from both sides" in text(found)
    _, nobody = both([])
    assert matched(pair(one, nobody)) == []


def test_json_tells_each_side_its_own_story() -> None:
    lives = [Life(1.0, 40001), Life(2.0, 40002, closer="server"), Life(3.0, 40003, closer="both")]
    lives += [Life(4.0, 40004), Life(5.0, 40005, closer=None)]
    found = pair(*both(lives, 7.0, lost_on_two=(3,)))
    here, there = as_json(found), as_json(turned(found))
    assert here["host"] == "two"
    assert there["host"] == "one"
    assert here["connections"] == there["connections"] == 4
    assert here["closed_by"] == {"here": 1, "there": 1, "both": 1, "unknown": 1, "disagree": 0}
    assert here["time_wait"] == {"here": 2, "there": 2}
    assert here["one_side_only"] == {"here": 1, "there": 0}
    assert there["one_side_only"] == {"here": 0, "there": 1}
    assert here["clock_ahead_s"]["low"] == -there["clock_ahead_s"]["high"]
    assert here["clock_ahead_s"]["low"] < 7.0 < here["clock_ahead_s"]["high"]


def test_ends_that_disagree_on_who_closed_are_counted() -> None:
    one, two = both([Life(1.0), Life(2.0, 40002)])
    frame = two.frame.copy()
    frame["closed_by"] = frame["closed_by"].astype(object)
    frame.loc[0, "closed_by"] = "local"
    found = pair(one, type(two)(**{**vars(two), "frame": frame}))
    assert as_json(found)["closed_by"]["disagree"] == 1
    assert "the ends disagree on who closed 1" in text(found)


def test_the_section_fits_80_columns_and_shows_no_escapes() -> None:
    lives = [Life(place, 40000 + place, service=80 + place % 9) for place in range(30)]
    one, two = both(lives, 123.456)
    long = type(one)(**{**vars(one), "host": "a-very-long-host-name.example.org\x1b[31m" * 2})
    lines = text(pair(long, two)).splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert not any("\x1b" in line for line in lines)


drawn_lives = st.lists(
    st.tuples(
        st.integers(1, 40),  # begins, in steps longer than a life
        st.integers(40000, 40003),
        st.sampled_from(("client", "server", "both")),
        st.booleans(),
    ),
    max_size=25,
    unique_by=lambda life: (life[0], life[1], life[3]),
)


def test_ends_that_closed_in_ways_that_exclude_each_other_are_no_pair() -> None:
    # 2.1 s apart, and the first end of one with the second of the other: both got a FIN first.
    lives = [Life(7.7 * place, 50000 + place) for place in range(3)]
    lives += [Life(23.1, 40003, swapped=True), Life(21.0, 40003, closer="server", swapped=True)]
    found = pair(*both(lives, 0.0, lost_on_two=(3,)))
    assert matched(found) == same([0, 1, 2, 4])
    assert found.ambiguous == (0, 0)


lost_lives = st.sets(st.integers(10, 34))


@settings(deadline=None, max_examples=30)
@given(
    drawn_lives, st.floats(-1e5, 1e5), st.sets(st.integers(10, 34)), st.sets(st.integers(10, 34))
)
def test_no_loss_makes_a_wrong_pair(
    drawn: list[tuple[int, int, str, bool]], ahead: float, lost: set[int], more: set[int]
) -> None:
    # Ten connections on ports of their own, and others that use few ports again and again.
    lives = [Life(place * 7.7, 50000 + place) for place in range(10)]
    lives += [
        Life(at * 2.1, port, closer=closer, swapped=swapped) for at, port, closer, swapped in drawn
    ]
    kept = [place for place in range(len(lives)) if place not in lost | more]
    found = pair(*both(lives, ahead, lost_on_one=tuple(lost), lost_on_two=tuple(more)))
    if found.clock is None:
        assert matched(found) == []  # what was lost fits as well as what was not
    else:
        assert found.clock.constant
        assert found.clock.low is not None
        assert found.clock.high is not None
        assert found.clock.low - 1000 <= ahead * 1e9 <= found.clock.high + 1000
        # Nothing wrong, and what is missing is said to be ambiguous.
        assert set(matched(found)) <= set(same(kept))
        assert len(kept) - len(matched(found)) <= min(found.ambiguous)
