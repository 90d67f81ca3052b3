"""Processes that are both ends of their connections: `both_ends.py PROCESSES CONNECTIONS`.

Each opens and closes so many, one after the other, on loopback: the server's end first, every
second time by a reset.
"""

import os
import socket
import struct
import sys

NO_TIME = struct.pack("ii", 1, 0)


def run(number: int, count: int) -> None:
    """Open and close them: of many addresses, so that ports do not run out."""
    with socket.create_server(("", 9100 + number)) as listener:
        port = listener.getsockname()[1]
        for each in range(count):
            address = f"127.{number + 1}.{each >> 8 & 15}.{each & 255}"
            with socket.socket() as near:
                near.connect((address, port))
                far, _ = listener.accept()
                if each % 2:
                    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_TIME)
                far.close()


def main() -> None:
    """Run them side by side; exit with 0 if all came to their end."""
    processes, count = map(int, sys.argv[1:])
    for number in range(processes):
        if os.fork() == 0:
            run(number, count)
            os._exit(0)
    ends = [os.wait()[1] for _ in range(processes)]
    sys.exit(any(ends))


if __name__ == "__main__":
    main()
