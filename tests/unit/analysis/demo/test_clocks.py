"""How far two machines' clocks are apart, from segments and from asking."""

from __future__ import annotations

import pytest

from tcptrace.analysis.demo import clocks
from tcptrace.analysis.demo.capture import Side, Sighting
from tcptrace.analysis.demo.clocks import apart
from tcptrace.analysis.demo.packet import ACK, SYN, build, parse

SECOND = 1_000_000_000
#: From one host to the other, ns.
WAY = 100_000


def sighting(side: Side, time: int, seq: int, flags: int = ACK) -> Sighting:
    left, right = ("192.0.2.1", 1), ("192.0.2.2", 2)
    ends = (*left, *right) if side == "left" else (*right, *left)
    segment = parse(build(*ends, seq=seq, flags=flags))
    assert segment is not None
    return Sighting(time, side, segment)


def captures(ahead: int, copies: int = 1) -> dict[Side, list[Sighting]]:
    """A SYN and its answer as both hosts saw them; the right one's clock is ahead."""
    seen: dict[Side, list[Sighting]] = {"left": [], "right": []}
    for _ in range(copies):
        seen["left"] += [sighting("left", 0, 5, SYN), sighting("right", 3 * WAY, 6, SYN | ACK)]
        seen["right"] += [
            sighting("left", WAY + ahead, 5, SYN),
            sighting("right", 2 * WAY + ahead, 6, SYN | ACK),
        ]
    return seen


@pytest.fixture(autouse=True)
def _recordings_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "_by_connections", lambda recordings: (-(1 << 62), 1 << 62))


@pytest.mark.parametrize("ahead", [0, 17 * SECOND, -3 * SECOND - 1])
def test_segments_tell_more_than_asking(ahead: int) -> None:
    asked = {"left": (0, 0), "right": (ahead + 4 * WAY, 10 * WAY)}
    difference, note = apart(asked, {}, captures(ahead))  # type: ignore[arg-type]
    assert abs(difference - ahead) <= WAY
    assert note.endswith("to within 100.0 us; ladders allow for that.")


def test_a_segment_sent_twice_tells_nothing() -> None:
    asked = {"left": (0, 0), "right": (SECOND, 5 * WAY)}
    difference, _ = apart(asked, {}, captures(0, copies=2))  # type: ignore[arg-type]
    assert difference == SECOND


def test_where_asking_was_wrong_the_segments_are_right() -> None:
    asked = {"left": (0, 0), "right": (SECOND, 1000)}
    difference, note = apart(asked, {}, captures(0))  # type: ignore[arg-type]
    assert difference == WAY
    assert "0.1 us" not in note
