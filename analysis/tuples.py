"""Four-tuples as single numbers, and finding what was there at a given time."""

import numpy as np

from tcptrace.analysis.order import alike, order_within


def tuple_ids(
    netns: np.ndarray,
    local: np.ndarray,
    local_port: np.ndarray,
    remote: np.ndarray,
    remote_port: np.ndarray,
) -> np.ndarray:
    """Give equal numbers to equal (namespace, four-tuple) combinations.

    Arrays of one length; addresses as codes of ``EventArrays``.
    """
    ports = local_port.astype(np.int64) << 16 | remote_port.astype(np.int64)
    return alike(local, remote, ports, netns)


def last_before(
    keys: np.ndarray, times: np.ndarray, at_keys: np.ndarray, at_times: np.ndarray
) -> np.ndarray:
    """For each (at_key, at_time) find the last entry of the same key at or before it.

    Gives indices into ``keys``; -1 where there is none.
    """
    if not len(keys) or not len(at_keys):
        return np.full(len(at_keys), -1)
    all_keys = np.concatenate([keys, at_keys])
    # Of the same time the entries come first, as they do here.
    order = order_within(all_keys, np.concatenate([times, at_times]))
    position = np.where(order < len(keys), np.arange(len(order)), -1)
    latest = np.maximum.accumulate(position)
    found = np.where(latest >= 0, order.take(latest), -1)
    same = (found >= 0) & (all_keys.take(found) == all_keys.take(order))
    result = np.full(len(all_keys), -1)
    result[order] = np.where(same, found, -1)
    return result[len(keys) :]
