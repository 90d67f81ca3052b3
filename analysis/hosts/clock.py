"""The difference of two clocks that most connections agree on."""

import numpy as np
import pandas as pd

#: Clocks that nobody corrects drift apart by no more than this.
DRIFT = 1e-4
#: What is allowed for on top, ns: clocks are stepped, and read at slightly different times.
SLACK = 1_000_000
#: What both ends' closing says is narrower than this, ns; a handshake alone says less.
NARROW = 1_000_000_000


def tolerance(*sides: pd.Series) -> int:
    """Say by how much the difference may change, ns; ``sides``: when ends were first seen."""
    span = max((int(side.max() - side.min()) for side in sides if len(side)), default=0)
    return SLACK + int(span * DRIFT)


def agreed(least: np.ndarray, most: np.ndarray, tolerance: int) -> tuple[int, int] | None:
    """Give the range of differences that most intervals, widened, have in common; ns.

    Intervals narrower than :data:`NARROW` decide, if there are any. None if there is none,
    or if quite another difference fits half as many or more: then nobody knows.
    """
    narrow = most - least <= NARROW
    if narrow.any():
        least, most = least[narrow], most[narrow]
    low, high = least - tolerance, most + tolerance
    low, high = low[low <= high], high[low <= high]
    if not len(low):
        return None
    at = np.concatenate([low, high])
    step = np.concatenate([np.ones(len(low), int), -np.ones(len(high), int)])
    # An interval begins before another ends at the same place.
    order = np.lexsort((-step, at))
    at, count = at[order], np.cumsum(step[order])
    good = np.flatnonzero(count * 2 >= count.max())
    if np.any(at[good[1:]] - at[good[:-1] + 1] > 2 * tolerance):
        return None
    best = np.flatnonzero(count == count.max())
    return int(at[best[0]]), int(at[best[-1] + 1])
