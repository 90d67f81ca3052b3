"""Who takes snapshots once the recorder may not: a process with the rights for that alone.

``python -m tcptrace.tracer.snapshot_server SOCKET`` runs beside the recorder, asleep. It
is asked for a snapshot over the socket, with two files for the rows and for what is wrong,
runs :mod:`tcptrace.tracer.snapshot`, and answers how that ended. It runs nothing else.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import IO

from tcptrace.tracer import privileges

_MESSAGE = 1 << 16
_KILL = b"kill"


class SnapshotServer:
    """The process, from the recorder's side. It ends with it."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                # -P: as root, import nothing from the directory we happen to be in.
                self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                    [sys.executable, "-P", "-m", __name__, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is the recorder's to handle
                )
            except OSError:
                self._process = None  # whoever asks is told

    def start(
        self, netns: Sequence[int], hz: int | None, rows: IO[bytes], said: IO[bytes]
    ) -> "Run":
        """Have a snapshot taken; raises ``OSError`` if there is nobody to do it."""
        request = json.dumps({"netns": list(netns), "hz": hz}).encode()
        socket.send_fds(self._channel, [request], [rows.fileno(), said.fileno()])
        return Run(self._channel)

    def close(self) -> None:
        """End it."""
        self._channel.close()
        if self._process is not None:
            self._process.wait()


class Run:
    """A snapshot being taken, as :class:`subprocess.Popen` would tell of it."""

    def __init__(self, channel: socket.socket) -> None:
        self.returncode: int | None = None
        self._channel = channel

    def poll(self) -> int | None:
        """Give its exit status; None while it runs."""
        return self._receive(socket.MSG_DONTWAIT)

    def kill(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._channel.send(_KILL)

    def wait(self) -> int:
        """Wait for its end."""
        while self.returncode is None:
            self._receive(0)
        return self.returncode

    def _receive(self, flags: int) -> int | None:
        if self.returncode is None:
            try:
                answer = self._channel.recv(_MESSAGE, flags)
            except BlockingIOError:
                return None
            except OSError:
                answer = b""
            self.returncode = int(answer or -signal.SIGKILL)  # nobody there any more
        return self.returncode


def _serve(channel: socket.socket) -> None:
    """Take snapshots until the recorder is gone."""
    while True:
        message, files, _, _ = socket.recv_fds(channel, _MESSAGE, 2)
        if not message:
            return
        if message == _KILL:
            continue  # it had just ended
        try:
            wanted = json.loads(message)
            words = [str(int(inode)) for inode in wanted["netns"]]
            if wanted["hz"]:
                words = ["--hz", str(int(wanted["hz"])), *words]
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tcptrace.tracer.snapshot", *words],
                stdin=subprocess.DEVNULL,
                stdout=files[0],
                stderr=files[1],
            )
        except OSError:
            channel.send(b"1")
            continue
        finally:
            for file in files:
                os.close(file)
        _attend(channel, process)


def _attend(channel: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    """Wait for its end, or bring it about."""
    ended = os.pidfd_open(process.pid)
    try:
        while ended not in select.select([channel.fileno(), ended], [], [])[0]:
            message = channel.recv(_MESSAGE)
            process.kill()
            if not message:
                break
        process.wait()
        channel.send(str(process.returncode).encode())
    except OSError:
        process.kill()  # the recorder is gone
        process.wait()
    finally:
        os.close(ended)


def main() -> None:
    """Keep what snapshots need and nothing else; then wait to be asked."""
    # What stops a service is sent to all its processes; the recorder has a last question.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    privileges.restrict(privileges.SNAPSHOTS, inherited=True)
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        _serve(channel)


if __name__ == "__main__":
    main()
