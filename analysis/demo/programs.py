"""The driver's end of :mod:`tcptrace.analysis.demo.program`."""

import json
import os
import select
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tcptrace.analysis.demo import program
from tcptrace.analysis.demo.capture import ExperimentError
from tcptrace.analysis.demo.namespace import Namespace

#: Longer than any call of a program may wait by itself, seconds.
_PATIENCE = program.TIMEOUT + 10


@dataclass(frozen=True)
class Reply:
    """What a call came to; ``error`` is an errno name, ``began`` and ``ended`` monotonic ns."""

    value: Any
    error: str | None
    began: int
    ended: int

    @property
    def seconds(self) -> float:
        """How long the call took."""
        return (self.ended - self.began) / 1e9

    @property
    def outcome(self) -> str:
        """``ok``, or the errno name."""
        return self.error or "ok"


class Calls(ABC):
    """A process that uses sockets as it is told, wherever it runs."""

    name: str

    @abstractmethod
    def start(self, operation: str, **arguments: Any) -> None:
        """Begin a call that may wait; :meth:`finish` fetches what it came to."""

    @abstractmethod
    def finish(self) -> Reply:
        """Wait for the call that was started."""

    @abstractmethod
    def kill(self) -> None:
        """End the process, whatever it is doing; its sockets close as at any exit."""

    @abstractmethod
    def close(self) -> None:
        """End the process and forget it."""

    def ask(self, operation: str, **arguments: Any) -> Reply:
        """Call and wait; a failing call is an answer too."""
        self.start(operation, **arguments)
        return self.finish()

    def do(self, operation: str, **arguments: Any) -> Any:
        """Call and wait; raise :class:`ExperimentError` if it fails. Returns the value."""
        reply = self.ask(operation, **arguments)
        if reply.error:
            raise ExperimentError(f"{operation}() of {self.name} failed: {reply.error}")
        return reply.value


class Program(Calls):
    """A process in a namespace, known to the kernel (and a recording) as ``name``."""

    def __init__(self, name: str, namespace: Namespace) -> None:
        self.name = name
        self._buffer = b""
        script = Path(program.__file__)
        with namespace.inside():
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(script), name, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
        self.pid = self._process.pid

    def kill(self) -> None:
        """End the process, whatever it is doing; its sockets close as at any exit."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and forget it."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None  # noqa: S101  both were asked for
            pipe.close()

    def start(self, operation: str, **arguments: Any) -> None:
        """Begin a call that may wait; :meth:`finish` fetches what it came to."""
        request = json.dumps({"operation": operation, **arguments})
        assert self._process.stdin is not None  # noqa: S101  asked for
        try:
            self._process.stdin.write(request.encode() + b"\n")
        except BrokenPipeError as error:
            raise ExperimentError(f"the program {self.name} is gone") from error

    def finish(self) -> Reply:
        """Wait for the call that was started."""
        assert self._process.stdout is not None  # noqa: S101  asked for
        deadline = time.monotonic() + _PATIENCE
        while b"\n" not in self._buffer:
            ready, _, _ = select.select(
                [self._process.stdout], [], [], max(0, deadline - time.monotonic())
            )
            data = self._process.stdout.read(1 << 20) if ready else b""
            if not data:
                raise ExperimentError(f"the program {self.name} does not answer")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return Reply(**json.loads(line))
