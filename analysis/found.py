"""What reconstruction found: all at once or, of large recordings, part by part.

What has to do with each other has the same four-tuple, or the mirrored one: both ends of
a connection, their timewait sockets, what snapshots say of them. So parts are made by
four-tuple, and each can be looked at by itself.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tcptrace.analysis.events import Decoder, EventArrays
from tcptrace.analysis.lives import Lives
from tcptrace.analysis.shelf import Shelf
from tcptrace.analysis.snapshots import asked_before_port, connecting
from tcptrace.analysis.timewait import first_timers

#: Lives looked at together: what is made of them fits into the processor's cache better.
PART = 1 << 18

_COMPARTMENTS = 64


@dataclass(frozen=True)
class Part:
    """``lives``: of sockets. ``events``: those of timewait sockets (``waits``: their
    places) and of snapshots, in the recording's order. ``connecting``: numbers (``row``)
    of the snapshots' rows that are of sockets which had no port yet. ``timers``: see
    :func:`tcptrace.analysis.timewait.first_timers`; both of the whole recording.
    """  # noqa: D205

    lives: Lives
    events: EventArrays
    waits: np.ndarray
    connecting: np.ndarray
    timers: Counter[int]


class Gathered:
    """Takes in what is over, and gives it in parts of about ``part`` lives."""

    def __init__(self, decoder: Decoder, part: int = PART) -> None:
        self._decoder = decoder
        self._part = part
        self._lives: list[Lives] = []
        self._events: list[EventArrays] = []
        self._is_wait: list[np.ndarray] = []
        self._size = 0
        self._shelves: tuple[Shelf, Shelf] | None = None
        self._portless: list[Lives] = []
        self._asked: list[EventArrays] = []
        self._timers: Counter[int] = Counter()
        self._connecting = np.zeros(0, np.int64)

    def add(self, lives: Lives, events: EventArrays, is_wait: np.ndarray) -> None:
        """Take in lives that are over, and events; ``is_wait``: those of timewait sockets."""
        self._lives.append(lives)
        self._events.append(events)
        self._is_wait.append(is_wait)
        self._portless.append(lives.take(np.flatnonzero(lives.portless)))
        self._asked.append(events.take(asked_before_port(events)))
        self._timers.update(first_timers(events))
        self._size += len(lives)
        if self._size >= 4 * self._part:
            self._put_away()

    def finish(self) -> None:
        """Say that nothing will be added."""
        asked, portless = EventArrays.concatenate(self._asked), Lives.concatenate(self._portless)
        self._connecting = connecting(asked, portless)
        if self._shelves:
            self._put_away()

    def _put_away(self) -> None:
        if self._shelves is None:
            self._shelves = Shelf(_COMPARTMENTS), Shelf(_COMPARTMENTS)
        lives, events = Lives.concatenate(self._lives), EventArrays.concatenate(self._events)
        is_wait = np.concatenate(self._is_wait)
        self._shelves[0].add(lives.columns(), _compartment(lives))
        self._shelves[1].add(events.columns() | {"is_wait": is_wait}, _compartment(events))
        self._lives, self._events, self._is_wait, self._size = [], [], [], 0

    @property
    def several(self) -> bool:
        """Whether there is more than one part."""
        return self._shelves is not None

    def whole(self) -> Part:
        """Give everything in one."""
        if self._shelves is None:
            lives, events = Lives.concatenate(self._lives), EventArrays.concatenate(self._events)
            return self._made(lives, events, np.concatenate(self._is_wait))
        return self._taken(self._shelves, 0, _COMPARTMENTS)

    def parts(self) -> Iterator[Part]:
        """Give everything, part by part."""
        if self._shelves is None:
            yield self.whole()
            return
        number = np.cumsum(self._shelves[0].sizes) // self._part
        first = 0
        for end in np.append(np.flatnonzero(np.diff(number)) + 1, _COMPARTMENTS):
            yield self._taken(self._shelves, first, int(end))
            first = int(end)

    def _taken(self, shelves: tuple[Shelf, Shelf], first: int, end: int) -> Part:
        lives, events = (shelf.take(first, end) for shelf in shelves)
        is_wait = events.pop("is_wait")
        return self._made(Lives(**lives), self._decoder.events(events), is_wait)

    def _made(self, lives: Lives, events: EventArrays, is_wait: np.ndarray) -> Part:
        ranked = self._decoder.ranked
        order = np.argsort(events.row, kind="stable")
        return Part(
            lives=replace(lives, local=ranked(lives.local), remote=ranked(lives.remote)),
            events=self._decoder.finish(events.take(order)),
            waits=np.flatnonzero(is_wait[order]),
            connecting=self._connecting,
            timers=self._timers,
        )


def _compartment(rows: Any) -> np.ndarray:
    """Choose by the four-tuple, whichever end is the local one."""
    local = (rows.local << 16 | rows.local_port.astype(np.int64)).view(np.uint64)
    remote = (rows.remote << 16 | rows.remote_port.astype(np.int64)).view(np.uint64)
    mixed = np.minimum(local, remote) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ np.maximum(local, remote)) * np.uint64(0xD6E8FEB86659FD93)
    compartment: np.ndarray = (mixed >> np.uint64(58)).astype(np.uint16)
    return compartment


@dataclass(frozen=True)
class Found:
    """``gathered``: lives, and what else is needed to put connections together.
    ``count``: the events read. ``broken``: by network namespace, how many established
    connections ended without an orderly close.
    """  # noqa: D205

    gathered: Gathered
    count: int
    broken: Counter[int]
