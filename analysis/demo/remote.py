"""What is on another machine, with the methods it has here."""

import base64
from collections.abc import Callable
from typing import Any

from tcptrace.analysis.demo.connection import Connection
from tcptrace.analysis.demo.programs import Calls, Reply


class RemotePlace:
    """A network namespace of another machine, or its own network."""

    def __init__(self, machine: Connection, number: int, inode: int) -> None:
        self.machine, self.number, self.inode = machine, number, inode

    def run(self, *command: str) -> str:
        """Run a command to its end; return what it printed."""
        return str(self._call("run", *command))

    def proc_net(self, name: str) -> str:
        """Return the text of ``/proc/net/NAME``."""
        return str(self._call("proc_net", name))

    def sysctl(self, name: str) -> str | None:
        """Return ``net.ipv4.NAME``, or None if that kernel has none there."""
        value: str | None = self._call("sysctl", name)
        return value

    def set_sysctl(self, name: str, value: object) -> None:
        """Set ``net.ipv4.NAME``."""
        self._call("set_sysctl", name, str(value))

    def ask(self, method: str, *arguments: object) -> Any:
        """Call what only a machine's own network has."""
        return self._call(method, *arguments)

    def close(self) -> None:
        """Let it go; of an own network, undo what was changed."""
        self.machine.forget(self.number)

    def _call(self, method: str, *arguments: object) -> Any:
        return self.machine.call(self.number, method, *arguments)


def make_namespace(machine: Connection) -> RemotePlace:
    """Make a network namespace there."""
    return RemotePlace(machine, **machine.call(0, "namespace"))


def borrow_network(machine: Connection) -> RemotePlace:
    """Borrow that machine's own network."""
    return RemotePlace(machine, **machine.call(0, "own_network"))


class RemoteProgram(Calls):
    """A process on another machine."""

    def __init__(self, name: str, place: RemotePlace) -> None:
        self.name = name
        self._machine = place.machine
        self._number = self._machine.call(0, "program", place.number, name)

    def start(self, operation: str, **arguments: Any) -> None:
        """Begin a call that may wait; :meth:`finish` fetches what it came to."""
        self._machine.call(self._number, "start", operation, **arguments)

    def finish(self) -> Reply:
        """Wait for the call that was started."""
        return Reply(**self._machine.call(self._number, "finish"))

    def ask(self, operation: str, **arguments: Any) -> Reply:
        """Call and wait, in one go."""
        return Reply(**self._machine.call(self._number, "ask", operation, **arguments))

    def kill(self) -> None:
        """End the process; its sockets close as at any exit."""
        self._machine.call(self._number, "kill")

    def close(self) -> None:
        """End the process and forget it."""
        self._machine.forget(self._number)


class RemoteRecorder:
    """A recorder on another machine."""

    def __init__(self, machine: Connection, filters: list[str]) -> None:
        self._machine = machine
        self._number = machine.call(0, "recorder", filters)

    def wait(self) -> None:
        """Wait until it is attached."""
        self._machine.call(self._number, "wait")

    def stop(self) -> bytes:
        """End the recording and fetch it."""
        return base64.b64decode(self._machine.call(self._number, "stop"))

    def close(self) -> None:
        """Make sure that it is gone."""
        self._machine.forget(self._number)


class RemoteTun:
    """A TUN device on another machine; what that host sends goes to ``take``."""

    def __init__(self, place: RemotePlace, take: Callable[[bytes], None]) -> None:
        self._machine = place.machine
        self._number = self._machine.call(0, "tun", place.number)
        self._machine.take(self._number, lambda at, sent, packet: take(packet))

    def start(self) -> None:
        """Hand over packets from now on."""
        self._machine.call(self._number, "start")

    def write(self, packet: bytes) -> None:
        """Let a packet arrive at the host; before whatever is asked of it later."""
        self._machine.send(self._number, "write", packet)

    def close(self) -> None:
        """Remove the device."""
        self._machine.forget(self._number)
