"""How many at once: sweeps over intervals."""

import numpy as np
import pandas as pd

from tcptrace.analysis.masks import where
from tcptrace.analysis.order import changes, order_within, stable_order

#: Intervals looked at together.
_BLOCK = 1 << 20


def population(
    began: pd.Series, ended: pd.Series, started: pd.Timestamp, stopped: pd.Timestamp
) -> pd.Series:
    """Count the intervals open at each moment it changes.

    ``began``, ``ended``: UTC; a missing start lies before ``started``, a missing end
    after ``stopped`` (the observed span). Returns a step function: index times UTC,
    ascending and unique, values the count from that time on.
    """
    if began.empty:
        return pd.Series(dtype="int64", index=pd.DatetimeIndex([], tz="UTC"))
    ends = _nanoseconds(ended.fillna(stopped + pd.Timedelta(1, "ns")))
    begins = _nanoseconds(_from(began, started))
    # Sorted as plain numbers, of which the last bit tells a begin from an end.
    first = min(begins.min(), ends.min())
    steps = np.concatenate([(ends - first) << 1, (begins - first) << 1 | 1]).view(np.uint64)
    steps.sort()
    begin = (steps & np.uint64(1)).astype(np.int8)
    running = np.cumsum((begin << 1) - 1, dtype=np.int32)
    # In place: of very many each such array takes much memory.
    steps >>= np.uint64(1)
    times = steps.view(np.int64)
    times += first
    last = np.flatnonzero(changes(times)[1:])
    last = np.append(last, len(times) - 1)
    last = last[: np.searchsorted(times.take(last), stopped.as_unit("ns").value, "right")]
    counts = running.take(last).astype(np.int64)
    return pd.Series(counts, index=pd.DatetimeIndex(times.take(last).view("M8[ns]"), tz="UTC"))


def peaks(
    groups: pd.Series, began: pd.Series, ended: pd.Series, started: pd.Timestamp
) -> pd.Series:
    """Find the most intervals open at once in each group.

    ``groups``: an integer per interval (not negative), same index as ``began`` and
    ``ended``. Returns the peak, index the group. One pass for any number of groups.
    """
    if groups.empty:
        return pd.Series(dtype="int64")
    if len(groups) <= _BLOCK:
        return _peaks(groups, began, ended, started)
    order = stable_order(groups.to_numpy())
    number = groups.to_numpy()[order]
    # Block by block, each of whole groups: it takes several numbers for each interval.
    block = np.searchsorted(number, number[np.arange(0, len(number), _BLOCK)])
    blocks = np.split(order, np.unique(block)[1:])
    found = [_peaks(groups.iloc[b], began.iloc[b], ended.iloc[b], started) for b in blocks]
    most: pd.Series = pd.concat(found)
    return most


def _peaks(
    groups: pd.Series, began: pd.Series, ended: pd.Series, started: pd.Timestamp
) -> pd.Series:
    begins, ends = _nanoseconds(_from(began, started)), _nanoseconds(ended)
    # Behind all others, and not far: what is sorted must not take many bits.
    open_ended = max(begins.max(), ends.max()) + 1
    ends = where(ended.isna().to_numpy(bool), open_ended, ends)
    # An end comes before a start of the same instant: a port given back and taken.
    group = np.concatenate([groups.to_numpy(), groups.to_numpy()])
    time = np.concatenate([ends, begins])
    step = np.repeat(np.array([-1, 1]), len(groups))
    order = order_within(group, time)
    group, running = group.take(order), np.cumsum(step.take(order))
    # Each group's steps add up to 0, so the running sum restarts by itself.
    return pd.Series(running, index=group).groupby(level=0).max()


def _nanoseconds(times: pd.Series) -> np.ndarray:
    """Give times as ns since 1970."""
    numbers: np.ndarray = times.dt.as_unit("ns").to_numpy("M8[ns]").view(np.int64)
    return numbers


def _from(began: pd.Series, started: pd.Timestamp) -> pd.Series:
    """Let what began before the recording begin with it."""
    return began.where(began >= started, started)
