"""Every TCP socket there is: what no tracepoint tells of sockets that do nothing.

``python -m tcptrace.tracer.snapshot [--hz HZ] [NETNS ...]`` writes records to stdout, in
a process of its own: it enters network namespaces, and takes time, which the recorder
must not.
"""

import argparse
import errno
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

import numpy as np

from tcptrace.tracer import sock_diag
from tcptrace.tracer.errors import TcptraceError
from tcptrace.tracer.layout import EVENT, EVENT_KINDS
from tcptrace.tracer.namespaces import call_inside, network_namespaces, own_namespace
from tcptrace.tracer.owners import find_owners
from tcptrace.tracer.privileges import effective
from tcptrace.tracer.snapshot_server import Run, SnapshotServer

#: Seconds after which a snapshot is given up.
TIME_LIMIT = 10.0

_log = logging.getLogger(__name__)
_EXISTING = EVENT_KINDS.index("existing")
_MAPPED = np.frombuffer(b"\0\0\xff\xff", np.uint32)[0]  # of ::ffff:a.b.c.d


def take_snapshot(netns: Sequence[int] | None = None, hz: int | None = None) -> np.ndarray:
    """Ask the kernel for every TCP socket of every network namespace.

    ``netns``: inodes of the namespaces to look into; None for all. ``hz``: jiffies per
    second. Gives records of kind ``existing``, dtype :data:`tcptrace.tracer.layout.EVENT`,
    as bpf/event.h says. A namespace that cannot be entered is left out and logged.
    Raises :class:`TcptraceError` where the kernel has no sock_diag for TCP.
    """
    parts = []
    closed = 0
    own = own_namespace()
    for inode, path in network_namespaces().items():
        if netns is not None and inode not in netns:
            continue
        try:
            if inode == own:
                opened = sock_diag.open_socket()
            else:
                opened = call_inside(inode, path, sock_diag.open_socket)
        except FileNotFoundError:
            continue  # gone since it was found
        except PermissionError:
            closed += 1
            continue
        except OSError as error:
            _log.warning("sockets of network namespace %d are not known: %s", inode, error.strerror)
            continue
        with opened:
            parts += _dump(opened, inode)
    if closed:
        what = "another network namespace" if closed == 1 else f"{closed} other network namespaces"
        _log.warning("sockets of %s are not known: CAP_SYS_ADMIN is missing", what)
    missing = {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"} - effective()
    if missing:
        _log.warning("who holds other users' sockets is not known: %s missing", _named(missing))
    sockets = np.concatenate([np.empty(0, _TOLD), *parts])
    return _records(sockets, hz)


def _named(missing: set[str]) -> str:
    return f"{' and '.join(sorted(missing))} {'is' if len(missing) == 1 else 'are'}"


#: A socket as told, when, and in which namespace.
_TOLD = np.dtype([("socket", sock_diag.SOCKET), ("time", "u8"), ("netns", "u4")])


def _dump(netlink: socket.socket, netns: int) -> list[np.ndarray]:
    parts = []
    try:
        for looked, sockets in sock_diag.dump(netlink):
            part = np.empty(len(sockets), _TOLD)
            part["socket"], part["time"], part["netns"] = sockets, looked, netns
            parts.append(part)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise TcptraceError("the kernel has no sock_diag for TCP: modprobe tcp_diag") from error
        raise TcptraceError(f"sock_diag: {error.strerror}") from error
    return parts


def _records(told: np.ndarray, hz: int | None) -> np.ndarray:
    sockets = told["socket"]
    records = np.zeros(len(told), EVENT)
    records["kind"] = _EXISTING
    records["time"], records["netns"] = told["time"], told["netns"]
    records["old_state"] = records["new_state"] = sockets["state"]
    ipv6 = sockets["family"] == socket.AF_INET6
    records["family"] = np.where(ipv6, 6, 4)
    for end in ("local", "remote"):
        records[f"{end}_port"] = sockets[f"{end}_port"]
        address = sockets[f"{end}_address"].copy()
        address[~ipv6, 3] = address[~ipv6, 0]
        address[~ipv6, :3] = (0, 0, _MAPPED)
        records[f"{end}_address"] = address.view("V16")[:, 0]
    records["detail"] = -1
    if hz:
        timewait = sockets["timer"] == sock_diag.TIMER_TIMEWAIT
        left = sockets["expires_ms"][timewait].astype(np.int64)
        records["detail"][timewait] = (left * hz + 500) // 1000
    inodes, place = np.unique(sockets["inode"], return_inverse=True)
    # Timewait sockets, and connections not yet accepted, have no inode.
    held = inodes != 0
    owners = find_owners(inodes[held])
    for name in ("pid", "cgroup", "comm"):
        values = np.zeros(len(inodes), owners.dtype[name])
        values[held] = owners[name]
        records[name] = values[place]
    return records


class SnapshotProcess:
    """A snapshot taken beside the recorder, by a process of its own.

    ``problem``: what is not known for lack of it, and why; None if nothing, so far.
    """

    def __init__(
        self,
        netns: Sequence[int] = (),
        hz: int | None = None,
        server: SnapshotServer | None = None,
    ) -> None:
        """``server``: who is asked for it; None: a process started from here."""
        self.problem: str | None = None
        self._deadline = time.monotonic() + TIME_LIMIT
        # Files in memory: a pipe would have to be read all the time.
        self._rows = os.fdopen(os.memfd_create("snapshot"), "rb")
        self._said = os.fdopen(os.memfd_create("said"), "rb")
        self._process: subprocess.Popen[bytes] | Run | None = None
        self._refused = ""
        try:
            start = _start if server is None else server.start
            self._process = start(netns, hz, self._rows, self._said)
        except OSError as error:
            self._refused = f"no process to ask for them: {error.strerror}"

    def poll(self) -> np.ndarray | None:
        """Give the snapshot once it is there; None until then, and after it was given.

        It is empty if it failed or took longer than TIME_LIMIT; ``problem`` says why.
        """
        if self._rows.closed:
            return None
        if self._process is None:
            return self._fail(self._refused)
        if self._process.poll() is None:
            if time.monotonic() < self._deadline:
                return None
            return self._fail(f"asking for them took longer than {TIME_LIMIT:g} s")
        for file in (self._rows, self._said):
            file.seek(0)
        rows = self._rows.read()
        complaints = self._said.read().decode(errors="replace").splitlines()
        if self._process.returncode:
            ended = f"the process that asks ended with {self._process.returncode}"
            return self._fail(complaints[-1] if complaints else ended)
        if len(rows) % EVENT.itemsize:
            return self._fail("the answer is cut off")
        if complaints:
            more = f" (and {len(complaints) - 2} more)" if complaints[2:] else ""
            self.problem = "; ".join(complaints[:2]) + more
        self.close()
        return np.frombuffer(rows, EVENT)

    def _fail(self, why: str) -> np.ndarray:
        self.problem = f"sockets that made no event are not known: {why}"
        self.close()
        return np.empty(0, EVENT)

    def close(self) -> None:
        """End the process if it still runs; there will be no snapshot."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._rows.close()
        self._said.close()


def _start(
    netns: Sequence[int], hz: int | None, rows: IO[bytes], said: IO[bytes]
) -> "subprocess.Popen[bytes]":
    # -P: as root, import nothing from the directory we happen to be in.
    command = [sys.executable, "-P", "-m", __name__]
    if hz:
        command += ["--hz", str(hz)]
    return subprocess.Popen(
        [*command, *map(str, netns)],
        stdin=subprocess.DEVNULL,
        stdout=rows,
        stderr=said,
        # Ctrl-C is the recorder's to handle.
        start_new_session=True,
    )


def main() -> None:
    """Write a snapshot's records to stdout; what is wrong to stderr."""
    parser = argparse.ArgumentParser(description="Write every TCP socket as raw records.")
    parser.add_argument("--hz", type=int, help="jiffies per second")
    parser.add_argument("netns", type=int, nargs="*", help="inodes; all namespaces if none")
    arguments = parser.parse_args()
    # The recorder may go first; this need not.
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    try:
        records = take_snapshot(arguments.netns or None, arguments.hz)
    except TcptraceError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(records.data)


if __name__ == "__main__":
    main()
