"""The demo's hands on another machine: ``tcptrace demo-host``, started through ssh.

Requests come in on stdin, one JSON object a line: ``on`` (an object's number, 0 for the
:class:`~tcptrace.analysis.demo.machine.Machine`), ``do`` (its method), ``with`` (arguments)
and ``id``, which the answer on stdout repeats beside its ``value`` or ``error``. Packets go
out as they come, with ``from``. When stdin ends, a signal comes or nobody is heard for
:data:`SILENCE`, everything is undone, and the process ends.
"""

import base64
import json
import os
import select
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, is_dataclass
from typing import Any

from tcptrace.analysis.demo.machine import Machine
from tcptrace.tracer.errors import TcptraceError

#: The driver says something every few seconds; a connection may be dead without an end, seconds.
SILENCE = 60.0
#: More calls at once than all experiments make.
_WORKERS = 64


class Agent:
    """Serves one driver; made on descriptors for requests and answers."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._lock = threading.Lock()
        self._machine = Machine(self._push)
        self._workers = ThreadPoolExecutor(_WORKERS)

    def serve(self) -> None:
        """Do as told until there is nobody to tell; then undo everything."""
        try:
            for line in self._lines():
                request = json.loads(line)
                if "id" in request:
                    self._workers.submit(self._answer, request)
                else:
                    self._do(request)  # at once: packets keep their order
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TcptraceError("demo-host is for `tcptrace demo --hosts` to use") from error
        finally:
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # nothing interrupts the undoing
            self._machine.close()
            self._workers.shutdown()

    def _lines(self) -> Iterator[bytes]:
        buffer = b""
        while select.select([self._requests], [], [], SILENCE)[0]:
            data = os.read(self._requests, 1 << 20)
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            yield from lines

    def _do(self, request: dict[str, Any]) -> Any:
        target = self._machine.object(request["on"])
        value = getattr(target, request["do"])(*request.get("with", ()), **request.get("by", {}))
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value

    def _answer(self, request: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"id": request["id"]}
        try:
            answer["value"] = self._do(request)
        except TcptraceError as error:
            answer |= {"error": str(error), "kind": type(error).__name__}
        except Exception as error:  # it must not wait for ever
            answer |= {"error": f"{type(error).__name__}: {error}", "kind": "TcptraceError"}
        self._send(answer)

    def _push(self, number: int, time: int, sent: bool, packet: bytes) -> None:
        self._send(
            {"from": number, "at": time, "sent": sent, "packet": base64.b64encode(packet).decode()}
        )

    def _send(self, message: dict[str, Any]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._answers, data) :]
            except OSError:
                return  # nobody reads any more: stdin will end, too


def main() -> None:
    """Serve the driver on stdin and stdout."""
    # Ctrl-C is for the driver, which tells.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed is not an answer
    try:
        Agent(0, answers).serve()
    except KeyboardInterrupt:
        raise SystemExit(1) from None
