"""A veth pair, and a capture of what passes."""

import os
import socket
import struct
import time

from tcptrace.analysis.demo.capture import Capture, Side, Sighting
from tcptrace.analysis.demo.link import KEPT, Loop, give_address
from tcptrace.analysis.demo.namespace import Namespace
from tcptrace.analysis.demo.packet import parse

_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_PACKET_OUTGOING = 4
_PACKET_STATISTICS = 6
_SOL_PACKET = 263


class Veth(Capture):
    """A veth pair, listened to where it enters the left host; ``patient`` as in a wire."""

    def __init__(self, left: Namespace, right: Namespace, *, patient: bool = False) -> None:
        super().__init__()
        self._loop = Loop("capture")
        self._socket: socket.socket | None = None
        try:
            left.run("ip", "link", "add", "veth", "type", "veth", "peer", "name", "other")
            with right.inside():
                home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            try:
                left.run("ip", "link", "set", "other", "netns", f"/proc/{os.getpid()}/fd/{home}")
            finally:
                os.close(home)
            for side, namespace, device in (("left", left, "veth"), ("right", right, "other")):
                give_address(namespace, side, device, patient=patient)  # type: ignore[arg-type]
            with left.inside():
                self._socket = socket.socket(
                    socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)
                )
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
            self._socket.bind(("veth", _ETH_P_ALL))
            self._socket.setblocking(False)
            self._loop.serve(self._socket.fileno(), self._listen)
        except BaseException:
            self.close()
            raise
        self._loop.start()

    def close(self) -> None:
        """Stop listening; the pair goes with its namespaces."""
        self._loop.close()
        if self._socket is not None:
            statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            self.missed = struct.unpack("II", statistics)[1]
            self._socket.close()

    def _listen(self) -> None:
        assert self._socket is not None  # noqa: S101  served only while it is open
        # The kernel stamps packets with UTC; the recorder's clock is CLOCK_MONOTONIC.
        offset = time.time_ns() - time.monotonic_ns()
        while True:
            try:
                packet, notes, _, address = self._socket.recvmsg(65536, 64)
            except BlockingIOError:
                return
            segment = parse(packet, KEPT)
            if segment is None:
                continue
            seconds, nanoseconds = struct.unpack("qq", notes[0][2])
            stamp = seconds * 10**9 + nanoseconds - offset
            side: Side = "left" if address[2] == _PACKET_OUTGOING else "right"
            self.add(Sighting(stamp, side, segment, arrived=stamp))
