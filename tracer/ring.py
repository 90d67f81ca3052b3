"""The BPF ring buffer, read in place: everything pending at once, no call per event.

Layout (kernel/bpf/ringbuf.c): page 0 holds the consumer position (ours to write),
page 1 the producer position, then the data pages, mapped twice in a row so that no
record wraps. Each record: u32 length (bit 31: still being written), u32 page
offset, payload, rounded up to 8 bytes.
"""

import mmap

import numpy as np

from tcptrace.tracer.layout import EVENT

_BUSY = np.uint32(1 << 31)
_RECORD = np.dtype([("length", "u4"), ("page", "u4"), ("event", EVENT)])


class RingReader:
    """The consumer of one ring buffer of ``size`` bytes holding only ``struct event``."""

    def __init__(self, descriptor: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._mask = size - 1
        self._consumer_map = mmap.mmap(
            descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0
        )
        self._data_map = mmap.mmap(
            descriptor, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._page = page
        self._consumer = np.frombuffer(self._consumer_map, np.uint64, 1)
        self._producer = np.frombuffer(self._data_map, np.uint64, 1)

    def pending(self) -> int:
        """Give the bytes that wait to be read."""
        return int(self._producer[0] - self._consumer[0])

    def read(self) -> np.ndarray:
        """Take everything pending, in the order the kernel reserved it.

        Gives a structured array of dtype ``EVENT`` that owns its memory; empty if
        nothing is pending. Stops before a record that is still being written.
        """
        position = int(self._consumer[0])
        count = (int(self._producer[0]) - position) // _RECORD.itemsize
        records = np.ndarray(
            (count,), _RECORD, self._data_map, self._page + (position & self._mask)
        )
        # x86-64 keeps loads in order: lengths first, then the payloads they vouch for.
        busy = records["length"] >= _BUSY
        if busy.any():
            count = int(busy.argmax())
        events = records["event"][:count].copy()
        self._consumer[0] = position + count * _RECORD.itemsize
        return events

    def close(self) -> None:
        """Unmap the buffer."""
        del self._consumer, self._producer
        self._consumer_map.close()
        self._data_map.close()
