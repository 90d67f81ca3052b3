"""One end of a link that a program carries: a TUN device."""

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from typing import Protocol

from tcptrace.analysis.demo.link import Loop
from tcptrace.analysis.demo.namespace import Namespace
from tcptrace.tracer.errors import PreflightError

#: The device's name, on every host.
DEVICE = "wire"
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001


class LinkEnd(Protocol):
    """Where a wire meets a host: here, or on another machine."""

    def start(self) -> None:
        """Hand over packets from now on."""

    def write(self, packet: bytes) -> None:
        """Let a packet arrive."""

    def close(self) -> None:
        """Remove the device."""


class Tun:
    """A TUN device in a namespace; what the host sends goes to ``take``, in a loop's thread."""

    def __init__(self, namespace: Namespace, loop: Loop, take: Callable[[bytes], None]) -> None:
        self._loop, self._take = loop, take
        with namespace.inside():
            try:
                self._descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                raise _cannot(error) from error
            try:
                request = struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN_NO_PI)
                fcntl.ioctl(self._descriptor, _TUNSETIFF, request)
            except OSError as error:
                os.close(self._descriptor)
                raise _cannot(error) from error

    def start(self) -> None:
        """Hand over packets from now on."""
        self._loop.serve(self._descriptor, self._read)

    def write(self, packet: bytes) -> None:
        """Let a packet arrive at the host."""
        try:
            os.write(self._descriptor, packet)
        except OSError as error:
            # A packet the stack refuses (martian, device down) is lost, as on any wire.
            if error.errno not in (errno.EINVAL, errno.EIO):
                raise

    def close(self) -> None:
        """Remove the device; the loop must have ended."""
        os.close(self._descriptor)

    def _read(self) -> None:
        while True:
            try:
                packet = os.read(self._descriptor, 65536)
            except BlockingIOError:
                return
            self._take(packet)


def _cannot(error: OSError) -> PreflightError:
    return PreflightError(
        f"cannot make a TUN device ({error.strerror}): modprobe tun, and /dev/net/tun must be there"
    )
