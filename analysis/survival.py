"""Kaplan-Meier: how long things last when not all were seen from start to end."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tcptrace.analysis.order import changes

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Survival:
    """The estimated share that lasts longer than each time.

    ``times``: seconds, ascending, one per distinct end or censoring.
    ``alive``: the share still there just after that time, 1 down to 0.
    ``count``: lives used; ``ended``: those of them that were seen to end.
    """

    times: Floats
    alive: Floats
    count: int
    ended: int

    def quantile(self, share: float) -> float | None:
        """Return the time by which ``share`` of the lives had ended, in seconds.

        None if too few were seen to end: the answer lies beyond what was observed.
        """
        reached = self.alive <= 1 - share + 1e-12
        return float(self.times[reached.argmax()]) if reached.any() else None


def kaplan_meier(durations: Floats, ended: Flags, entered: Floats | None = None) -> Survival:
    """Estimate how long lives last (product-limit estimate, Kaplan and Meier 1958).

    ``durations``: seconds from a life's start to its end or to the last sight of it.
    ``ended``: whether it was seen to end (False: right-censored, a lower bound).
    ``entered``: seconds from its start to the first sight of it (left truncation: it
    is in the recording only because it lasted that long); None: all seen from the
    start. NaN durations are left out.
    """
    durations = np.asarray(durations, dtype=np.float64)
    ended = np.asarray(ended, dtype=bool)
    if np.isnan(durations).any():
        known = np.flatnonzero(~np.isnan(durations))
        durations, ended = durations.take(known), ended.take(known)
        entered = None if entered is None else np.asarray(entered, np.float64).take(known)
    count, deaths = int(durations.size), int(ended.sum())
    if not deaths:
        times = np.unique(durations)
        return Survival(times, np.ones(times.size), count, 0)
    if entered is not None:
        entered = np.minimum(np.nan_to_num(np.asarray(entered, np.float64)), durations)
        if not entered.any():
            entered = None
    return Survival(*_estimate(durations, ended, entered), count, deaths)


def _estimate(durations: Floats, ended: Flags, entered: Floats | None) -> tuple[Floats, Floats]:
    """Count a life as at risk only from ``entered`` on.

    Where the few at risk all end while others have yet to enter, the product would
    stay 0 for ever; such a step says nothing about the later ones and is left out.
    """
    # Not scipy.stats.ecdf: it knows no ``entered``, and its import takes half a second.
    times = np.sort(durations)
    gone = np.flatnonzero(changes(times))
    times = times.take(gone)
    # How many were there before each time, and how many of them did not end then.
    before, left = durations.size - gone, durations.size - np.append(gone[1:], durations.size)
    censored = np.flatnonzero(~ended)
    if censored.size:
        seen_last = np.searchsorted(times, np.sort(durations.take(censored)))
        left += np.bincount(seen_last, minlength=times.size)
    if entered is None:
        if not censored.size:
            return times, left / durations.size
        alive = left / before
        del gone, before, left  # of very many they take much memory
        return times, np.cumprod(alive, out=alive)
    deaths = before - left
    in_sight = np.searchsorted(np.sort(entered), times, side="left")
    at_risk = in_sight - gone
    usable = (at_risk > deaths) | (in_sight == durations.size)
    factors = np.ones(times.size)
    np.divide(at_risk - deaths, at_risk, out=factors, where=usable & (at_risk > 0))
    return times, np.cumprod(factors, dtype=np.float64)
