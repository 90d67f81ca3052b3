"""What an experiment left behind: its recording and its capture, on one clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from tcptrace.analysis.demo.capture import Capture, ExperimentError, Side, Sighting
from tcptrace.analysis.demo.claims import CLAIMS
from tcptrace.analysis.demo.states import listens, state_changes
from tcptrace.analysis.ladder import Arrow, StateChange, ladder
from tcptrace.analysis.recording import Recording

HOLDS = "holds"
CONDITIONS = "holds with conditions"
FAILS = "does not hold here"

_ARROW_FATE = {"dropped": "lost", "held": "late", "injected": "forged", "repeated": "duplicate"}


#: More than this many segments in a row are only counted in a ladder.
_MOST_SEGMENTS = 8


@dataclass(frozen=True)
class Verdict:
    """A claim's number, one of the three verdicts, and the numbers behind it.

    ``brief``: the one that matters most, for a table.
    """

    claim: str
    verdict: str
    brief: str
    measured: str


@dataclass
class Findings:
    """What an experiment's judge says.

    ``verdicts``; ``measured``: numbers by name, for ``--json``; ``ladders``: title
    and lines; ``failures``: what should have happened and did not.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    measured: dict[str, object] = field(default_factory=dict)
    ladders: list[tuple[str, list[str]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def expect(self, happened: object, what: str) -> bool:
        """Note a failure unless it happened."""
        if not happened:
            self.failures.append(what)
        return bool(happened)

    def say(self, claim: str, verdict: str, brief: str, measured: str) -> None:
        """Add the verdict on a claim."""
        assert claim in CLAIMS, claim  # noqa: S101  a typing mistake in an experiment
        self.verdicts.append(Verdict(claim, verdict, brief, measured))


@dataclass(frozen=True)
class Clocks:
    """How the clocks behind an experiment's evidence relate, ns.

    ``capture``: the capture's CLOCK_MONOTONIC to its UTC. ``ahead``: how far a host's UTC is
    ahead of the capture's. ``note``: how well that is known, if the clocks are not one.
    """

    capture: int
    ahead: Mapping[Side, int] = field(default_factory=lambda: {"left": 0, "right": 0})
    note: str | None = None


def clock_offset(recording: Recording) -> int:
    """CLOCK_MONOTONIC to UTC, ns, as a recording has it."""
    return int(recording.header["clock_offset_ns"])


@dataclass(frozen=True)
class Evidence:
    """What was recorded of two hosts, maybe in one recording, and a capture between them.

    A host's rows are told by the inode of its network namespace.
    """

    recordings: Mapping[Side, Recording]
    capture: Capture
    netns: Mapping[Side, int]
    clocks: Clocks

    def time_waits(self, side: Side) -> pd.DataFrame:
        """Return a host's TIME_WAITs."""
        table = self.recordings[side].time_wait
        return table[table["netns"] == self.netns[side]]

    def connections(self, side: Side, port: int) -> pd.DataFrame:
        """Return a host's connections with ``port`` at either end, in order of opening."""
        table = self.recordings[side].connections
        mine = (table["netns"] == self.netns[side]) & (
            (table["local_port"] == port) | (table["remote_port"] == port)
        )
        return table[mine].sort_values("connection")

    def connection(self, side: Side, port: int, which: int = 0) -> dict[str, Any]:
        """Return one of them as a row."""
        found = self.connections(side, port)
        if len(found) <= which:
            raise ExperimentError(f"the recording has no connection on port {port} ({side} host)")
        return {str(name): value for name, value in found.iloc[which].items()}

    def visited(self, side: Side, port: int) -> list[str]:
        """List the states a host's sockets with ``port`` went through, in order."""
        changes = state_changes(self.recordings[side], self.netns[side], side, port)
        return [change.state for change in changes]

    def segments(self, port: int) -> list[Sighting]:
        """Return the sightings with ``port`` at either end, in the order they were sent."""
        found = self.capture.find(lambda sighting: port in sighting.segment.ports)
        return sorted(found, key=lambda sighting: sighting.time)

    def utc(self, monotonic: int, side: Side) -> pd.Timestamp:
        """Turn the time of a program on a host into its recording's."""
        offset = clock_offset(self.recordings[side])
        return pd.Timestamp(monotonic + offset, unit="ns", tz="UTC")

    def ladder(self, port: int, names: tuple[str, str] = ("client", "server")) -> list[str]:
        """Draw what happened on ``port``."""
        changes = [
            replace(change, time=change.time - self.clocks.ahead[side])
            for side in self.netns
            for change in state_changes(self.recordings[side], self.netns[side], side, port)
        ]
        start = min((change.time for change in changes), default=0)
        changes[:0] = [
            StateChange(start, side, "LISTEN")
            for side, inode in self.netns.items()
            if listens(self.recordings[side], inode, port)
        ]
        return ladder(*names, changes, self._arrows(port), most=_MOST_SEGMENTS)

    def _arrows(self, port: int) -> list[Arrow]:
        offset = self.clocks.capture
        arrows = []
        first: dict[Side, int] = {}
        for sighting in self.segments(port):
            segment, side = sighting.segment, sighting.side
            if segment.syn:
                first[side] = segment.seq
            peer: Side = "left" if side == "right" else "right"
            text = describe(sighting, first.get(side), first.get(peer))
            fate = _ARROW_FATE.get(sighting.fate, "delivered")
            arrived = None if sighting.arrived is None else sighting.arrived + offset
            arrows.append(Arrow(sighting.time + offset, side, text, fate, arrived))  # type: ignore[arg-type]
        return arrows


def describe(sighting: Sighting, first: int | None, peer_first: int | None) -> str:
    """Write a segment in few words, its numbers relative to the connection's first ones."""
    segment = sighting.segment
    words = []
    if segment.length:
        words.append(f"{segment.length} bytes")
        if segment.fin:
            words.append("FIN")
    else:
        words.append(segment.names)
    if not segment.syn and (segment.length or segment.fin or segment.rst) and first is not None:
        place = (segment.seq - first) % 2**32
        words.append("seq=old" if place >= 2**31 else f"seq={place}")
    if segment.flags & 0x10 and not segment.length and peer_first is not None:
        confirmed = (segment.ack - peer_first) % 2**32
        words.append("ack=old" if confirmed >= 2**31 else f"ack={confirmed}")
    return " ".join(words)
