"""What joins the two hosts of an experiment: a veth pair, or a wire of our own.

The wire is a TUN device in each namespace and a thread that carries packets
between them one by one: an experiment says which segments it drops, holds up
or repeats, so that nothing depends on luck. The veth pair is the kernel's own
and only listened to.
"""

import errno
import fcntl
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable

from tcptrace.analysis.demo.capture import Capture, Fate, Match, Side, Sighting, now, other
from tcptrace.analysis.demo.namespace import Namespace
from tcptrace.analysis.demo.packet import TCP_MAX_HEADERS, parse
from tcptrace.tracer.errors import PreflightError

#: TEST-NET-1 (RFC 5737): addresses that mean nobody.
ADDRESS: dict[Side, str] = {"left": "192.0.2.1", "right": "192.0.2.2"}

#: What a sighting keeps of a segment's data, bytes.
_KEEP = TCP_MAX_HEADERS + 512
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_PACKET_OUTGOING = 4
_PACKET_STATISTICS = 6
_SOL_PACKET = 263


class _Loop(threading.Thread):
    """A thread that serves file descriptors until it is closed."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, None)

    def serve(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def close(self) -> None:
        os.write(self._woken, b"x")
        if self.ident is not None:
            self.join()
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)


def _address(namespace: Namespace, side: Side, device: str, *, patient: bool) -> None:
    """Give a host its address, and the device the route to everywhere."""
    namespace.run("ip", "address", "add", f"{ADDRESS[side]}/32", "dev", device)
    namespace.run("ip", "link", "set", device, "up")
    if patient:
        namespace.set_sysctl("tcp_early_retrans", 0)  # no tail loss probes
    # To everywhere: a flood's answers go to addresses that nobody has.
    timer = ("rto_min", "2s") if patient else ()
    namespace.run("ip", "route", "add", "default", "dev", device, *timer)


class Rule:
    """What the wire does to the segments that match, until it is lifted.

    ``caught``: the sightings this rule dropped or held, oldest first.
    """

    def __init__(self, wire: "Wire", match: Match, fate: Fate, times: int | None) -> None:
        self._wire = wire
        self.match = match
        self.fate = fate
        self.left = times
        self.caught: list[Sighting] = []

    def wait(self, count: int = 1) -> Sighting:
        """Wait until the rule has caught ``count`` segments; return the last of them."""
        caught = self.caught
        self._wire.wait_for(
            lambda sighting: any(sighting is one for one in caught),
            f"segment to be {self.fate}",
            count,
        )
        return caught[count - 1]

    def lift(self) -> None:
        """Leave later segments alone."""
        self._wire.remove(self)


class Wire(Capture):
    """A link whose every segment is carried by this program.

    ``mtu``: of both devices; up to 65535, for experiments that need speed.
    ``patient``: the hosts wait 2 s before they send a segment again, instead of 0.2 or
    less, so that a busy machine's delays do not look like loss.
    """

    def __init__(
        self, left: Namespace, right: Namespace, mtu: int = 1500, *, patient: bool = False
    ) -> None:
        super().__init__()
        self._rules: list[Rule] = []
        self._tun: dict[Side, int] = {}
        self._loop = _Loop("wire")
        try:
            for side, namespace in (("left", left), ("right", right)):
                self._open(side, namespace, mtu, patient)  # type: ignore[arg-type]
        except BaseException:
            self.close()
            raise
        self._loop.start()

    def _open(self, side: Side, namespace: Namespace, mtu: int, patient: bool) -> None:
        with namespace.inside():
            try:
                descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                self._tun[side] = descriptor
                fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", b"wire", _IFF_TUN_NO_PI))
            except OSError as error:
                raise PreflightError(
                    f"cannot make a TUN device ({error.strerror}): modprobe tun, "
                    "and /dev/net/tun must be there"
                ) from error
        namespace.set_sysctl("conf/wire/rp_filter", 0)
        namespace.run("ip", "link", "set", "wire", "mtu", str(mtu))
        _address(namespace, side, "wire", patient=patient)
        self._loop.serve(descriptor, lambda: self._carry(side))

    def close(self) -> None:
        """Stop carrying; the devices go with their descriptors."""
        self._loop.close()
        for descriptor in self._tun.values():
            os.close(descriptor)

    def drop(self, match: Match, times: int | None = None) -> Rule:
        """Lose the segments that match: the first ``times`` of them, or all."""
        return self._add(Rule(self, match, "dropped", times))

    def hold(self, match: Match, times: int | None = None) -> Rule:
        """Hold up the segments that match until :meth:`release`."""
        return self._add(Rule(self, match, "held", times))

    def _add(self, rule: Rule) -> Rule:
        with self.changed:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Forget a rule."""
        with self.changed:
            self._rules = [one for one in self._rules if one is not rule]

    def release(self, *held: Sighting) -> None:
        """Let held segments go on, in this order."""
        # One step: no answer to the first may overtake the last.
        with self.changed:
            for sighting in held:
                sighting.arrived = now()
                self._write(other(sighting.side), sighting.segment.packet)

    def inject(self, side: Side, packet: bytes, fate: Fate = "injected") -> Sighting:
        """Send a packet as if it came from the host on ``side``."""
        segment = parse(packet)
        assert segment is not None  # noqa: S101  experiments build TCP segments only
        time = now()
        sighting = Sighting(time, side, segment, fate, time)
        self.add(sighting)
        self._write(other(side), packet)
        return sighting

    def repeat(self, sighting: Sighting) -> Sighting:
        """Send a segment seen before once more: an old duplicate."""
        return self.inject(sighting.side, sighting.segment.packet, "repeated")

    def _carry(self, side: Side) -> None:
        while True:
            try:
                packet = os.read(self._tun[side], 65536)
            except BlockingIOError:
                return
            time = now()
            segment = parse(packet, _KEEP)
            if segment is None:
                continue
            sighting = Sighting(time, side, segment)
            with self.changed:
                rule = next((one for one in self._rules if one.match(sighting)), None)
                if rule is not None:
                    self._catch(rule, sighting, packet)
                else:
                    sighting.arrived = time
            if rule is None:
                self._write(other(side), packet)
            # Only now: whoever waits for it may rely on its having arrived.
            self.add(sighting)

    def _catch(self, rule: Rule, sighting: Sighting, packet: bytes) -> None:
        sighting.fate = rule.fate
        # The whole packet: it is to be sent on some day.
        whole = parse(packet)
        assert whole is not None  # noqa: S101  it was parsed before
        sighting.segment = whole
        rule.caught.append(sighting)
        if rule.left is not None:
            rule.left -= 1
            if rule.left == 0:
                self._rules.remove(rule)

    def _write(self, side: Side, packet: bytes) -> None:
        try:
            os.write(self._tun[side], packet)
        except OSError as error:
            # A packet the stack refuses (martian, device down) is lost, as on any wire.
            if error.errno not in (errno.EINVAL, errno.EIO):
                raise


class Veth(Capture):
    """A veth pair, listened to where it enters the left host; ``patient`` as in a wire."""

    def __init__(self, left: Namespace, right: Namespace, *, patient: bool = False) -> None:
        super().__init__()
        self._loop = _Loop("capture")
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
                _address(namespace, side, device, patient=patient)  # type: ignore[arg-type]
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
            segment = parse(packet, _KEEP)
            if segment is None:
                continue
            seconds, nanoseconds = struct.unpack("qq", notes[0][2])
            stamp = seconds * 10**9 + nanoseconds - offset
            side: Side = "left" if address[2] == _PACKET_OUTGOING else "right"
            self.add(Sighting(stamp, side, segment, arrived=stamp))
