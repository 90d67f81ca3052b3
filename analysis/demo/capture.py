"""The segments of an experiment, in the order they were seen."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tcptrace.analysis.demo.packet import Segment
from tcptrace.tracer.errors import TcptraceError

Side = Literal["left", "right"]
Fate = Literal["delivered", "dropped", "held", "repeated", "injected"]
Match = Callable[["Sighting"], bool]

#: An experiment step that takes longer than this has gone wrong, seconds.
PATIENCE = 30.0


class ExperimentError(TcptraceError):
    """An experiment did not get as far as its question."""


def other(side: Side) -> Side:
    """Return the opposite side."""
    return "right" if side == "left" else "left"


@dataclass
class Sighting:
    """A segment on its way from the host on ``side``.

    ``time`` and ``arrived``: CLOCK_MONOTONIC, ns; ``arrived`` is None for a
    segment that was dropped or is still held up.
    """

    time: int
    side: Side
    segment: Segment
    fate: Fate = "delivered"
    arrived: int | None = None


@dataclass
class Capture:
    """A growing list of sightings that one thread fills and others wait on."""

    sightings: list[Sighting] = field(default_factory=list)
    #: Packets the kernel could not hand over in time; 0 where nothing can be missed.
    missed: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    _abandoned: bool = False
    _frozen: bool = False

    def abandon(self) -> None:
        """Make whoever waits give up."""
        with self.changed:
            self._abandoned = True
            self.changed.notify_all()

    def freeze(self) -> None:
        """Take in nothing more: the recording has ended."""
        with self.changed:
            self._frozen = True

    def add(self, sighting: Sighting) -> None:
        """Append one sighting and wake whoever waits."""
        with self.changed:
            if not self._frozen:
                self.sightings.append(sighting)
            self.changed.notify_all()

    def find(self, match: Match) -> list[Sighting]:
        """Return every sighting that matches, oldest first."""
        with self.changed:
            return [sighting for sighting in self.sightings if match(sighting)]

    def wait_for(self, match: Match, what: str, count: int = 1) -> Sighting:
        """Wait until ``count`` sightings match, whenever they came; return the last."""
        deadline = time.monotonic() + PATIENCE
        seen = found = 0
        with self.changed:
            while True:
                for sighting in self.sightings[seen:]:
                    seen += 1
                    found += match(sighting)
                    if found == count:
                        return sighting
                if self._abandoned:
                    raise ExperimentError("interrupted")
                if not self.changed.wait(deadline - time.monotonic()):
                    raise ExperimentError(f"no {what} on the wire within {PATIENCE:.0f} s")


def now() -> int:
    """Return CLOCK_MONOTONIC in nanoseconds, the recorder's clock."""
    return time.monotonic_ns()
