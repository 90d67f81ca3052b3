"""Programs with names of their own, inside namespaces, driven step by step."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .net import Namespace

PROGRAMS = Path(__file__).parent / "programs"


class Process:
    """A running script of programs/; each call returns when the step is done."""

    def __init__(
        self, name: str, script: str, *words: str, inside: Namespace | None = None
    ) -> None:
        self.name = name
        command = [sys.executable, "-I", "-S", str(PROGRAMS / script), *words]
        self._process = subprocess.Popen(
            inside.command(*command) if inside else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid: int = self.finish()

    def begin(self, request: str, **arguments: object) -> None:
        """Ask for a step without waiting for its end; `finish()` returns its answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([request, arguments]) + "\n")
        self._process.stdin.flush()

    def finish(self) -> Any:
        """Wait for the answer to the oldest request; raise what the step raised."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        answer = json.loads(line)
        if "errno" in answer:
            raise OSError(answer["errno"], f"{self.name}: {answer['text']}")
        return answer["ok"]

    def call(self, request: str, **arguments: object) -> Any:
        self.begin(request, **arguments)
        return self.finish()

    def kill(self) -> None:
        """End the process at once; the kernel closes what it held."""
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """Let the process end by itself, at the end of its input."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe and not pipe.closed:
                pipe.close()


class Program(Process):
    """A process called `name` in `namespace` that opens and closes connections."""

    def __init__(self, name: str, namespace: Namespace) -> None:
        super().__init__(name, "agent.py", name, inside=namespace)
        self.namespace = namespace

    def listen(
        self, address: str, port: int, *, backlog: int = 128, dual: bool = False
    ) -> Listener:
        made = self.call("listen", address=address, port=port, backlog=backlog, dual=dual)
        return Listener(self, made["handle"], made["local"][1])

    def connect(
        self,
        address: str,
        port: int,
        *,
        source_port: int = 0,
        options: Sequence[tuple[int, int, int]] = (),
    ) -> Socket:
        self.begin_connect(address, port, source_port=source_port, options=options)
        return self.finish_connect()

    def begin_connect(
        self,
        address: str,
        port: int,
        *,
        source_port: int = 0,
        options: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        """Start to connect; `finish_connect()` waits for its end."""
        self.begin("connect", address=address, port=port, source_port=source_port, options=options)

    def finish_connect(self) -> Socket:
        made = self.finish()
        return Socket(self, made["handle"], made["local"][1])

    def connect_many(self, address: str, port: int, count: int) -> list[Socket]:
        made = self.call("connect_many", address=address, port=port, count=count)
        return [Socket(self, one["handle"], one["local"][1]) for one in made]

    def connect_all(self, sources: list[str], address: str, port: int) -> list[int]:
        """Connect from each source at once; the error number each one came to."""
        made = self.call("connect_all", sources=sources, address=address, port=port)
        return [int(code) for code in made]

    def close_many(self, sockets: list[Socket]) -> None:
        self.call("close_many", handles=[one.handle for one in sockets])

    def read_to_end_many(self, sockets: list[Socket]) -> None:
        self.call("read_to_end_many", handles=[one.handle for one in sockets])


class Socket:
    """One end of a connection, held by `program`."""

    def __init__(self, program: Program, handle: int, port: int) -> None:
        self.program = program
        self.handle = handle
        self.port = port

    def send(self, size: int = 1) -> None:
        self.program.call("send", handle=self.handle, size=size)

    def receive(self, size: int = 1) -> str:
        return str(self.program.call("receive", handle=self.handle, size=size))

    def wait_data(self) -> None:
        """Wait for data and leave it unread."""
        self.program.call("wait_data", handle=self.handle)

    def set_option(self, level: int, name: int, value: int) -> None:
        self.program.call("set_option", handle=self.handle, level=level, name=name, value=value)

    def read_to_end(self) -> str:
        return str(self.program.call("read_to_end", handle=self.handle))

    def shut(self) -> None:
        """Send FIN and keep on reading."""
        self.program.call("shut", handle=self.handle)

    def close(self) -> None:
        self.program.call("close", handle=self.handle)

    def abort(self) -> None:
        """Close with linger 0: send RST."""
        self.program.call("abort", handle=self.handle)


class Listener(Socket):
    """A listening socket of `program` on `port`."""

    def accept(self) -> Socket:
        made = self.program.call("accept", handle=self.handle)
        return Socket(self.program, made["handle"], made["remote"][1])

    def accept_many(self, count: int) -> list[Socket]:
        made = self.program.call("accept_many", handle=self.handle, count=count)
        return [Socket(self.program, one["handle"], one["remote"][1]) for one in made]

    def fork(self, names: list[str]) -> list[int]:
        """Fork workers that accept on this socket, say their id, and close first."""
        return list(self.program.call("fork", handle=self.handle, names=names))
