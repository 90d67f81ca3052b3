"""What is known of sockets whose connection is decided."""

import numpy as np

from tcptrace.tracer.judge import MAYBE


class KnownSockets:
    """By address: the verdict on the latest life there, and the key of its tuple.

    A batch costs what it touches, plus moving a few bytes for each socket known.
    """

    def __init__(self) -> None:
        self._sockets = np.empty(0, np.uint64)  # ascending
        self._keys = np.empty(0, np.uint64)
        self._verdicts = np.empty(0, np.int8)

    def __len__(self) -> int:
        return len(self._sockets)

    def look_up(self, sockets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give each socket's verdict, MAYBE if it is unknown or undecided, and key, or 0."""
        at, found = self._find(sockets)
        verdicts, keys = np.full(len(sockets), MAYBE), np.zeros(len(sockets), np.uint64)
        verdicts[found], keys[found] = self._verdicts[at[found]], self._keys[at[found]]
        return verdicts, keys

    def verdicts_by_key(self, keys: np.ndarray) -> np.ndarray:
        """Give the verdict on a connection of each tuple; MAYBE if none is known."""
        result = np.full(len(keys), MAYBE)
        places = np.flatnonzero(np.isin(self._keys, keys) & (self._verdicts != MAYBE))
        order = np.argsort(self._keys[places], kind="stable")
        places = places[order]
        at = np.searchsorted(self._keys[places], keys)
        inside = at < len(places)
        found = np.zeros(len(keys), bool)
        found[inside] = self._keys[places[at[inside]]] == keys[inside]
        result[found] = self._verdicts[places[at[found]]]
        return result

    def remember(self, sockets: np.ndarray, keys: np.ndarray, verdicts: np.ndarray) -> None:
        """Keep what is known now; sockets ascending and distinct."""
        at, found = self._find(sockets)
        self._keys[at[found]] = keys[found]
        self._verdicts[at[found]] = verdicts[found]
        new = ~found
        self._sockets = np.insert(self._sockets, at[new], sockets[new])
        self._keys = np.insert(self._keys, at[new], keys[new])
        self._verdicts = np.insert(self._verdicts, at[new], verdicts[new])

    def decide(self, sockets: np.ndarray, verdict: np.int8) -> None:
        """Change the verdict on known sockets."""
        at, found = self._find(sockets)
        self._verdicts[at[found]] = verdict

    def _find(self, sockets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = np.searchsorted(self._sockets, sockets)
        inside = at < len(self._sockets)
        found = np.zeros(len(sockets), bool)
        found[inside] = self._sockets[at[inside]] == sockets[inside]
        return at, found
