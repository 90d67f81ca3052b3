"""Socket lives from a recording read piece by piece, carrying open sockets over.

Of each piece only what is over is kept, as :class:`Lives`, and the events of timewait
sockets and of snapshots, which are few. Gives the same for pieces of any size.
"""

from collections import Counter

import numpy as np
import pyarrow as pa

from tcptrace.analysis.addresses import Addresses, ByAddress, by_address
from tcptrace.analysis.describe import describe
from tcptrace.analysis.events import Decoder, EventArrays
from tcptrace.analysis.found import PART, Found, Gathered
from tcptrace.analysis.lives import Grouping, Lives, group
from tcptrace.analysis.marks import BROKEN, ERROR, RESET_SENT, marks
from tcptrace.analysis.order import numbered
from tcptrace.tracer.schema import KIND, SCHEMA, STATE

#: Events looked at together: enough to be quick, few enough for the processor's cache.
PIECE = 1 << 19


class Reconstruction:
    """Takes a recording's events in, in its order; see :meth:`add`, then :meth:`finish`."""

    def __init__(self, piece: int = PIECE, part: int = PART) -> None:
        self._piece = piece
        self._decoder = Decoder()
        self._gathered = Gathered(self._decoder, part)
        self._waiting: list[EventArrays] = []
        self._size = 0
        self._broken: Counter[int] = Counter()
        self._carried = self._decoder.arrays(SCHEMA.empty_table())
        #: Of the carried: its event is among those kept, as a timewait socket's.
        self._told = np.zeros(0, bool)
        #: Addresses that were timewait sockets', and of which nothing is carried.
        self._timewait = Addresses()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in the next rows of the recording (``tracer.schema.SCHEMA``)."""
        table = pa.Table.from_batches([batch])
        for first in range(0, len(table), self._piece):
            part = table.slice(first, self._piece)
            self._waiting.append(self._decoder.arrays(part))
            self._size += len(part)
            # As many new ones as carried ones at least: the work stays linear.
            if self._size >= max(self._piece, len(self._carried)):
                self._digest(final=False)

    def finish(self) -> Found:
        """Give what was found; nothing can be added then."""
        self._digest(final=True)
        self._gathered.finish()
        return Found(self._gathered, self._decoder.rows, self._broken)

    def _digest(self, *, final: bool) -> None:
        """Look at what waits, and at what was carried over."""
        carried = len(self._carried)
        events = EventArrays.concatenate([self._carried, *self._waiting])
        self._waiting, self._size = [], 0
        mark = marks(events)
        broken = events.netns[carried:].take(np.flatnonzero(mark[carried:] & BROKEN != 0))
        for netns, number in zip(*np.unique(broken, return_counts=True), strict=True):
            self._broken[int(netns)] += int(number)
        found = by_address(events, mark, self._timewait)
        grouping = group(events, found)
        lives = describe(events, mark, found, grouping)

        told = np.zeros(len(events), bool)
        told[found.rows.take(np.flatnonzero(found.timewait))] = True
        new = told.copy()
        new[:carried] &= ~self._told
        keep = new | (events.kind == KIND["existing"]) & (np.arange(len(events)) >= carried)
        chosen = np.flatnonzero(keep)
        kept, is_wait = events.take(chosen), new[chosen]
        if final:
            self._gathered.add(lives, np.arange(len(lives)), kept, is_wait)
            return
        places, over = self._carry(found, grouping, lives)
        self._gathered.add(lives, np.flatnonzero(over), kept, is_wait)
        rows = np.sort(_without_repeats(events, mark, found, places))
        self._carried, self._told = events.take(rows), told.take(rows)

    def _carry(
        self, found: ByAddress, grouping: Grouping, lives: Lives
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose the events (places) to carry over, and the lives that are over.

        At each address a last life may go on, or be told of a reset of its own; and of
        one that did not close it counts if another follows.
        """
        first = np.flatnonzero(found.begins)
        end = np.append(first[1:], len(found.rows)) if len(first) else first
        address = numbered(found.begins)
        waits = np.flatnonzero(found.timewait)
        place = np.searchsorted(waits, end) - 1
        last_wait = waits[place] if len(waits) else place
        waited = (place >= 0) & (last_wait >= first)
        start = np.where(waited, last_wait + 1, first)
        forgotten = waited.copy()

        of_life = address.take(grouping.start)
        last = np.ones(len(lives), bool)
        last[:-1] = of_life[1:] != of_life[:-1]
        at = of_life[last]
        final_place = grouping.states[grouping.end[last]]
        gone = lives.ends[last] & waited[at] & (last_wait[at] > final_place)
        goes_on = np.flatnonzero(last)[~gone]
        start[at[~gone]] = grouping.start[goes_on]
        forgotten[at[~gone]] = False
        over = np.ones(len(lives), bool)
        over[goes_on] = False
        self._timewait.add(found.socket[first[forgotten]])
        length = end - start
        places = np.repeat(start - np.cumsum(length) + length, length) + np.arange(length.sum())
        return places, over


def _without_repeats(
    events: EventArrays, marks: np.ndarray, found: ByAddress, places: np.ndarray
) -> np.ndarray:
    """Give the rows at places, of several alike in a row at an address the last only.

    A listener may send resets for ever. (One in FIN_WAIT_2 may prove a timewait socket's.)
    """
    rows = found.rows.take(places)
    alike = np.where(found.timewait.take(places), 1, marks.take(rows) & (RESET_SENT | ERROR))
    alike[~found.timewait.take(places) & (events.old.take(rows) == STATE["FIN_WAIT_2"])] = 0
    repeats = np.zeros(len(rows), bool)
    repeats[:-1] = (alike[1:] == alike[:-1]) & (alike[1:] != 0)
    repeats[:-1] &= found.socket[places[1:]] == found.socket[places[:-1]]
    kept: np.ndarray = rows[~repeats]
    return kept
