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
from tcptrace.analysis.order import stable_order
from tcptrace.analysis.shelf import Shelf
from tcptrace.analysis.snapshots import asked_before_port, connecting
from tcptrace.analysis.timewait import first_timers

#: Lives looked at together: what is made of them fits into the processor's cache better.
PART = 1 << 18

_BITS = 6
_COMPARTMENTS = 1 << _BITS
#: Parts in memory as they are; more are packed (analysis/packed.py). Four more, or four
#: fewer, take longer and 90 to 300 MB more of 100 million events.
_LOOSE = 12


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
        self._lives, self._events = Shelf(_COMPARTMENTS), Shelf(_COMPARTMENTS)
        self._portless: list[Lives] = []
        self._asked: list[EventArrays] = []
        self._timers: Counter[int] = Counter()
        self._connecting = np.zeros(0, np.int64)
        self._given = False
        #: Whether there was so much that some of it is packed.
        self.packed = False

    def add(self, lives: Lives, over: np.ndarray, events: EventArrays, is_wait: np.ndarray) -> None:
        """Take in the lives that are over, and events; ``is_wait``: of timewait sockets."""
        chosen, sizes = _sorted(lives, over)
        lives = lives.take(chosen)
        self._lives.add(lives.columns(), sizes)
        order, sizes = _sorted(events, np.arange(len(events)))
        columns = events.columns() | {"is_wait": is_wait}
        self._events.add({name: values.take(order) for name, values in columns.items()}, sizes)
        # Many that are empty would lie about in the heap.
        if len(portless := np.flatnonzero(lives.portless)):
            self._portless.append(lives.take(portless))
        if len(asked := asked_before_port(events)):
            self._asked.append(events.take(asked))
        self._timers.update(first_timers(events))
        if self._lives.loose >= _LOOSE * self._part:
            self._lives.pack()
            self._events.pack()
            self.packed = True

    def finish(self) -> None:
        """Say that nothing will be added."""
        if self._asked and self._portless:
            asked = EventArrays.concatenate(self._asked)
            self._connecting = connecting(asked, Lives.concatenate(self._portless))

    @property
    def several(self) -> bool:
        """Whether there is more than one part."""
        return int(self._lives.sizes.sum()) >= 2 * self._part

    def whole(self) -> Part:
        """Give everything in one."""
        self._refuse_again()
        return self._taken(0, _COMPARTMENTS)

    def parts(self) -> Iterator[Part]:
        """Give everything, part by part; only once, for each takes its memory with it."""
        number = np.cumsum(self._lives.sizes) // self._part
        first = 0
        self._refuse_again()
        self._given = True
        for end in np.append(np.flatnonzero(np.diff(number)) + 1, _COMPARTMENTS):
            yield self._taken(first, int(end), last=True)
            first = int(end)
        self._lives.forget()
        self._events.forget()

    def _refuse_again(self) -> None:
        # Rather than to tell of what is left as if it were all.
        if self._given:
            raise RuntimeError("what was found has been given away part by part")

    def _taken(self, first: int, end: int, *, last: bool = False) -> Part:
        lives = Lives(**self._lives.take(first, end, last=last))
        columns = self._events.take(first, end, last=last)
        order = np.argsort(columns["row"], kind="stable")
        columns = {name: values.take(order) for name, values in columns.items()}
        waits = np.flatnonzero(columns.pop("is_wait"))
        ranked = self._decoder.ranked
        return Part(
            lives=replace(lives, local=ranked(lives.local), remote=ranked(lives.remote)),
            events=self._decoder.finish(self._decoder.events(columns)),
            waits=waits,
            connecting=self._connecting,
            timers=self._timers,
        )


def _sorted(rows: Any, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort chosen rows by compartment: by the four-tuple, whichever end is the local one.

    In each in the recording's order, in which they are wanted later. Gives them, and how
    many go into each.
    """
    local, remote = (
        (address.take(chosen) << 16 | port.take(chosen)).view(np.uint64)
        for address, port in ((rows.local, rows.local_port), (rows.remote, rows.remote_port))
    )
    mixed = np.minimum(local, remote) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ np.maximum(local, remote)) * np.uint64(0xD6E8FEB86659FD93)
    compartment = (mixed >> np.uint64(64 - _BITS)).astype(np.uint16)
    order = stable_order(rows.row.take(chosen))
    order = order.take(np.argsort(compartment.take(order), kind="stable"))
    return chosen.take(order), np.bincount(compartment, minlength=_COMPARTMENTS)


@dataclass(frozen=True)
class Found:
    """``gathered``: lives, and what else is needed to put connections together.
    ``count``: the events read. ``broken``: by network namespace, how many established
    connections ended without an orderly close.
    """  # noqa: D205

    gathered: Gathered
    count: int
    broken: Counter[int]
