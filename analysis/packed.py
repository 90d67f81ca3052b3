"""Arrays in little memory until they are wanted again.

Numbers near each other take the bytes their differences need, and the one that many of
them are is left out. (To compress all took twice as long, and came to as much.)

Outside the C library's heap: among what comes and goes there they would leave it in
pieces, and looking for room in it took 6 % of a report of 100 million events.
"""

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import pyarrow as pa

#: For the little there is to say of what hardly differs.
_CODEC = pa.Codec("lz4_raw")
#: Bytes asked of the kernel at once; they take memory only where something was put.
_MAP = 64 << 20
#: Values that are looked at before all are.
_GLANCE = 64
#: Where a third of the values are the same, these are left out.
_OFTEN = 1 / 3
_NARROW = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32))


@dataclass(frozen=True)
class _Piece:
    """``count`` unsigned numbers of ``dtype``, each by ``least`` less than what is meant.

    ``size``: bytes they take; less than such numbers do if they are compressed.
    """

    dtype: np.dtype
    count: int
    least: int
    size: int


@dataclass(frozen=True)
class Packed:
    """An array; ``memory``: what holds its ``pieces``, from ``start`` to ``end``.

    These are its values, or the low and the high halves of them. Unless ``usual`` (as an
    unsigned number) is None: that all values are which they do not tell, and the first
    piece, if there are any, is bits that say which are told.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    usual: int | None = 0
    pieces: tuple[_Piece, ...] = ()
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
        if not values.size:
            return Packed(values.dtype, values.shape)
        numbers = np.ascontiguousarray(values).reshape(-1)
        if numbers.dtype.kind not in "iu":
            numbers = _unsigned(numbers)
        seen, first = numbers[:: len(numbers) // _GLANCE + 1], numbers[:1]
        if bool((seen == first).all()) and bool((numbers == first).all()):
            return Packed(values.dtype, values.shape, int(_unsigned(first)[0]))
        usual, told = _frequent(seen) if numbers.itemsize == 8 else None, []
        if usual is not None:
            differs = numbers != usual
            told.append(_piece(np.packbits(differs), 0, compress=True))
            numbers = numbers.take(np.flatnonzero(differs))
        told += _narrowed(numbers)
        pieces = tuple(piece for piece, _ in told)
        memory, start = self._room(sum(piece.size for piece in pieces))
        for piece, data in told:
            memory[self._end : self._end + piece.size] = data
            self._end += piece.size
        one = None if usual is None else int(_unsigned(usual)[0])
        return Packed(values.dtype, values.shape, one, pieces, memory, start, self._end)

    def _room(self, size: int) -> tuple[mmap.mmap, int]:
        if self._memory is None or self._end + size > len(self._memory):
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            self._memory, self._end = mmap.mmap(-1, max(_MAP, size), flags), 0
        return self._memory, self._end


def _unsigned(values: np.ndarray) -> np.ndarray:
    """Look at values' bits as at numbers."""
    return values.view(f"u{values.itemsize}")


def _frequent(numbers: np.ndarray) -> np.ndarray | None:
    """Give what many of some numbers are, as an array of one; None if they differ."""
    distinct, times = np.unique(numbers, return_counts=True)
    most = int(times.argmax())
    return distinct[most : most + 1] if times[most] >= _OFTEN * len(numbers) else None


def _piece(numbers: np.ndarray, least: int, *, compress: bool) -> tuple[_Piece, memoryview]:
    data, size = numbers.view(np.uint8).data, numbers.nbytes
    if compress:
        compressed = _CODEC.compress(numbers)
        if compressed.size < size:
            data, size = memoryview(compressed), compressed.size
    return _Piece(numbers.dtype, len(numbers), least, size), data


def _narrowed(numbers: np.ndarray, *, high: bool = False) -> list[tuple[_Piece, memoryview]]:
    """Give integers, or else their halves, in as few bytes as their differences need.

    ``high``: they are high halves, which hardly differ.
    """
    place = int(numbers.argmin())
    least = _unsigned(numbers[place : place + 1])
    span = int(numbers.max()) - int(numbers[place])
    for dtype in _NARROW:
        if span < 1 << 8 * dtype.itemsize:
            above = (_unsigned(numbers) - least).astype(dtype, copy=False)
            return [_piece(above, int(least[0]), compress=high or dtype.itemsize == 1)]
    low, high_ones = (half.copy() for half in numbers.view(np.uint32).reshape(-1, 2).T)
    return [_piece(low, 0, compress=False), *_narrowed(high_ones, high=True)]


def unpack(packed: Packed) -> np.ndarray:
    """Give the array again."""
    unsigned = np.dtype(f"u{packed.dtype.itemsize}")
    told = list(_told(packed))
    if packed.usual is None:
        numbers = _widened(told, unsigned)
    else:
        numbers = np.full(prod(packed.shape), packed.usual, unsigned)
        if told:
            differs = np.unpackbits(told[0][1], count=len(numbers)).view(bool)
            numbers[np.flatnonzero(differs)] = _widened(told[1:], unsigned)
    return numbers.view(packed.dtype).reshape(packed.shape)


def _told(packed: Packed) -> Iterator[tuple[_Piece, np.ndarray]]:
    """Give the pieces, each with its numbers."""
    if packed.memory is None:
        return
    start = packed.start
    for piece in packed.pieces:
        size = piece.count * piece.dtype.itemsize
        if piece.size == size:
            yield piece, np.frombuffer(packed.memory, piece.dtype, piece.count, start)
        else:
            with memoryview(packed.memory)[start : start + piece.size] as data:
                plain = _CODEC.decompress(data, size)
            yield piece, np.frombuffer(plain, piece.dtype)
        start += piece.size


def _widened(told: list[tuple[_Piece, np.ndarray]], dtype: np.dtype) -> np.ndarray:
    """Give numbers as they were, from themselves or from their low and high halves."""
    result = np.empty(told[0][0].count, dtype)
    wide = [result] if len(told) == 1 else list(result.view(np.uint32).reshape(-1, 2).T)
    for (piece, numbers), into in zip(told, wide, strict=True):
        np.add(numbers, into.dtype.type(piece.least), out=into, dtype=into.dtype)
    return result


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
