"""How far the clocks of two machines are apart, from all that was seen of them."""

from collections.abc import Mapping

from tcptrace.analysis.demo.capture import Side, Sighting
from tcptrace.analysis.filters import Filters
from tcptrace.analysis.hosts import ends_of, pair
from tcptrace.analysis.recording import Recording
from tcptrace.analysis.view import choose

#: How far a host's clock is ahead of this machine's, ns, and how wrong that may be.
Ahead = Mapping[Side, tuple[int, int]]

_FAR = 1 << 62


def apart(
    ahead: Ahead,
    recordings: Mapping[Side, Recording],
    seen: Mapping[Side, list[Sighting]] | None = None,
) -> tuple[int, str]:
    """Say how far the server's clock is ahead of the client's, ns, and how sure that is.

    ``ahead``: from asking both for the time. ``seen``: each host's capture, if both have one,
    with times in UTC of that host.
    """
    (left, one), (right, another) = ahead["left"], ahead["right"]
    asked = (right - left - one - another, right - left + one + another)
    low, high = _by_connections(recordings)
    if seen is not None:
        crossed = _by_segments(seen)
        low, high = max(low, crossed[0]), min(high, crossed[1])
    sure = max(low, asked[0]) <= min(high, asked[1])
    if sure:
        low, high = max(low, asked[0]), min(high, asked[1])
    else:  # asking took longer one way than the other: as near as causes allow
        low, high = (min(max(value, low), high) for value in asked)
    middle = (low + high) // 2
    error = max(high - low, 0 if sure else asked[1] - asked[0]) // 2
    word = "ahead of" if middle >= 0 else "behind"
    return middle, (
        f"The server's clock was {_span(abs(middle))} {word} the client's, to within "
        f"{_span(error)}; ladders allow for that."
    )


def _span(ns: int) -> str:
    return f"{ns / 1e3:.1f} us" if ns < 1_000_000 else f"{ns / 1e6:,.2f} ms"


def _by_connections(recordings: Mapping[Side, Recording]) -> tuple[int, int]:
    one, two = (ends_of(choose(recordings[side], Filters())) for side in ("left", "right"))
    clock = pair(one, two).clock
    if clock is None or not clock.constant:
        return -_FAR, _FAR
    return (
        -_FAR if clock.low is None else clock.low,
        _FAR if clock.high is None else clock.high,
    )


def _by_segments(seen: Mapping[Side, list[Sighting]]) -> tuple[int, int]:
    """Bound the difference by segments both hosts saw: one sends before the other gets it."""
    times: dict[Side, dict[tuple[object, ...], list[int]]] = {}
    for side, sightings in seen.items():
        for one in sightings:
            segment = one.segment
            what = (one.side, segment.source_port, segment.target_port, segment.seq, segment.ack)
            known = times.setdefault(side, {})
            known.setdefault((*what, segment.flags, segment.length), []).append(one.time)
    low, high = -_FAR, _FAR
    for sent, (here, *more) in times.get("left", {}).items():
        there = times.get("right", {}).get(sent, [])
        if more or len(there) != 1:
            continue  # which is which cannot be told
        if sent[0] == "left":
            high = min(high, there[0] - here)
        else:
            low = max(low, there[0] - here)
    return low, high
