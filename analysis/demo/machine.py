"""What a driver can ask of a machine: its objects by number, and how they are made."""

import base64
import contextlib
import itertools
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tcptrace.analysis.demo.link import KEPT, Loop
from tcptrace.analysis.demo.namespace import Namespace
from tcptrace.analysis.demo.own import OwnNetwork
from tcptrace.analysis.demo.packet import parse
from tcptrace.analysis.demo.programs import Program
from tcptrace.analysis.demo.recorder import Recorder
from tcptrace.analysis.demo.sniffer import Sniffer
from tcptrace.analysis.demo.tun import Tun
from tcptrace.tracer.errors import PreflightError, TcptraceError
from tcptrace.tracer.output import calling_user

#: Both sides must speak the same.
PROTOCOL = 1

#: Called with an object's number, CLOCK_MONOTONIC in ns, whether the host sent it, a packet.
Push = Callable[[int, int, bool, bytes], None]


class Machine:
    """Makes objects and gives them numbers; :meth:`close` closes them, the last one first."""

    def __init__(self, push: Push) -> None:
        self._push = push
        self._numbers = itertools.count(1)
        self._objects: dict[int, Any] = {0: self}
        self._stop = threading.Event()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._making = threading.Lock()

    def object(self, number: int) -> Any:
        """Return what has a number."""
        try:
            return self._objects[number]
        except KeyError:
            raise TcptraceError(f"nothing has the number {number}") from None

    def hello(self) -> dict[str, Any]:
        """Say who this is; raise if nothing can be played here."""
        if os.geteuid() != 0:
            raise PreflightError("not root there: run this with sudo")
        return {
            "protocol": PROTOCOL,
            "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "netns": Path("/proc/self/ns/net").stat().st_ino,
        }

    def still_there(self) -> None:
        """Hear that the driver is."""

    def clock(self) -> int:
        """Tell the time, ns since 1970."""
        return time.time_ns()

    def resolve(self, name: str) -> str:
        """Return the IPv4 address of a name, as seen from here."""
        try:
            return str(socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0])
        except OSError as error:
            raise PreflightError(f"no IPv4 address for {name}: {error.strerror}") from error

    def own_network(self) -> dict[str, int]:
        """Borrow the machine's own network."""
        return self._add_place(OwnNetwork())

    def namespace(self) -> dict[str, int]:
        """Make a network namespace."""
        return self._add_place(Namespace())

    def program(self, place: int, name: str) -> int:
        """Start a program."""
        return self._add(Program(name, self.object(place)))

    def recorder(self, filters: list[str]) -> int:
        """Start a recorder."""
        path = Path(self._recordings(), f"{next(self._numbers)}.arrows")
        return self._add(RecorderHere(path, filters, self._stop))

    def _recordings(self) -> str:
        """Give the folder for recordings, made for the first one: several may begin at once."""
        with self._making:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="tcptrace-demo-host-")
                owner = calling_user()
                if owner is not None:  # the recorder goes on as that user
                    os.chown(self._folder.name, *owner)
            return self._folder.name

    def tun(self, place: int) -> int:
        """Make a TUN device."""
        number, loop = next(self._numbers), Loop("wire")
        push = partial(self._push, number, 0, True)
        return self._add(Served(Tun(self.object(place), loop, push), loop), number)

    def sniffer(self, place: int, device: str, peer: str, ports: list[int]) -> int:
        """Capture what is exchanged with ``peer`` from or to one of ``ports``."""
        number, loop, wanted = next(self._numbers), Loop("capture"), frozenset(ports)

        def take(stamp: int, sent: bool, packet: bytes) -> None:
            segment = parse(packet, KEPT)
            if segment and peer in (segment.source, segment.target) and segment.ports & wanted:
                self._push(number, stamp, sent, segment.packet)

        return self._add(Served(Sniffer(self.object(place), device, loop, take), loop), number)

    def forget(self, number: int) -> Any:
        """Close an object; what its closing gives."""
        return self._objects.pop(number).close() if number in self._objects else None

    def close(self) -> None:
        """Undo everything."""
        self._stop.set()
        # Programs first: whoever waits for one goes on.
        for one in list(self._objects.values()):
            if isinstance(one, Program):
                one.kill()
        for number in sorted(self._objects, reverse=True):
            if number:
                with contextlib.suppress(TcptraceError, OSError):
                    self.forget(number)
        if self._folder is not None:
            self._folder.cleanup()

    def _add(self, made: Any, number: int | None = None) -> int:
        number = next(self._numbers) if number is None else number
        self._objects[number] = made
        if self._stop.is_set():  # too late
            self.forget(number)
        return number

    def _add_place(self, place: Namespace) -> dict[str, int]:
        return {"number": self._add(place), "inode": place.inode}


class RecorderHere:
    """A recorder whose file goes to the driver."""

    def __init__(self, path: Path, filters: list[str], stop: threading.Event) -> None:
        self._path, self._stop = path, stop
        self._recorder = Recorder(path, filters)

    def wait(self) -> None:
        """Wait until it is attached."""
        self._recorder.wait(self._stop)

    def stop(self) -> bytes:
        """End the recording and return it."""
        self._recorder.stop()
        return self._path.read_bytes()

    def close(self) -> None:
        """Make sure that nothing of it is left."""
        self._recorder.close()
        self._path.unlink(missing_ok=True)


class Served:
    """A device served by a loop of its own."""

    def __init__(self, device: Tun | Sniffer, loop: Loop) -> None:
        self._device, self._loop = device, loop

    def start(self) -> None:
        """Hand over packets from now on."""
        self._device.start()
        self._loop.start()

    def write(self, packet: str) -> None:
        """Let a packet arrive (base64)."""
        assert isinstance(self._device, Tun)  # noqa: S101  the driver knows which it made
        self._device.write(base64.b64decode(packet))

    def close(self) -> int | None:
        """Stop it; of a sniffer, how many packets it missed."""
        self._loop.close()
        return self._device.close()
