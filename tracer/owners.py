"""Which process holds a socket: its inode against every process's file descriptors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

#: ``inode`` of a socket and who holds it; as ``struct event`` has them.
OWNER = np.dtype([("inode", "u4"), ("pid", "u4"), ("cgroup", "u8"), ("comm", "S16")])

_INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO (include/linux/proc_ns.h)
_SHARED = -1


def find_owners(inodes: np.ndarray) -> np.ndarray:
    """Find the process that holds each socket: dtype :data:`OWNER`, sorted by inode.

    ``inodes``: sorted, distinct, without 0. ``comm`` is the process's own, not a
    thread's. A socket that several processes hold (after fork), or none, has pid 0, no
    comm and cgroup 0: whose it is cannot be known. So have all where this machine's
    processes go by other numbers than the kernel's own: in another PID namespace.
    """
    owners = np.zeros(len(inodes), OWNER)
    owners["inode"] = inodes
    if not len(inodes) or Path("/proc/self/ns/pid").stat().st_ino != _INITIAL_PID_NAMESPACE:
        return owners
    cgroups = Cgroups(Path("/proc/self/mountinfo").read_text())
    index = {f"socket:[{inode}]": place for place, inode in enumerate(inodes.tolist())}
    holder: dict[int, int] = {}
    known: dict[int, tuple[int, int, bytes]] = {}
    for process in os.scandir("/proc"):
        if not process.name.isdigit():
            continue
        # It ended meanwhile, or it is not ours to look at.
        with (
            suppress(FileNotFoundError, ProcessLookupError, PermissionError),
            _opened(process.path) as directory,
        ):
            held = _held(directory, index)
            pid = int(process.name)
            for place in held:
                holder[place] = _SHARED if place in holder else pid
            if held:
                known[pid] = (pid, cgroups.of(directory), _comm(directory))
    for place, pid in holder.items():
        if pid in known:
            owners[["pid", "cgroup", "comm"]][place] = known[pid]
    return owners


@contextmanager
def _opened(path: str, directory: int | None = None) -> Iterator[int]:
    """Hold a directory open: a process's own stays its own when its number is reused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _held(process: int, index: dict[str, int]) -> set[int]:
    """Look up what a process's file descriptors lead to."""
    held = set()
    with _opened("fd", process) as directory, os.scandir(directory) as entries:
        for entry in entries:
            try:
                place = index.get(os.readlink(entry.name, dir_fd=directory))
            except FileNotFoundError:
                continue  # closed since it was listed
            if place is not None:
                held.add(place)
    return held


def _read(name: str, process: int) -> bytes:
    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=process), "rb") as file:
        return file.read()


def _comm(process: int) -> bytes:
    return _read("comm", process).removesuffix(b"\n")


class Cgroups:
    """Identifies processes' version 2 cgroups as bpf_get_current_cgroup_id() does.

    ``point``: where the hierarchy is mounted, empty if it is not; ``root``: which of its
    groups is to be seen there, empty for the first.
    """

    def __init__(self, mountinfo: str) -> None:
        self.root, self.point = "", ""
        self._known: dict[bytes, int] = {}
        for line in mountinfo.splitlines():
            fields = line.split(" ")
            if fields[fields.index("-") + 1] == "cgroup2":
                self.root, self.point = fields[3].rstrip("/"), fields[4]
                return

    def of(self, process: int) -> int:
        """Give the inode of the process's cgroup directory, 0 if it cannot be found."""
        text = _read("cgroup", process)
        if text not in self._known:
            self._known[text] = self._find(text)
        return self._known[text]

    def _find(self, text: bytes) -> int:
        for line in text.decode(errors="surrogateescape").splitlines():
            path = line.removeprefix("0::")
            inside = path.startswith(self.root) and "/.." not in path
            if path != line and inside and self.point:
                with suppress(OSError):
                    return Path(self.point + path[len(self.root) :]).stat().st_ino
        return 0
