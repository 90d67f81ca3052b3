"""What a recording covers: the span that was watched, and what of it was lost."""

from dataclasses import dataclass

import numpy as np

#: Times outside any recording; pandas takes the first for NaT.
NEVER = np.iinfo(np.int64).min
ALWAYS = np.iinfo(np.int64).max

#: What a snapshot tells may be so much older than it says, ns: the kernel tells it in
#: advance, a buffer at a time.
STALE = 1_000_000_000


@dataclass(frozen=True)
class Observed:
    """What was watched, ns since 1970: from ``started`` to ``ended``, but after
    ``settling`` only the TIME_WAITs begun before it; ``lost`` events, the last of them
    not after ``lost_until`` (NEVER if none was lost).
    """  # noqa: D205

    started: int
    settling: int
    ended: int
    lost: int
    lost_until: int
