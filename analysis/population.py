"""How many at once: sweeps over intervals."""

import numpy as np
import pandas as pd


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
    begins = _from(began, started)
    ends = ended.fillna(stopped + pd.Timedelta(1, "ns"))
    steps = pd.concat(
        [
            pd.Series(1, index=pd.DatetimeIndex(begins)),
            pd.Series(-1, index=pd.DatetimeIndex(ends)),
        ]
    )
    return steps.groupby(level=0).sum().cumsum().loc[:stopped].astype("int64")


def peaks(
    groups: pd.Series, began: pd.Series, ended: pd.Series, started: pd.Timestamp
) -> pd.Series:
    """Find the most intervals open at once in each group.

    ``groups``: an integer per interval (not negative), same index as ``began`` and
    ``ended``. Returns the peak, index the group. One pass for any number of groups.
    """
    if groups.empty:
        return pd.Series(dtype="int64")
    open_ended = np.iinfo("int64").max
    begins = _from(began, started).dt.as_unit("ns").astype("int64")
    ends = ended.dt.as_unit("ns").astype("int64").where(ended.notna(), open_ended)
    group = np.concatenate([groups.to_numpy(), groups.to_numpy()])
    time = np.concatenate([begins.to_numpy(), ends.to_numpy()])
    step = np.repeat(np.array([1, -1]), len(groups))
    # An end comes before a start of the same instant: a port given back and taken.
    order = np.lexsort((step, time, group))
    group, running = group[order], np.cumsum(step[order])
    # Each group's steps add up to 0, so the running sum restarts by itself.
    return pd.Series(running, index=group).groupby(level=0).max()


def _from(began: pd.Series, started: pd.Timestamp) -> pd.Series:
    """Let what began before the recording begin with it."""
    return began.where(began >= started, started)
