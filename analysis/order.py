"""Sorting many numbers fast: key and place together as one number."""

from typing import Any

import numpy as np

#: Odd, so that different numbers stay different: the fractions of the golden ratio and of the
#: square root of 3, whose bits have no pattern.
_FACTORS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
#: Keys that are looked at before all are.
_GLANCE = 64


def stable_order(keys: np.ndarray) -> np.ndarray:
    """Give what ``np.argsort(keys, kind="stable")`` does; `keys`: integers of any kind.

    numpy sorts plain 64-bit numbers ten times faster than it finds their order: so where
    a key and its place fit into one, that is what is sorted.
    """
    return _sorted(keys, wanted=False)[1]


def sorted_with_places(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the keys sorted, and what :func:`stable_order` does."""
    return _sorted(keys, wanted=True)


def _sorted(keys: np.ndarray, *, wanted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sort; ``wanted``: the keys are, too, and else not given."""
    count = len(keys)
    if count < 2 or _ascending(keys):
        return keys, np.arange(count)
    wide = keys if keys.dtype.itemsize == 8 else keys.astype(np.int64)
    # Right for signed keys, too: a difference of two is less than 2**64.
    least = wide.min().view(np.uint64)
    above = wide.view(np.uint64) - least
    used = int(np.bitwise_or.reduce(above))
    shift = (used & -used).bit_length() - 1 if used else 0
    bits = (count - 1).bit_length()
    if (used >> shift).bit_length() + bits > 64:
        order = np.argsort(keys, kind="stable")
        return keys.take(order), order
    packed = above
    packed >>= np.uint64(shift)
    packed <<= np.uint64(bits)
    packed |= np.arange(count, dtype=np.uint64)
    packed.sort()
    if wanted:
        # Not taken by their places: they stand in what was sorted.
        above = packed >> np.uint64(bits)
        above <<= np.uint64(shift)
        above += least
        keys = above.view(wide.dtype).astype(keys.dtype, copy=False)
    packed &= np.uint64((1 << bits) - 1)
    return keys, packed.view(np.int64)


def _ascending(keys: np.ndarray) -> bool:
    """Tell whether keys are in order: often they are, and what is not mostly shows at once."""
    begin, rest = keys[: _GLANCE + 1], keys[_GLANCE:]
    return not bool((begin[1:] < begin[:-1]).any() or (rest[1:] < rest[:-1]).any())


def order_within(groups: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Give what ``np.lexsort((times, groups))`` does."""
    order = stable_order(times)
    result: np.ndarray = order.take(stable_order(groups.take(order)))
    return result


def alike(*columns: np.ndarray) -> np.ndarray:
    """Give each entry a number: equal ones where all columns' values are equal, else different.

    ``columns``: integers, of one length. The numbers are 0, 1, ... in no order. Exact: what
    is sorted is a mix of the columns, but neighbours are compared by the columns themselves.
    """
    count = len(columns[0])
    telling = [column for column in columns if count and bool((column != column[0]).any())]
    if not telling:
        return np.zeros(count, np.int64)
    order, begins = _brought_together(telling)
    result = np.empty(count, np.int64)
    result[order] = numbered(begins)
    return result


def _brought_together(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Give an order that has equal entries side by side, and where in it others begin."""
    count = len(columns[0])
    bits = np.uint64((count - 1).bit_length())
    for factor in _FACTORS:
        packed = _mixed(columns, factor) >> bits << bits
        packed |= np.arange(count, dtype=np.uint64)
        packed.sort()
        mixes = packed >> bits
        packed ^= mixes << bits
        order = packed.view(np.int64)
        begins = _begins(columns, order)
        # Different entries of one mix may lie mingled.
        if not bool((begins[1:] & (mixes[1:] == mixes[:-1])).any()):
            return order, begins
    order = np.lexsort(columns)
    return order, _begins(columns, order)


def _mixed(columns: list[np.ndarray], factor: int) -> np.ndarray:
    """Give one number for each entry, whose high bits hardly ever agree by chance."""
    mixed = columns[0].astype(np.uint64) * np.uint64(factor)
    for column in columns[1:]:
        mixed ^= mixed >> np.uint64(32)
        mixed += column.astype(np.uint64, copy=False)
        mixed *= np.uint64(factor)
    return mixed


def _begins(columns: list[np.ndarray], order: np.ndarray) -> np.ndarray:
    """Tell which entries, in an order, differ from the one before; the first does."""
    begins = np.zeros(len(order), bool)
    begins[0] = True
    for column in columns:
        in_order = column.take(order)
        begins[1:] |= in_order[1:] != in_order[:-1]
    return begins


def changes(values: np.ndarray) -> np.ndarray:
    """Mark what differs from the one before; the first does."""
    begins = np.ones(len(values), bool)
    begins[1:] = values[1:] != values[:-1]
    return begins


def numbered(begins: np.ndarray) -> np.ndarray:
    """Give each element the number of its group, from 0 on.

    ``begins``: whether an element is its group's first; the very first is.
    """
    # Of 32 bits numpy adds several at once.
    dtype: type[np.signedinteger[Any]] = np.int32 if len(begins) < 1 << 31 else np.int64
    number: np.ndarray = np.cumsum(begins, dtype=dtype) - dtype(1)
    return number
