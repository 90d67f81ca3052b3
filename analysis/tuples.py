"""Four-tuples as single numbers, and finding what was there at a given time."""

import numpy as np

from tcptrace.analysis.columns import spread
from tcptrace.analysis.masks import where
from tcptrace.analysis.order import alike, order_within

#: Numbers that are looked up are not much sparser than this.
_SPARSE = 8


def tuple_ids(
    netns: np.ndarray,
    local: np.ndarray,
    local_port: np.ndarray,
    remote: np.ndarray,
    remote_port: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Give equal numbers to equal (namespace, four-tuple) combinations.

    Arrays of one length; addresses as codes of ``EventArrays``. Bit 0 of a number tells
    which of the two ends is the local one; ``bits`` above it, given too, are the same for
    both ends; what is above these tells the namespace.
    """
    here = local << 16 | local_port
    there = remote << 16 | remote_port
    ends = alike(np.minimum(here, there), np.maximum(here, there))
    bits = int(ends.max(initial=0)).bit_length()
    ids = alike(netns) << bits
    ids |= ends
    ids <<= 1
    ids |= here > there
    return ids, bits


def last_before(
    keys: np.ndarray, times: np.ndarray, at_keys: np.ndarray, at_times: np.ndarray
) -> np.ndarray:
    """For each (at_key, at_time) find the last entry of the same key at or before it.

    ``keys``, ``at_keys``: not negative. Gives indices into ``keys``; -1 where there is none.
    """
    if not len(keys) or not len(at_keys):
        return np.full(len(at_keys), -1)
    size = int(max(keys.max(), at_keys.max())) + 1
    if size > _SPARSE * (len(keys) + len(at_keys)):
        return _by_sorting(keys, times, at_keys, at_times)
    # Where a key has one entry, as most four-tuples have, that is looked up.
    count = np.bincount(keys, minlength=size)
    place = np.zeros(size, np.int64)
    place[keys] = np.arange(len(keys))
    found, number = place.take(at_keys), count.take(at_keys)
    result = where((number == 1) & (times.take(found) <= at_times), found, -1)
    asked = np.flatnonzero(number > 1)
    if len(asked):
        several = np.flatnonzero(count.take(keys) > 1)
        among = _by_sorting(
            keys.take(several), times.take(several), at_keys.take(asked), at_times.take(asked)
        )
        result[asked] = spread(several, among, -1)
    return result


def _by_sorting(
    keys: np.ndarray, times: np.ndarray, at_keys: np.ndarray, at_times: np.ndarray
) -> np.ndarray:
    all_keys = np.concatenate([keys, at_keys])
    # Of the same time the entries come first, as they do here.
    order = order_within(all_keys, np.concatenate([times, at_times]))
    position = where(order < len(keys), np.arange(len(order)), -1)
    latest = np.maximum.accumulate(position)
    found = np.where(latest >= 0, order.take(latest), -1)
    same = (found >= 0) & (all_keys.take(found) == all_keys.take(order))
    result = np.full(len(all_keys), -1)
    result[order] = np.where(same, found, -1)
    return result[len(keys) :]
