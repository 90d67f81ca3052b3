"""A BPF ring buffer, read in place: everything pending at once, no call per event.

Layout (kernel/bpf/ringbuf.c): page 0 holds the consumer position (ours to write),
page 1 the producer position, then the data. Each record: u32 length (bit 31: still
being written), u32 page offset, payload, rounded up to 8 bytes. The data can be mapped
twice in a row, so that no record wraps; mapped once, and put together where one does,
it counts once in the recorder's memory (64 MB less).
"""

import mmap

import numpy as np

from tcptrace.tracer.fence import load_fence
from tcptrace.tracer.layout import EVENT

_BUSY = np.uint32(1 << 31)
#: The event as plain bytes: numpy copies structures field by field, 12 times slower.
_RECORD = np.dtype([("length", "u4"), ("page", "u4"), ("event", f"V{EVENT.itemsize}")])
#: Where in a record the event's time is.
_TIME = _RECORD.fields["event"][1] + EVENT.fields["time"][1]  # type: ignore[index]


class RingReader:
    """The consumer of one ring buffer of ``size`` bytes holding only ``struct event``."""

    def __init__(self, descriptor: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._consumer_map = mmap.mmap(
            descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0
        )
        self._data_map = mmap.mmap(
            descriptor, page + size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._consumer = np.frombuffer(self._consumer_map, np.uint64, 1)
        self._producer = np.frombuffer(self._data_map, np.uint64, 1)
        self._data = np.frombuffer(self._data_map, np.uint8, size, page)
        self._fence = load_fence()
        self._peeked = 0
        self.behind: int | None = None

    def pending(self) -> int:
        """Count the records that wait to be read, those still being written included."""
        return (int(self._producer[0]) - int(self._consumer[0])) // _RECORD.itemsize

    def busy(self) -> bool:
        """Tell whether a record is still being written."""
        return not self._written().all()

    def _written(self) -> np.ndarray:
        """Tell of each pending record whether it is there, or still being written."""
        count = self.pending()
        # The producer's position first, then the lengths it vouches for.
        self._fence()
        start = int(self._consumer[0]) % len(self._data)
        if start + count * _RECORD.itemsize <= len(self._data):
            raw = self._data[start : start + count * _RECORD.itemsize]
            lengths = raw.view(_RECORD)["length"]
        else:
            places = start + np.arange(count) * _RECORD.itemsize
            lengths = self._data.view(np.uint32)[places % len(self._data) // 4]
        written: np.ndarray = lengths < _BUSY
        return written

    def peek(self) -> np.ndarray:
        """Give everything pending, in the order the kernel reserved it.

        An array of bytes, each element an event of dtype ``EVENT``; good until
        :meth:`release`. Stops before a record that is still being written; ``behind`` is
        then the time of the earliest that is there behind it, ns.
        """
        written = self._written()
        complete = len(written) if written.all() else int(written.argmin())
        # Lengths first, then the payloads they vouch for.
        self._fence()
        self._peeked = complete * _RECORD.itemsize
        start = int(self._consumer[0]) % len(self._data)
        raw = self._data[start : start + self._peeked]
        if wrapped := self._peeked - len(raw):
            raw = np.concatenate([raw, self._data[:wrapped]])
        self.behind = None
        if written[complete:].any():
            places = start + (complete + np.flatnonzero(written[complete:])) * _RECORD.itemsize
            times = self._data.view(np.uint64)[(places + _TIME) % len(self._data) // 8]
            self.behind = int(times.min())
        events: np.ndarray = raw.view(_RECORD)["event"]
        return events

    def release(self) -> None:
        """Let the kernel write again where what was peeked at is: it has been copied."""
        self._fence()  # all of it is read before the kernel may write there again
        self._consumer[0] += np.uint64(self._peeked)
        self._peeked = 0

    def close(self) -> None:
        """Unmap the buffer."""
        del self._consumer, self._producer, self._data
        self._consumer_map.close()
        self._data_map.close()
