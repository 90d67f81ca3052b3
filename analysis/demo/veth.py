"""A veth pair, and a capture of what passes."""

import os

from tcptrace.analysis.demo.capture import Capture, Side, Sighting
from tcptrace.analysis.demo.link import KEPT, Loop, give_address
from tcptrace.analysis.demo.namespace import Namespace
from tcptrace.analysis.demo.packet import parse
from tcptrace.analysis.demo.sniffer import Sniffer


class Veth(Capture):
    """A veth pair, listened to where it enters the left host; ``patient`` as in a wire."""

    def __init__(self, left: Namespace, right: Namespace, *, patient: bool = False) -> None:
        super().__init__()
        self._loop = Loop("capture")
        self._sniffer: Sniffer | None = None
        try:
            left.run("ip", "link", "add", "veth", "type", "veth", "peer", "name", "other")
            with right.inside():
                home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            try:
                left.run("ip", "link", "set", "other", "netns", f"/proc/{os.getpid()}/fd/{home}")
            finally:
                os.close(home)
            give_address(left, "left", "veth", patient=patient)
            give_address(right, "right", "other", patient=patient)
            self._sniffer = Sniffer(left, "veth", self._loop, self._take)
            self._sniffer.start()
        except BaseException:
            self.close()
            raise
        self._loop.start()

    def close(self) -> None:
        """Stop listening; the pair goes with its namespaces."""
        self._loop.close()
        if self._sniffer is not None:
            self.missed = self._sniffer.close()

    def _take(self, stamp: int, sent: bool, packet: bytes) -> None:
        segment = parse(packet, KEPT)
        if segment is not None:
            side: Side = "left" if sent else "right"
            self.add(Sighting(stamp, side, segment, arrived=stamp))
