"""What both links have: addresses, routes, and a thread that serves them."""

import os
import selectors
import threading
from collections.abc import Callable

from tcptrace.analysis.demo.capture import Side
from tcptrace.analysis.demo.packet import TCP_MAX_HEADERS
from tcptrace.analysis.demo.place import Place

#: TEST-NET-1 (RFC 5737): addresses that mean nobody.
ADDRESS: dict[Side, str] = {"left": "192.0.2.1", "right": "192.0.2.2"}

#: What a sighting keeps of a packet, bytes.
KEPT = TCP_MAX_HEADERS + 512


class Loop(threading.Thread):
    """A thread that serves file descriptors until it is closed."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, None)

    def serve(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever there is something to read."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def run(self) -> None:
        """Serve until closed."""
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def close(self) -> None:
        """End the thread."""
        os.write(self._woken, b"x")
        if self.ident is not None:
            self.join()
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)


def give_address(namespace: Place, side: Side, device: str, *, patient: bool) -> None:
    """Give a host its address, and the device the route to everywhere."""
    namespace.run("ip", "address", "add", f"{ADDRESS[side]}/32", "dev", device)
    namespace.run("ip", "link", "set", device, "up")
    if patient:
        namespace.set_sysctl("tcp_early_retrans", 0)  # no tail loss probes
        # An ACK that another CPU overtook comes after the FIN: enough for an RST that
        # ends the TIME_WAIT. Seen once in 240 closes on a busy machine.
        namespace.set_sysctl("tcp_rfc1337", 1)
    # To everywhere: a flood's answers go to addresses that nobody has.
    timer = ("rto_min", "2s") if patient else ()
    namespace.run("ip", "route", "add", "default", "dev", device, *timer)
