"""The driver's end of :mod:`tcptrace.analysis.demo.agent`."""

import base64
import contextlib
import itertools
import json
import queue
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tcptrace.analysis.demo.capture import ExperimentError
from tcptrace.analysis.demo.namespace import SettingIsGlobalError
from tcptrace.tracer.errors import PreflightError, TcptraceError
from tcptrace.tracer.printable import for_terminal

#: How often the other side hears something, seconds; it gives up after a minute.
_HEARTBEAT = 5.0
#: Longer than anything may take there (a recorder's start: ten minutes), seconds. A connection
#: that is dead is noticed sooner.
_PATIENCE = 660.0
#: How long the other side may take to undo everything, seconds.
_GOODBYE = 120.0
_KINDS = {one.__name__: one for one in (PreflightError, SettingIsGlobalError, ExperimentError)}
_SSH = (
    *("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "--"),
)
#: Whatever the user's shell is. Not a login shell's PATH: sudo and sshd have their own.
_COMMAND = (
    'sh -c \'if [ "$(id -u)" = 0 ]; then exec tcptrace demo-host; '
    "else exec sudo -n tcptrace demo-host; fi'"
)

#: Called with CLOCK_MONOTONIC in ns there, whether that host sent it, and the packet.
Take = Callable[[int, bool, bytes], None]


class Connection:
    """A machine's agent: on this machine if ``name`` is its own, else through ssh."""

    def __init__(self, name: str) -> None:
        self.name = name
        here = name in (socket.gethostname(), socket.gethostname().partition(".")[0])
        command = [sys.executable, "-m", "tcptrace.tracer", "demo-host"]
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        try:
            self._process = subprocess.Popen(
                command if here else [*_SSH, name, _COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                start_new_session=True,  # Ctrl-C is for this process, which tells the other
            )
        except FileNotFoundError as error:
            self._words.close()
            raise PreflightError("ssh is not installed: apt install openssh-client") from error
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._takers: dict[int, Take] = {}
        self._lost: str | None = None
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=work, name=f"{work.__name__} {name}", daemon=True)
            for work in (self._write, self._read)
        ]
        for thread in self._threads:
            thread.start()

    def call(self, on: int, do: str, /, *arguments: Any, **by: Any) -> Any:
        """Call a method there; return its value or raise what it raised."""
        number, answer = next(self._numbers), Future[Any]()
        with self._lock:
            if self._lost:
                raise ExperimentError(self._lost)
            self._waiting[number] = answer
        self._put({"id": number, "on": on, "do": do, "with": arguments, "by": by})
        try:
            return answer.result(_PATIENCE)
        except TimeoutError as error:
            raise ExperimentError(f"{self.name}: no answer to {do}") from error

    def forget(self, number: int) -> Any:
        """Close an object; what that gives. One that is out of reach is closed without us."""
        try:
            return self.call(0, "forget", number)
        except ExperimentError:
            if self._lost:
                return None
            raise

    def send(self, on: int, do: str, packet: bytes) -> None:
        """Call a method with a packet, without waiting; such calls keep their order."""
        self._put({"on": on, "do": do, "with": [base64.b64encode(packet).decode()]})

    def take(self, number: int, take: Take) -> None:
        """Call ``take`` with what an object hands over."""
        self._takers[number] = take

    def close(self) -> None:
        """Let the other side undo everything, and end."""
        self._outgoing.put(None)
        try:
            self._process.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(_GOODBYE)
        self._words.close()

    def _put(self, message: dict[str, Any]) -> None:
        self._outgoing.put(json.dumps(message).encode() + b"\n")

    def _write(self) -> None:
        """Write what is to be sent: nobody else waits for a full pipe."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  asked for
        heartbeat = json.dumps({"on": 0, "do": "still_there"}).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError), stdin:
            while True:
                try:
                    data = self._outgoing.get(timeout=_HEARTBEAT)
                except queue.Empty:
                    data = heartbeat
                if data is None:
                    return
                stdin.write(data)
                if self._outgoing.empty():
                    stdin.flush()

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101  asked for
        with stdout:
            for line in stdout:
                try:
                    self._handle(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    continue  # a login script's greeting
        self._process.wait()
        with self._lock:
            self._lost = self._last_words()
            waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            answer.set_exception(ExperimentError(self._lost))

    def _handle(self, message: dict[str, Any]) -> None:
        if "from" in message:
            packet = base64.b64decode(message["packet"])
            self._takers[message["from"]](message["at"], message["sent"], packet)
            return
        with self._lock:
            answer = self._waiting.pop(message["id"])
        if "error" in message:
            kind = _KINDS.get(message["kind"], TcptraceError)
            answer.set_exception(kind(for_terminal(f"{self.name}: {message['error']}")))
        else:
            answer.set_result(message["value"])

    def _last_words(self) -> str:
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        words = lines[-1].removeprefix("tcptrace: ") if lines else "the connection to it was lost"
        return for_terminal(
            f"{self.name}: {words} (`ssh {self.name} sudo -n tcptrace check` must work "
            "without a question, with this version of tcptrace)"
        )
