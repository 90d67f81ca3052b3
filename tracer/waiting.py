"""Which TIME_WAITs are running now, followed without a Python step per event."""

import numpy as np

from tcptrace.tracer.judge import tuple_keys
from tcptrace.tracer.schema import KIND, STATE


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Tell which values are in ``known``, which is sorted."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    at = np.searchsorted(known, values)
    at[at == len(known)] = 0
    found: np.ndarray = known[at] == values
    return found


def _identities(events: np.ndarray, tuples: np.ndarray) -> np.ndarray:
    """Give 64 bits that tell timewait sockets apart.

    An address alone does not: it is another socket's as soon as one has ended.
    """
    identities: np.ndarray = tuples ^ events["socket"]
    return identities


class WaitingSockets:
    """The timewait sockets begun and not yet ended, by address and four-tuple.

    FIN_WAIT_2 mini-sockets count too: they may become TIME_WAIT unseen.
    """

    def __init__(self) -> None:
        self._sockets = np.empty(0, np.uint64)  # sorted
        self._ended = np.empty(0, np.uint64)  # sorted
        self._older = np.empty(0, np.uint64)  # keys of four-tuples
        #: Sockets, and whether each runs from then on: not yet in the above.
        self._news: list[tuple[np.ndarray, np.ndarray]] = []
        self._news_size = 0

    def __len__(self) -> int:
        self._merge()
        return len(self._sockets)

    def update(self, events: np.ndarray) -> None:
        """Take in a batch of records, in order."""
        kind = events["kind"]
        chosen = _is_timewait(kind)
        if not chosen.any():
            return
        # As plain bytes: numpy copies structures field by field, 12 times slower.
        timers = events.view(f"V{events.itemsize}")[chosen].view(events.dtype)
        kind = kind[chosen]
        sockets = _identities(timers, tuple_keys(timers))
        self._news.append((sockets, kind == KIND["timewait_start"]))
        self._news_size += len(kind)
        # Merging costs as much as there are sockets: with 600,000 waiting, merging each
        # batch would cost 0.8 us an event.
        if self._news_size > 100_000 + len(self._sockets) // 2:
            self._merge()

    def _merge(self) -> None:
        """Bring the set up to date: the last word on each counts."""
        if not self._news:
            return
        sockets = np.concatenate([sockets for sockets, _ in self._news])
        running = np.concatenate([running for _, running in self._news])
        self._news, self._news_size = [], 0
        order = np.argsort(sockets, kind="stable")
        sockets, running = sockets[order], running[order]
        last = np.append(sockets[1:] != sockets[:-1], True)
        sockets, running = sockets[last], running[last]
        kept = self._sockets[~_among(self._sockets, sockets)]
        self._sockets = np.sort(np.concatenate([kept, sockets[running]]), kind="stable")
        self._ended = sockets[~running]

    def known(self, events: np.ndarray) -> np.ndarray:
        """Tell which events are about these sockets, or those that ended just before.

        That a SYN reused a TIME_WAIT is reported a moment after the TIME_WAIT's end.
        """
        self._merge()
        tuples = tuple_keys(events)
        sockets = _identities(events, tuples)
        known: np.ndarray = _among(sockets, self._sockets) | _among(sockets, self._ended)
        timewait = _is_timewait(events["kind"])
        known[timewait] |= np.isin(tuples[timewait], self._older)
        return known

    def include(self, rows: np.ndarray, *, every: bool) -> None:
        """Know a snapshot's timewait sockets, too, which have no address.

        ``every``: it lacks none, so that those of the snapshot before have ended.

        They are not counted: that one of them has ended may have been told before.
        """
        waiting = (rows["detail"] >= 0) | (rows["new_state"] == STATE["TIME_WAIT"])
        keys = tuple_keys(rows[waiting])
        self._older = np.unique(keys) if every else np.union1d(self._older, keys)


def _is_timewait(kind: np.ndarray) -> np.ndarray:
    return (kind >= KIND["timewait_start"]) & (kind <= KIND["timewait_cancel"])
