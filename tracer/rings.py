"""The rings of all CPUs, read as one stream.

Whatever happens to one socket happens one after the other, on whichever CPUs: its events
are given in that order, which is that of their times (CLOCK_MONOTONIC is the same on all
CPUs). The rings are looked at one after the other, so an event may be found whose
predecessor, on another CPU, came too late to be found: such events wait for the next time.
"""

import numpy as np

from tcptrace.tracer.fence import load_fence
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.ring import RingReader

#: Of each ring, bytes, at least: 100,000 TIME_WAITs may end on one CPU within one tick.
LEAST = 16 << 20
_BYTES = f"V{EVENT.itemsize}"


def ring_count(buffer_size: int, cpus: int) -> int:
    """Say how many rings share ``buffer_size`` bytes: a power of two, at most one per CPU."""
    count = 1
    while 2 * count <= cpus and buffer_size // (2 * count) >= LEAST:
        count *= 2
    return count


class Rings:
    """The consumer of several rings."""

    def __init__(self, readers: list[RingReader]) -> None:
        self._readers = readers
        self._fence = load_fence()
        #: Those found whose predecessors may not have been.
        self._held = np.empty(0, EVENT)

    def pending(self) -> int:
        """Count the events that wait to be read, those still being written included."""
        return len(self._held) + sum(reader.pending() for reader in self._readers)

    def busy(self) -> bool:
        """Tell whether an event is still being written."""
        return any(reader.busy() for reader in self._readers)

    def read(self, *, everything: bool = False) -> np.ndarray:
        """Take what is pending: a structured array of dtype ``EVENT``, maybe empty.

        ``everything``: no more will come, or nothing of it matters.
        """
        before = [reader.pending() for reader in self._readers]
        if not any(before) and not len(self._held):
            return self._held  # ten times a second when idle: 0.15 % of a core, not 0.40
        # All of this first: what has happened before any of them was counted is found now.
        self._fence()
        found = [reader.peek() for reader in self._readers]
        events = np.concatenate([self._held.view(_BYTES), *found])
        for reader in self._readers:
            reader.release()
        if len(self._readers) == 1 or not len(events):
            return events.view(EVENT)
        times = events.view(EVENT)["time"]
        order = np.argsort(times, kind="stable")
        ready = len(events)
        if not everything:
            counts = [len(self._held), *map(min, before, map(len, found))]
            ready = int(np.searchsorted(times, self._until(times, counts, found), "right", order))
        events = events.take(order).view(EVENT)
        self._held = events[ready:].copy()
        return events[:ready]

    def _until(self, times: np.ndarray, counts: list[int], found: list[np.ndarray]) -> np.uint64:
        """Give the time up to which nothing is missing, ns.

        ``counts``: of those held and of each ring's events, the first so many had happened
        before the rings were looked at.
        """
        starts = np.cumsum([0, len(self._held), *map(len, found[:-1])])
        known = [
            times[start : start + count].max()
            for start, count in zip(starts, counts, strict=True)
            if count
        ]
        until = max(known, default=np.uint64(0))
        # Behind an event that is still being written there are more, which must come first.
        behind = [reader.behind for reader in self._readers if reader.behind is not None]
        return np.uint64(min([int(until), *behind]))

    def close(self) -> None:
        """Unmap them."""
        for reader in self._readers:
            reader.close()
