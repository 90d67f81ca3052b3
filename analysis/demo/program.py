"""What runs inside a namespace: one process that does as it is told with real sockets.

Stand-alone on purpose: it is run by path with ``python -I -S`` so that a dozen
of them start in no time, and imports the standard library only.

Requests come in on stdin, one JSON object a line (``operation`` and its
arguments); the answer goes to stdout: ``value`` or ``error`` (an errno name),
and ``began`` and ``ended`` (CLOCK_MONOTONIC, ns). It dies with its parent.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
#: No call waits longer than this, seconds: nothing is left hanging.
TIMEOUT = 30.0


class Sockets:
    """The operations; every socket goes by the name it was given."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}

    def _make(self, name: str, reuse: bool) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(TIMEOUT)
        if reuse:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keep(name, made)
        return made

    def _keep(self, name: str, made: socket.socket) -> None:
        before = self._sockets.pop(name, None)
        if before is not None:
            before.close()
        self._sockets[name] = made

    def listen(self, name: str, port: int, backlog: int = 32, reuse: bool = False) -> None:
        """Make a listening socket on every address."""
        made = self._make(name, reuse)
        try:
            made.bind(("", port))
            made.listen(backlog)
        except OSError:
            made.close()
            raise

    def connect(
        self,
        name: str,
        address: str,
        port: int,
        local_port: int = 0,
        reuse: bool = False,
        timeout: float = TIMEOUT,
    ) -> int:
        """Make a socket, bind it if a local port is given, connect it; the local port."""
        made = self._make(name, reuse)
        made.settimeout(timeout)
        try:
            if local_port:
                made.bind(("", local_port))
            made.connect((address, port))
        except OSError:
            made.close()
            raise
        made.settimeout(TIMEOUT)
        port_used: int = made.getsockname()[1]
        return port_used

    def accept(self, name: str, listener: str) -> int:
        """Accept a connection; the peer's port."""
        accepted, peer = self._sockets[listener].accept()
        accepted.settimeout(TIMEOUT)
        self._keep(name, accepted)
        port: int = peer[1]
        return port

    def send(self, name: str, text: str = "", size: int = 0) -> int:
        """Send a text, or as many bytes as asked for; bytes the kernel took."""
        data = text.encode() or bytes(size)
        return self._sockets[name].send(data)

    def send_all(self, name: str, text: str = "", size: int = 0) -> int:
        """Like send(), and again until the kernel has taken everything."""
        data = text.encode() or bytes(size)
        self._sockets[name].sendall(data)
        return len(data)

    def receive(self, name: str, size: int = 65536) -> str:
        """recv() once; an empty text is the peer's FIN."""
        return self._sockets[name].recv(size).decode("latin-1")

    def receive_exactly(self, name: str, size: int) -> str:
        """recv() until so many bytes are there or the peer's FIN; the last 4096 of them."""
        last, got = b"", 0
        while got < size:
            data = self._sockets[name].recv(min(size - got, 1 << 20))
            if not data:
                break
            got += len(data)
            last = (last + data)[-4096:]
        return last.decode("latin-1")

    def drain(self, name: str) -> dict[str, Any]:
        """recv() to the end: bytes read, and the error that ended it or None for a FIN."""
        got = 0
        try:
            while data := self._sockets[name].recv(1 << 20):
                got += len(data)
        except OSError as error:
            return {"bytes": got, "error": errno.errorcode.get(error.errno or 0, "ETIMEDOUT")}
        return {"bytes": got, "error": None}

    def shutdown(self, name: str) -> None:
        """Send a FIN (SHUT_WR), while reading goes on."""
        self._sockets[name].shutdown(socket.SHUT_WR)

    def close(self, name: str) -> None:
        """Close a socket."""
        self._sockets.pop(name).close()

    def close_at_end(self, name: str) -> int:
        """recv() until the peer's FIN, then close() at once; bytes read."""
        got = 0
        while data := self._sockets[name].recv(1 << 20):
            got += len(data)
        self.close(name)
        return got

    def linger(self, name: str, seconds: int) -> None:
        """SO_LINGER on; 0 seconds make close() a reset."""
        self._sockets[name].setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds)
        )

    def keep_alive(self, name: str, idle: int, interval: int) -> None:
        """SO_KEEPALIVE with its timers in seconds."""
        made = self._sockets[name]
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)

    def error(self, name: str) -> str | None:
        """SO_ERROR: what has befallen the socket, as an errno name."""
        code = self._sockets[name].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return errno.errorcode[code] if code else None


def answer(sockets: Sockets, line: bytes) -> dict[str, Any]:
    """Do one request."""
    request = json.loads(line)
    operation = getattr(sockets, request.pop("operation"))
    began = time.monotonic_ns()
    try:
        reply: dict[str, Any] = {"value": operation(**request), "error": None}
    except TimeoutError as problem:
        reply = {"value": None, "error": errno.errorcode.get(problem.errno or 0, "ETIMEDOUT")}
    except OSError as problem:
        reply = {"value": None, "error": errno.errorcode.get(problem.errno or 0, str(problem))}
    return reply | {"began": began, "ended": time.monotonic_ns()}


def main() -> None:
    """Serve requests until stdin ends."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(PR_SET_NAME, sys.argv[1].encode())
    # Ctrl-C reaches the whole process group; the parent decides what ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != int(sys.argv[2]):
        return
    sockets = Sockets()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(answer(sockets, line)).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
