"""Find both ends of each connection between two machines, in a recording of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from tcptrace.analysis.hosts.bounds import clock_bounds, possible
from tcptrace.analysis.hosts.clock import agreed, tolerance
from tcptrace.analysis.hosts.ends import Ends

_HERE = ["local_address", "local_port", "remote_address", "remote_port"]
_THERE = ["remote_address", "remote_port", "local_address", "local_port"]
#: Candidates looked at to compare the clocks: four-tuples used once come first.
_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Clock:
    """How far the second host's clock is ahead of the first's, ns; None: not bounded there.

    ``constant``: one difference explains all; else it moved at least from ``low`` to ``high``.
    """

    low: int | None
    high: int | None
    constant: bool


@dataclass(frozen=True)
class Pairing:
    """What two recordings say about the connections between their hosts.

    ``pairs``: a row per connection seen from both ends; the columns of
    :attr:`Ends.frame` with ``_one`` and ``_two``. ``ambiguous``: per recording, ends that fit
    several of the other's. ``alone``: ends towards the other host without one there,
    ``outside`` those of them that lived outside the other's recording. ``clock``: None if no
    connection tells it.
    """

    one: Ends
    two: Ends
    pairs: pd.DataFrame
    ambiguous: tuple[int, int]
    alone: tuple[int, int]
    outside: tuple[int, int]
    clock: Clock | None


def pairings(hosts: Sequence[Ends]) -> list[Pairing]:
    """Pair each two recordings of different machines."""
    return [
        pair(one, two)
        for one, two in combinations(hosts, 2)
        if one.boot_id is None or one.boot_id != two.boot_id
    ]


def pair(one: Ends, two: Ends) -> Pairing:
    """Pair the ends whose four-tuples mirror each other, as far as time leaves one choice."""
    left, right = _with_keys(one.frame, two.frame)
    candidates = _sample(left, right)
    # A four-tuple used once on each host is hardly ever two connections; one used again
    # fits in many ways.
    single = _once(candidates)
    slack = tolerance(left["first"], right["first"])
    bounds = _bounds(left, right, candidates)
    telling = bounds[single] if single.any() else bounds
    difference = agreed(
        telling["least"].to_numpy(np.int64), telling["most"].to_numpy(np.int64), slack
    )
    if difference is not None:
        low, high = difference
        candidates = _neighbours(left, right, (low + high) // 2)
        bounds = _bounds(left, right, candidates)
        fits = (bounds["least"] - slack <= high) & (bounds["most"] + slack >= low)
        candidates, bounds = (frame[fits.to_numpy(bool)] for frame in (candidates, bounds))
    once = _once(candidates) & (difference is not None)
    sure, doubtful = candidates[once], candidates[~once]
    halves = [
        frame.loc[sure[side]].reset_index(drop=True).add_suffix(suffix)
        for frame, side, suffix in ((left, "left", "_one"), (right, "right", "_two"))
    ]
    pairs = pd.concat(halves, axis=1)
    alone = [
        _towards(mine, other).drop(candidates[side], errors="ignore")
        for mine, other, side in ((left, right, "left"), (right, left, "right"))
    ]
    low, high = difference or (0, 0)
    outside = (_outside(alone[0], low, high, two), _outside(alone[1], -high, -low, one))
    return Pairing(
        one,
        two,
        pairs,
        (doubtful["left"].nunique(), doubtful["right"].nunique()),
        (len(alone[0]), len(alone[1])),
        outside,
        _clock(bounds[once]),
    )


def _once(candidates: pd.DataFrame) -> np.ndarray:
    """Mark the candidates whose ends are both in no other."""
    twice = [candidates[side].duplicated(keep=False) for side in ("left", "right")]
    return ~(twice[0] | twice[1]).to_numpy(bool)


def _with_keys(one: pd.DataFrame, two: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give each four-tuple a number; the second host's are mirrored."""
    mirrored = two[_THERE].set_axis(_HERE, axis=1)
    both = pd.concat([one[_HERE].astype(object), mirrored.astype(object)], ignore_index=True)
    key = both.groupby(_HERE, sort=False).ngroup().to_numpy()
    return one.assign(key=key[: len(one)]), two.assign(key=key[len(one) :])


def _sample(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Give candidates, all of them or those of the four-tuples used least often."""
    counts = left["key"].value_counts().mul(right["key"].value_counts()).dropna().sort_values()
    few = counts.index[counts.cumsum() <= _SAMPLE]
    lefts, rights = (
        side.loc[side["key"].isin(few), ["key"]].rename_axis(name).reset_index()
        for side, name in ((left, "left"), (right, "right"))
    )
    return _possible(left, right, lefts.merge(rights, on="key")[["left", "right"]])


def _neighbours(left: pd.DataFrame, right: pd.DataFrame, difference: int) -> pd.DataFrame:
    """Give for each end the nearest of the other side's with its four-tuple, before and after."""
    sides = []
    for side, name, shift in ((left, "left", difference), (right, "right", 0)):
        frame = side[["key"]].rename_axis(name).reset_index()
        frame["at"] = side["first"].to_numpy(np.int64) + shift
        sides.append(frame.sort_values("at", kind="stable"))
    found = [
        pd.merge_asof(a, b, on="at", by="key", direction=direction)[["left", "right"]].dropna()
        for a, b in (tuple(sides), tuple(sides[::-1]))
        for direction in ("backward", "forward")
    ]
    return _possible(left, right, pd.concat(found).astype(int).drop_duplicates())


def _possible(left: pd.DataFrame, right: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
    fits = possible(*_ends(left, right, candidates)).to_numpy(bool)
    return candidates[fits].reset_index(drop=True)


def _ends(
    left: pd.DataFrame, right: pd.DataFrame, candidates: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    one = left.loc[candidates["left"]].reset_index(drop=True)
    return one, right.loc[candidates["right"]].reset_index(drop=True)


def _bounds(left: pd.DataFrame, right: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
    return clock_bounds(*_ends(left, right, candidates))


def _towards(mine: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Give the ends that lead to an address the other host has used."""
    there = other["local_address"].astype(object).unique()
    return mine[mine["remote_address"].astype(object).isin(there)]


def _outside(ends: pd.DataFrame, low: int, high: int, other: Ends) -> int:
    """Count the ends that lived before or after the other's recording."""
    before, after = ends["last"] + high < other.started, ends["first"] + low > other.ended
    return int((before | after).sum())


def _clock(bounds: pd.DataFrame) -> Clock | None:
    low, high = bounds["low"].max(), bounds["high"].min()
    known = [None if pd.isna(value) else int(value) for value in (low, high)]
    if known == [None, None]:
        return None
    if None not in known and low >= high:
        return Clock(known[1], known[0], False)
    return Clock(known[0], known[1], True)
