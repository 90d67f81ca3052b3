"""What passes a network device, as the kernel hands it to a packet socket."""

import socket
import struct
import time
from collections.abc import Callable

from tcptrace.analysis.demo.link import Loop
from tcptrace.analysis.demo.namespace import Namespace

_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_PACKET_OUTGOING = 4
_PACKET_STATISTICS = 6
_SOL_PACKET = 263

#: Called with CLOCK_MONOTONIC in ns, whether the host sent it, and the IP packet.
Take = Callable[[int, bool, bytes], None]


class Sniffer:
    """Hands every packet on ``device`` to ``take``, in a loop's thread."""

    def __init__(self, namespace: Namespace, device: str, loop: Loop, take: Take) -> None:
        self._loop, self._take = loop, take
        with namespace.inside():
            self._socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)
            )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
        self._socket.bind((device, _ETH_P_ALL))
        self._socket.setblocking(False)

    def start(self) -> None:
        """Hand over packets from now on."""
        self._loop.serve(self._socket.fileno(), self._listen)

    def close(self) -> int:
        """Stop; return how many packets the kernel could not hand over in time."""
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        missed: int = struct.unpack("II", statistics)[1]
        self._socket.close()
        return missed

    def _listen(self) -> None:
        # The kernel stamps packets with UTC; the recorder's clock is CLOCK_MONOTONIC.
        offset = time.time_ns() - time.monotonic_ns()
        while True:
            try:
                packet, notes, _, address = self._socket.recvmsg(65536, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", notes[0][2])
            stamp = seconds * 10**9 + nanoseconds - offset
            self._take(stamp, address[2] == _PACKET_OUTGOING, packet)
