"""A file's bytes as memory, which is given back once they have been read."""

import mmap
from pathlib import Path

import pyarrow as pa

#: Bytes read before they are given back: a call for so many costs nothing.
_STEP = 64 << 20


class Mapped:
    """``bytes``: all of a file. Raises ``OSError`` as open() does, ``ValueError`` if empty."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.bytes = pa.py_buffer(self._map)
        self._given = 0

    def read_to(self, place: int) -> None:
        """Say that the bytes before a place were read: they need no memory for now."""
        if place - self._given >= _STEP:
            length = (place - self._given) // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, self._given, length)
            self._given += length
