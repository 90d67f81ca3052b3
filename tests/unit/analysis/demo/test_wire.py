"""The wire between two hosts, without hosts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from tcptrace.analysis.demo.capture import Side
from tcptrace.analysis.demo.packet import ACK, build
from tcptrace.analysis.demo.wire import Wire

PACKET = build("10.0.0.1", 1, "10.0.0.2", 2, seq=1, flags=ACK, data=b"x")


class Host:
    def run(self, *words: str) -> str:
        return ""

    def set_sysctl(self, name: str, value: object) -> None:
        pass


class Slow:
    """An end of the link where a packet has arrived before ``write`` comes back."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.take = take
        self.arrived, self.answered = Event(), Event()

    def start(self) -> None:
        pass

    def write(self, packet: bytes) -> None:
        self.arrived.set()
        self.answered.wait(0.3)

    def close(self) -> None:
        pass


def test_who_knows_of_a_segment_finds_it_on_the_wire() -> None:
    ends: dict[Side, Slow] = {}

    def make(side: Side, take: Callable[[bytes], None]) -> Slow:
        ends[side] = Slow(take)
        return ends[side]

    wire = Wire({"left": Host(), "right": Host()}, make)  # type: ignore[dict-item]

    def host() -> int:
        """What the host on the right does as soon as the packet is there."""
        ends["right"].arrived.wait()
        found = len(wire.find(lambda _: True))
        ends["right"].answered.set()
        return found

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(host)
        ends["left"].take(PACKET)
        assert found.result() == 1
