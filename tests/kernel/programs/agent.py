"""A program under test: does on its own sockets what its standard input says.

Runs as a process of its own, with a name of its own, inside a namespace.
One JSON request a line, one JSON answer a line; ends at the end of its input.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
TIMEOUT = 20.0
FILES = 8192

libc = ctypes.CDLL(None)


def set_name(name: str) -> None:
    libc.prctl(PR_SET_NAME, name.encode())


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def accept_and_say_who(listener: socket.socket, name: str) -> None:
    """A forked worker: tell each client this process's id, then close first."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    set_name(name)
    listener.settimeout(None)
    while True:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"%d\n" % os.getpid())


class Agent:
    """The requests; each method is one."""

    def __init__(self) -> None:
        self.sockets: dict[int, socket.socket] = {}
        self.workers: list[int] = []
        self.idle = threading.Event()

    def keep(self, new: socket.socket) -> dict[str, Any]:
        new.settimeout(TIMEOUT)
        handle = new.fileno()
        self.sockets[handle] = new
        return {"handle": handle, "local": new.getsockname()[:2]}

    def listen(self, address: str, port: int, backlog: int, dual: bool) -> dict[str, Any]:
        new = socket.socket(family_of(address), socket.SOCK_STREAM)
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if new.family == socket.AF_INET6:
            new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
        new.bind((address, port))
        new.listen(backlog)
        return self.keep(new)

    def connect(
        self, address: str, port: int, source_port: int, options: list[list[int]]
    ) -> dict[str, Any]:
        new = socket.socket(family_of(address), socket.SOCK_STREAM)
        try:
            for level, name, value in options:
                new.setsockopt(level, name, value)
            if source_port:
                new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                new.bind(("", source_port))
            new.connect((address, port))
        except OSError:
            new.close()
            raise
        return self.keep(new)

    def give_up(self, address: str, port: int, count: int) -> None:
        """Begin to connect, and close before anything comes of it."""
        for _ in range(count):
            with socket.socket(family_of(address), socket.SOCK_STREAM) as new:
                new.setblocking(False)
                new.connect_ex((address, port))

    def connect_many(self, address: str, port: int, count: int) -> list[dict[str, Any]]:
        return [self.connect(address, port, 0, []) for _ in range(count)]

    def connect_all(self, sources: list[str], address: str, port: int) -> list[int]:
        """Connect from each source at once; the error number each one came to."""

        def attempt(source: str) -> int:
            with socket.socket(family_of(address), socket.SOCK_STREAM) as new:
                new.bind((source, 0))
                return new.connect_ex((address, port))

        with ThreadPoolExecutor(len(sources)) as threads:
            return list(threads.map(attempt, sources))

    def accept(self, handle: int) -> dict[str, Any]:
        new, remote = self.sockets[handle].accept()
        return {**self.keep(new), "remote": remote[:2]}

    def accept_many(self, handle: int, count: int) -> list[dict[str, Any]]:
        return [self.accept(handle) for _ in range(count)]

    def send(self, handle: int, size: int) -> None:
        self.sockets[handle].sendall(b"x" * size)

    def receive(self, handle: int, size: int) -> str:
        data = b""
        while len(data) < size:
            more = self.sockets[handle].recv(size - len(data))
            if not more:
                raise OSError(errno.ECONNABORTED, "end of data")
            data += more
        return data.decode()

    def wait_data(self, handle: int) -> None:
        """Wait for data and leave it unread."""
        self.sockets[handle].recv(1, socket.MSG_PEEK)

    def set_option(self, handle: int, level: int, name: int, value: int) -> None:
        self.sockets[handle].setsockopt(level, name, value)

    def read_to_end(self, handle: int) -> str:
        data = b""
        while more := self.sockets[handle].recv(65536):
            data += more
        return data.decode()

    def shut(self, handle: int) -> None:
        self.sockets[handle].shutdown(socket.SHUT_WR)

    def close(self, handle: int) -> None:
        self.sockets.pop(handle).close()

    def close_many(self, handles: list[int]) -> None:
        for handle in handles:
            self.close(handle)

    def read_to_end_many(self, handles: list[int]) -> None:
        for handle in handles:
            self.read_to_end(handle)

    def abort(self, handle: int) -> None:
        linger = struct.pack("ii", 1, 0)
        self.sockets[handle].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close(handle)

    def fork(self, handle: int, names: list[str]) -> list[int]:
        for name in names:
            child = os.fork()
            if not child:
                accept_and_say_who(self.sockets[handle], name)
            self.workers.append(child)
        return self.workers

    def chatter(self) -> None:
        """Keep a thread busy with datagrams to itself, over loopback, until `hush`."""
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.bind(("127.0.0.1", 0))

        def talk() -> None:
            while not self.idle.wait(0.001):
                own.sendto(b"x", own.getsockname())
                own.recv(16)

        self.idle.clear()
        threading.Thread(target=talk, daemon=True).start()

    def hush(self) -> None:
        self.idle.set()


def main() -> None:
    set_name(sys.argv[1])
    most = max(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    agent = Agent()
    print(json.dumps({"ok": os.getpid()}), flush=True)  # noqa: T201
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"ok": getattr(agent, name)(**arguments)}
        except OSError as error:
            answer = {"errno": error.errno or errno.ETIMEDOUT, "text": str(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201
    for worker in agent.workers:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


if __name__ == "__main__":
    main()
