"""What the segments alone say about each connection: the witness tcptrace is held against.

Nothing here knows sockets, states or tcptrace; only RFC 9293 and the wire.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .pcap import ACK, FIN, RST, SYN, Endpoint, Segment

CLIENT, SERVER = "client", "server"


def not_before(a: int, b: int) -> bool:
    """Whether sequence number `a` is at or after `b`, modulo 2**32 (RFC 9293 3.4)."""
    return (a - b) % 2**32 < 2**31


@dataclass
class Conversation:
    """One connection, from its SYN to the last segment of its four-tuple."""

    client: Endpoint
    server: Endpoint
    segments: list[Segment] = field(default_factory=list)

    def sent_by(self, side: str, flag: int) -> list[Segment]:
        """The side's own segments that carry `flag`, repeats included."""
        own = self.client if side == CLIENT else self.server
        return [s for s in self.segments if s.source == own and s.flags & flag and not s.error]

    @property
    def established(self) -> bool:
        """Whether the client acknowledged the server's SYN."""
        replies = self.sent_by(SERVER, SYN)
        return bool(replies) and any(
            not_before(s.acknowledged, replies[0].end) for s in self.sent_by(CLIENT, ACK)
        )

    @property
    def opened(self) -> int:
        """When the first SYN passed, ns."""
        return self.sent_by(CLIENT, SYN)[0].time

    def fin(self, side: str) -> Segment | None:
        """The side's first FIN."""
        sent = self.sent_by(side, FIN)
        return sent[0] if sent else None

    def answer(self, segment: Segment) -> Segment:
        """The first segment that acknowledges this one.

        The side that sends it has dealt with `segment` by then; that it had come the
        capture may have seen much earlier, if the machine is busy.
        """
        return next(
            s
            for s in self.segments
            if s.source == segment.target
            and s.time >= segment.time
            and s.flags & ACK
            and not_before(s.acknowledged, segment.end)
        )

    def reset(self) -> Segment | None:
        """The first RST of either side."""
        sent = [s for s in self.segments if s.flags & RST and not s.error]
        return sent[0] if sent else None

    def side_of(self, segment: Segment) -> str:
        return CLIENT if segment.source == self.client else SERVER

    @property
    def first_fin(self) -> str | None:
        """Who sent the first FIN; `both` where neither's first FIN acknowledges the other's."""
        client, server = self.fin(CLIENT), self.fin(SERVER)
        if not (client and server):
            return CLIENT if client else SERVER if server else None
        if not_before(server.acknowledged, client.end):
            return CLIENT
        if not_before(client.acknowledged, server.end):
            return SERVER
        return "both"

    @property
    def outcome(self) -> str:
        """How it ended, in tcptrace's words, as far as a wire can know."""
        client, server, reset = self.fin(CLIENT), self.fin(SERVER), self.reset()
        if not self.established:
            if any(s.error for s in self.segments):
                return "unreachable"
            return "refused" if reset else "timed_out"
        if client and server and (not reset or reset.time > max(client.time, server.time)):
            return "finished"
        return "reset" if reset else "open"

    def closed_by(self, side: str) -> str | None:
        """`local`, `remote` or `both`, seen from `side`: by RST if it was reset, else by FIN."""
        reset = self.reset()
        closer = self.first_fin
        if self.outcome == "reset" and reset:
            closer = self.side_of(reset)
        if not self.established or closer in (None, "both"):
            return closer if self.established else None
        return "local" if closer == side else "remote"


def conversations(segments: Iterable[Segment]) -> list[Conversation]:
    """Sort segments into connections; a SYN with a new sequence number begins another.

    Unless it crosses the first: then both are of one connection (RFC 9293 3.5).
    """
    current: dict[frozenset[Endpoint], Conversation] = {}
    found = []
    for segment in segments:
        tuple_ = frozenset((segment.source, segment.target))
        known = current.get(tuple_)
        if segment.flags & SYN and not segment.flags & ACK and not segment.error:
            repeated = known and known.segments[0].sequence == segment.sequence
            crossing = known and known.server == segment.source and not known.sent_by(SERVER, SYN)
            if not repeated and not crossing:
                known = current[tuple_] = Conversation(segment.source, segment.target)
                found.append(known)
        if known:
            known.segments.append(segment)
    return found
