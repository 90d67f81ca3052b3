"""Which TIME_WAITs are running now, followed without a Python step per event."""

import numpy as np

from tcptrace.tracer.schema import KIND


class WaitingSockets:
    """The timewait sockets begun and not yet ended, by address.

    FIN_WAIT_2 mini-sockets count too: they may become TIME_WAIT unseen.
    """

    def __init__(self) -> None:
        self._sockets = np.empty(0, np.uint64)
        self._ended = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._sockets)

    def update(self, events: np.ndarray) -> None:
        """Take in a batch of records, in order."""
        kind = events["kind"]
        chosen = (kind >= KIND["timewait_start"]) & (kind <= KIND["timewait_cancel"])
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
        return np.isin(events["socket"], sockets)
