"""Arrays in little memory until they are wanted again.

Outside the C library's heap: among what comes and goes there they would leave it in
pieces, and looking for room in it took 6 % of a report of 100 million events.
"""

import mmap
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

#: A quarter of the size for less than a tenth of a report's time.
_CODEC = pa.Codec("lz4_raw")
#: Bytes asked of the kernel at once; they take memory only where something was put.
_MAP = 64 << 20
#: Values that are looked at before all are.
_GLANCE = 64


@dataclass(frozen=True)
class Packed:
    """An array; ``memory``: what holds it, from ``start`` on; None: all values are ``first``."""

    dtype: np.dtype
    shape: tuple[int, ...]
    first: object
    memory: mmap.mmap | None = None
    start: int = 0
    end: int = 0


class Packer:
    """Packs arrays one behind the other."""

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None
        self._end = 0

    def pack(self, values: np.ndarray) -> Packed:
        """Take an array into little memory."""
        first = values.flat[0] if values.size else None
        glance = values.reshape(-1)[:_GLANCE]
        if bool((glance == first).all()) and bool((values == first).all()):
            return Packed(values.dtype, values.shape, first)
        data = _CODEC.compress(_halved(values))
        if self._memory is None or self._end + data.size > len(self._memory):
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            self._memory, self._end = mmap.mmap(-1, max(_MAP, data.size), flags), 0
        start, self._end = self._end, self._end + data.size
        self._memory[start : self._end] = data
        return Packed(values.dtype, values.shape, first, self._memory, start, self._end)


def _halved(values: np.ndarray) -> np.ndarray:
    """Give what is packed: of 64-bit values all the high halves together, which hardly differ."""
    flat = values.reshape(-1)
    if flat.itemsize < 8:
        return np.ascontiguousarray(flat)
    return np.ascontiguousarray(flat.view(np.uint32).reshape(-1, 2).T)


def unpack(packed: Packed) -> np.ndarray:
    """Give the array again."""
    if packed.memory is None:
        return np.full(packed.shape, packed.first if packed.first is not None else 0, packed.dtype)
    size = int(np.prod(packed.shape)) * packed.dtype.itemsize
    with memoryview(packed.memory)[packed.start : packed.end] as data:
        flat: np.ndarray = np.frombuffer(_CODEC.decompress(data, size), np.uint8)
    if packed.dtype.itemsize < 8:
        return flat.copy().view(packed.dtype).reshape(packed.shape)
    values = np.empty(size // 8, packed.dtype)
    halves = values.view(np.uint32).reshape(-1, 2)
    # One half at a time: transposing both takes four times as long.
    halves[:, 0], halves[:, 1] = flat.view(np.uint32).reshape(2, -1)
    return values.reshape(packed.shape)


def forget(neighbours: Iterable[Packed]) -> None:
    """Give the memory back of arrays that were packed one behind the other."""
    ends: dict[mmap.mmap, tuple[int, int]] = {}
    for packed in neighbours:
        if packed.memory is not None:
            start, _ = ends.get(packed.memory, (packed.start, 0))
            ends[packed.memory] = start, packed.end
    for memory, (start, end) in ends.items():
        # Whole pages: others may be in the first and in the last.
        start, end = start + -start % mmap.PAGESIZE, end - end % mmap.PAGESIZE
        if start < end:
            memory.madvise(mmap.MADV_DONTNEED, start, end - start)
