"""What one connection, seen from both ends, says about the difference of two clocks.

A segment arrives after it was sent. So each step by which one end's state follows from the
other's puts a bound on ``d``, by how much the second host's clock is ahead of the first's:
if x on the first host comes before y on the second, then ``x < y - d``.

The kernel traces an accepted connection's SYN_RECV only when the handshake's third segment
arrives, so both of the server's first states follow the client's ESTABLISHED. What comes back
is seen when the connection is closed: FIN_WAIT_1 is followed by the peer's CLOSE_WAIT, that by
FIN_WAIT_2; and if the FINs cross, each FIN_WAIT_1 by the peer's CLOSING.
"""

import pandas as pd

#: A server's end is at most so much later established than the client's, ns: the third
#: segment may be lost. Used to tell connections apart, never as a bound.
LATE = 3_000_000_000
#: States of which each follows from the one before, on the other end.
_STEPS = (
    ("fin_wait_1", "close_wait"),
    ("close_wait", "fin_wait_2"),
    ("fin_wait_1", "closing"),
)


def possible(one: pd.DataFrame, two: pd.DataFrame) -> pd.Series:
    """Mark the candidates that may be the two ends of a connection, by roles and states.

    Not two clients or two servers; not two ends that both got the other's FIN before they
    sent their own (CLOSE_WAIT); and if both sent theirs first, one gets the other's in
    FIN_WAIT_1 (CLOSING).
    """
    roles = [side["role"].astype(object) for side in (one, two)]
    wrong = (roles[0] == roles[1]) & roles[0].isin(["client", "server"])
    wrong |= one["close_wait"].notna() & two["close_wait"].notna()
    neither = one["closing"].isna() & two["closing"].isna()
    wrong |= one["fin_wait_2"].notna() & two["fin_wait_2"].notna() & neither
    return ~wrong


def clock_bounds(one: pd.DataFrame, two: pd.DataFrame) -> pd.DataFrame:
    """Bound ``d`` by each candidate: a row of ``one`` and the same row of ``two``.

    Both as in :class:`tcptrace.analysis.hosts.ends.Ends`, with the same index. Gives
    ``low`` and ``high`` in ns (Int64), null where nothing bounds it, and ``least`` and
    ``most``: the same, but never null, for telling candidates apart.
    """
    lows, highs = [], []
    for before, after in _STEPS:
        highs.append(two[after] - one[before])
        lows.append(two[before] - one[after])
    accepted = two["established"] - one["established"]
    highs.append(accepted.mask((one["role"] != "client") | (two["role"] != "server")))
    lows.append(accepted.mask((one["role"] != "server") | (two["role"] != "client")))
    low = pd.concat(lows, axis=1).max(axis=1).astype("Int64")
    high = pd.concat(highs, axis=1).min(axis=1).astype("Int64")
    # Both lived at the same time.
    alive_low, alive_high = two["first"] - one["last"] - LATE, two["last"] - one["first"] + LATE
    met = accepted.notna()
    least = low.fillna((high - LATE).where(met)).fillna(alive_low)
    most = high.fillna((low + LATE).where(met)).fillna(alive_high)
    return pd.DataFrame({"low": low, "high": high, "least": least, "most": most})
