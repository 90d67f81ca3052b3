"""The machine's network namespaces, and sockets opened inside them."""

import ctypes
import errno
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_OCTAL = re.compile(r"\\([0-7]{3})")


def own_namespace() -> int:
    """Give the inode of the caller's network namespace."""
    return Path("/proc/self/ns/net").stat().st_ino


def network_namespaces() -> dict[int, Path]:
    """Find every network namespace by its inode, with a file that leads into it.

    Those of processes (/proc/*/ns/net), and those kept by a mount, as ``ip netns add``
    makes (/run/netns/*). One that only an open file or a socket keeps has no name.
    """
    found: dict[int, Path] = {}
    for process in os.scandir("/proc"):
        if process.name.isdigit():
            path = Path("/proc", process.name, "ns/net")
            # It ended, or it is a zombie, or it is not ours to look at.
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                found.setdefault(path.stat().st_ino, path)
    # A mount outlives the process that a namespace was found by.
    return found | mounted_namespaces(Path("/proc/self/mountinfo").read_text())


def mounted_namespaces(mountinfo: str) -> dict[int, Path]:
    """Read which namespaces are mounted where (proc_pid_mountinfo(5))."""
    found = {}
    for line in mountinfo.splitlines():
        _, _, _, root, point, *_ = line.split(" ")
        if root.startswith("net:["):
            name = _OCTAL.sub(lambda match: chr(int(match[1], 8)), point)
            found[int(root[5:-1])] = Path(os.fsdecode(name.encode("latin-1", "surrogateescape")))
    return found


def call_inside(inode: int, path: Path, function: Callable[[], T]) -> T:
    """Call ``function`` in the network namespace ``inode``, into which ``path`` leads.

    On a thread of its own, so that the caller stays where it is. Raises ``OSError``: the
    namespace is gone (``FileNotFoundError``), or may not be entered (CAP_SYS_ADMIN).
    """

    def enter() -> T:
        with path.open() as namespace:
            # A process number may be another's by now; a mount leaves a plain file behind.
            if os.fstat(namespace.fileno()).st_ino != inode:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            # os.setns() needs Python 3.12.
            if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        return function()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(enter).result()
