"""Which TIME_WAITs are running now, followed without a Python step per event."""

import numpy as np

from tcptrace.tracer.judge import tuple_keys
from tcptrace.tracer.schema import KIND, STATE


class WaitingSockets:
    """The timewait sockets begun and not yet ended, by address.

    FIN_WAIT_2 mini-sockets count too: they may become TIME_WAIT unseen.
    """

    def __init__(self) -> None:
        self._sockets = np.empty(0, np.uint64)
        self._ended = np.empty(0, np.uint64)
        self._older = np.empty(0, np.uint64)  # keys of four-tuples

    def __len__(self) -> int:
        return len(self._sockets)

    def update(self, events: np.ndarray) -> None:
        """Take in a batch of records, in order."""
        kind = events["kind"]
        chosen = _is_timewait(kind)
        if not chosen.any():
            return
        sockets = events["socket"][chosen]
        # The last word on each address in this batch: the first one backwards.
        last, where = np.unique(sockets[::-1], return_index=True)
        running = kind[chosen][::-1][where] == KIND["timewait_start"]
        kept = self._sockets[~np.isin(self._sockets, last, assume_unique=True)]
        self._sockets = np.concatenate([kept, last[running]])
        self._ended = last[~running]

    def known(self, events: np.ndarray) -> np.ndarray:
        """Tell which events are about these sockets, or those that ended just before.

        That a SYN reused a TIME_WAIT is reported a moment after the TIME_WAIT's end.
        """
        sockets = np.concatenate([self._sockets, self._ended])
        known: np.ndarray = np.isin(events["socket"], sockets)
        timewait = _is_timewait(events["kind"])
        known[timewait] |= np.isin(tuple_keys(events[timewait]), self._older)
        return known

    def include(self, rows: np.ndarray) -> None:
        """Know a snapshot's timewait sockets, too, which have no address.

        They are not counted: that one of them has ended may have been told before.
        """
        waiting = (rows["detail"] >= 0) | (rows["new_state"] == STATE["TIME_WAIT"])
        self._older = np.union1d(self._older, tuple_keys(rows[waiting]))


def _is_timewait(kind: np.ndarray) -> np.ndarray:
    return (kind >= KIND["timewait_start"]) & (kind <= KIND["timewait_cancel"])
