"""Four-tuples as single numbers, and finding what was there at a given time."""

import numpy as np

from tcptrace.analysis.order import order_within, ranks

_IPV4_END = 1 << 32


def tuple_ids(
    netns: np.ndarray,
    local: np.ndarray,
    local_port: np.ndarray,
    remote: np.ndarray,
    remote_port: np.ndarray,
) -> np.ndarray:
    """Give equal numbers to equal (namespace, four-tuple) combinations.

    Arrays of one length; addresses as codes of ``EventArrays``. Exact, no hashing
    of several fields into one.
    """
    if len(local) and max(local.max(), remote.max()) < _IPV4_END:
        ids = ranks(local.astype(np.uint64) << np.uint64(32) | remote.astype(np.uint64))
    else:
        ids = ranks(ranks(local) << 32 | ranks(remote))
    ports = local_port.astype(np.int64) << 16 | remote_port.astype(np.int64)
    ids = ranks(ids << 32 | ports)
    namespaces = ranks(netns)
    return ranks(namespaces << 32 | ids) if namespaces.any() else ids


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
