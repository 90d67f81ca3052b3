"""Ladders of connections whose ends are in two recordings."""

from __future__ import annotations

import pytest

from tcptrace.analysis.hosts.timeline import BothSides

from .play import WAY, Life, views

CLIENT_STATES = ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "CLOSE"]


def drawn(lives: list[Life], ahead: float, **lost: tuple[int, ...]) -> list[list[str]]:
    one, two = views(lives, ahead, **lost)
    between = BothSides(one.recording, two.recording)
    chosen = between.chosen([one.connections, two.connections])
    return [[*each.title, *each.lines] for each in between.ladders(chosen, 10)]


@pytest.mark.parametrize("ahead", [0.0, 3.5, -7200.0])
@pytest.mark.parametrize("swapped", [False, True])
def test_both_ends_stand_in_the_order_of_cause_and_effect(ahead: float, swapped: bool) -> None:
    (lines,) = drawn([Life(2.0, swapped=swapped)], ahead)
    names = ("two", "one") if swapped else ("one", "two")
    assert lines[0].startswith(f"{names[0]}: #0 client curl")
    assert lines[1].startswith(f"{names[1]}: #0 server nginx")
    rows = [line.split("|") for line in lines[3:] if line.count("|") == 2]
    left = [row[0].split()[-1] for row in rows if len(row[0].split()) == 2]
    assert left == CLIENT_STATES
    order = [(row[0].split()[1:] or row[2].split())[0] for row in rows if row[0].split()[0] != ":"]
    assert order.index("CLOSE_WAIT") == order.index("FIN_WAIT_1") + 1
    assert order.index("FIN_WAIT_2") == order.index("CLOSE_WAIT") + 1
    # On the first recording's clock.
    times = [float(row[0].split()[0]) for row in rows if row[0].split()[0] != ":"]
    assert times[0] == pytest.approx(2.0, abs=WAY)
    assert times == sorted(times)


def test_only_pairs_are_drawn_the_earliest_first() -> None:
    lives = [Life(place * 3.0, 40000 + place) for place in (3, 1, 2)]
    lines = drawn(lives, 17.0, lost_on_two=(1,))
    assert [each[0].split()[1] for each in lines] == ["#2", "#0"]
