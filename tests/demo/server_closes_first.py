#!/usr/bin/env python3
"""The traffic of `make demo`: a server on port 9000 sends one line and closes first.

Server and client are two processes with names of their own, so that a recording has to
tell them apart. Exits non-zero if the line did not arrive.
"""

import os
import socket
from pathlib import Path

ADDRESS = ("127.0.0.1", 9000)
LINE = b"hello from port 9000\n"


def name_process(name: str) -> None:
    """Set what the kernel calls this process, and recordings show."""
    Path("/proc/self/comm").write_text(name)


def client() -> None:
    """Connect, read to the end, close: second, because the end is the server's FIN."""
    name_process("client")
    with socket.create_connection(ADDRESS) as connection, connection.makefile("rb") as stream:
        received = stream.read()
    print(f"client: received {received!r}, then the server's end of file", flush=True)
    if received != LINE:
        raise SystemExit(1)


def main() -> None:
    """Serve one client."""
    socket.setdefaulttimeout(10)
    name_process("server")
    with socket.create_server(ADDRESS, backlog=32) as listener:
        child = os.fork()
        if child == 0:
            listener.close()
            client()
            return
        connection, _ = listener.accept()
        with connection:
            connection.sendall(LINE)
        print("server: sent one line and closed", flush=True)
    _, status = os.waitpid(child, 0)
    raise SystemExit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
