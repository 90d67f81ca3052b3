"""Events that wait for their connection to be decided."""

import numpy as np

from tcptrace.tracer.layout import EVENT

_SMALLEST = 1024


class HeldRows:
    """Records (dtype ``EVENT``), found by socket; a batch costs what it touches.

    Records stay where they were put; only an index of socket and place is kept sorted.
    """

    def __init__(self) -> None:
        self._rows = np.empty(_SMALLEST, EVENT)
        self._used = 0
        # Sorted by socket, then by place.
        self._sockets = np.empty(0, np.uint64)
        self._places = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._sockets)

    def take(self, sockets: np.ndarray) -> np.ndarray:
        """Remove and give the records of these sockets (ascending, distinct), oldest first."""
        first = np.searchsorted(self._sockets, sockets, "left")
        counts = np.searchsorted(self._sockets, sockets, "right") - first
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        return self._remove(np.repeat(first - (ends - counts), counts) + np.arange(total))

    def take_oldest(self, count: int) -> np.ndarray:
        """Remove and give the ``count`` records put in longest ago, oldest first."""
        if count <= 0:
            return np.empty(0, EVENT)
        return self._remove(np.argsort(self._places)[:count])

    def put(self, rows: np.ndarray) -> None:
        """Add records; those of one socket in order of time."""
        if not len(rows):
            return
        if self._used + len(rows) > len(self._rows):
            self._make_room(len(rows))
        self._rows[self._used : self._used + len(rows)] = rows
        order = np.argsort(rows["socket"], kind="stable")
        sockets = rows["socket"][order]
        at = np.searchsorted(self._sockets, sockets, "right")
        self._sockets = np.insert(self._sockets, at, sockets)
        self._places = np.insert(self._places, at, self._used + order)
        self._used += len(rows)

    def _remove(self, indices: np.ndarray) -> np.ndarray:
        if not len(indices):
            return np.empty(0, EVENT)
        rows: np.ndarray = self._rows[np.sort(self._places[indices])]
        self._sockets = np.delete(self._sockets, indices)
        self._places = np.delete(self._places, indices)
        return rows

    def _make_room(self, count: int) -> None:
        """Close the gaps that removed records left, and have as much room again."""
        kept = np.sort(self._places)
        rows = np.empty(max(_SMALLEST, 2 * (len(kept) + count)), EVENT)
        rows[: len(kept)] = self._rows[kept]
        self._rows, self._used = rows, len(kept)
        self._places = np.searchsorted(kept, self._places)
