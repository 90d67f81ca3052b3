"""Connections as ladders, each end from the recording of its own machine."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from tcptrace.analysis.filters import Filters
from tcptrace.analysis.hosts.ends import ends_of
from tcptrace.analysis.hosts.pairing import Pairing, pair
from tcptrace.analysis.hosts.words import clock_words, names_of
from tcptrace.analysis.ladder import Side, ladder
from tcptrace.analysis.recording import Recording
from tcptrace.analysis.text.layout import fit
from tcptrace.analysis.timeline import Ladder, changes_of, title_of
from tcptrace.analysis.values import rows, text_or_none
from tcptrace.analysis.view import choose

#: Of a longer name the beginning stands over a ladder, columns.
_NAME = 11


class BothSides:
    """The connections between the machines of two recordings; the first one's clock counts."""

    def __init__(self, one: Recording, two: Recording) -> None:
        self._recordings = one, two
        self._pairing: Pairing = pair(*(ends_of(choose(each, Filters())) for each in (one, two)))
        self._names = names_of(self._pairing)

    @property
    def note(self) -> str:
        """Say how the clocks differ, and what was made of it."""
        one, two = self._names
        said = clock_words(self._pairing.clock, one, two)
        return f"{said} Times are on the clock of {one}; those of {two} are moved by the middle."

    @property
    def ambiguous(self) -> int:
        """How many ends could not be told from others."""
        return max(self._pairing.ambiguous)

    def chosen(self, passing: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """Give the pairs of which an end passes: one table of connections per recording."""
        pairs = self._pairing.pairs
        keep = pd.Series(False, index=pairs.index)
        for side, table in zip(("one", "two"), passing, strict=True):
            keep |= pairs[f"connection_{side}"].isin(table["connection"])
        return pairs[keep].sort_values("first_one", kind="stable")

    def ladders(self, chosen: pd.DataFrame, most: int) -> Iterator[Ladder]:
        """Draw the first ``most`` of the chosen pairs, the client on the left."""
        for both in rows(chosen[["connection_one", "connection_two"]].head(most)):
            yield self._ladder(both)

    @property
    def _behind(self) -> int:
        """What to add to times since the second recording's start to be since the first's, ns."""
        clock = self._pairing.clock
        known = [] if clock is None else [end for end in (clock.low, clock.high) if end is not None]
        ahead = sum(known) // len(known) if known else 0
        one, two = (each.started for each in self._recordings)
        return int((two - one).value) - ahead

    def _ladder(self, connections: Sequence[int]) -> Ladder:
        ends = []
        shifts = (0, self._behind)
        for recording, number, name, shift in zip(
            self._recordings, connections, self._names, shifts, strict=True
        ):
            table = recording.connections
            (row,) = rows(table[table["connection"] == number])
            ends.append((row, recording.started, name, shift))
        if text_or_none(ends[0][0].role) == "server":
            ends.reverse()
        sides: tuple[Side, Side] = ("left", "right")
        changes = [
            replace(change, time=change.time + shift)
            for side, (row, started, _, shift) in zip(sides, ends, strict=True)
            for change in changes_of(row, side, started)
        ]
        start = min([0, *(change.time for change in changes)])
        left, right = (fit(name, _NAME) for _, _, name, _ in ends)
        lines = ladder(left, right, changes, start=start)
        return Ladder([f"{name}: {title_of(row)}" for row, _, name, _ in ends], lines)
