"""The names that a recording's numbers have on this machine: namespaces, control groups.

A container's are gone with it, so they are looked up when its number first appears.
"""

import os
import time
from collections import deque
from pathlib import Path

import numpy as np

from tcptrace.tracer.namespaces import mounted_namespaces
from tcptrace.tracer.owners import Cgroups

Told = dict[str, dict[str, str]]

#: Between two looks, seconds, and the control groups looked at each time, at most: 5,000
#: take 20 ms.
_EVERY = 1.0
_MOST = 20_000
#: Where `ip netns` keeps its names.
_IP_NETNS = (Path("/run/netns"), Path("/var/run/netns"))
_USUAL = 8


class Names:
    """Looks up the names of numbers that are recorded.

    ``known``: all so far, ``{"netns": {"4026532246": "web"}, "cgroup": {"17": "/a.slice"}}``;
    it goes into the header of each file.
    """

    def __init__(self) -> None:
        self.known: Told = {"netns": {}, "cgroup": {}}
        self._noticed: dict[str, set[int]] = {"netns": set(), "cgroup": set()}
        self._unnamed: dict[str, set[int]] = {"netns": set(), "cgroup": set()}
        #: Those seen last.
        self._usual: dict[str, list[int]] = {"netns": [], "cgroup": []}
        self._looked = -_EVERY
        self._mountinfo = Path("/proc/self/mountinfo")

    def notice(self, events: np.ndarray) -> None:
        """Take note of the numbers in records of dtype ``EVENT``."""
        for field, noticed in self._noticed.items():
            numbers = np.ascontiguousarray(events[field])
            # Nearly always all are among a few: a tenth of what sorting them costs.
            for number in self._usual[field]:
                numbers = numbers[numbers != number]
                if not len(numbers):
                    break
            else:
                found = np.unique(numbers).tolist()
                self._usual[field] = [*found, *self._usual[field]][:_USUAL]
                self._unnamed[field].update(set(found) - noticed - {0})
                noticed.update(found)

    def new(self, *, at_once: bool = False) -> dict[str, Told]:
        """Look up what has no name yet; give what a batch says of it: ``names``, or nothing.

        At most once a second, unless ``at_once``. What has no name by then gets none.
        """
        now = time.monotonic()
        waits = not at_once and now - self._looked < _EVERY
        if waits or not any(self._unnamed.values()):
            return {}
        self._looked = now
        try:
            mountinfo = self._mountinfo.read_text(errors="surrogateescape")
        except OSError:
            mountinfo = ""  # no names: nothing recorded hangs on them
        found = {
            "netns": {
                inode: _netns_name(path) for inode, path in mounted_namespaces(mountinfo).items()
            },
            "cgroup": _cgroup_paths(mountinfo, self._unnamed["cgroup"]),
        }
        told: Told = {}
        for field, unnamed in self._unnamed.items():
            named = {str(each): found[field][each] for each in unnamed if each in found[field]}
            # Most namespaces have no name, and a control group that is gone stays without.
            unnamed.clear()
            if named:
                told[field] = named
                self.known[field].update(named)
        return {"names": told} if told else {}


def _netns_name(path: Path) -> str:
    """Give the name `ip netns` knows it by; of one mounted elsewhere, where."""
    return _text(path.name if path.parent in _IP_NETNS else str(path))


def _cgroup_paths(mountinfo: str, wanted: set[int]) -> dict[int, str]:
    """Find control groups by their inodes: their paths from the hierarchy's root."""
    cgroups = Cgroups(mountinfo)
    found: dict[int, str] = {}
    if not wanted or not cgroups.point:
        return found
    top = cgroups.point
    waiting = deque([top])
    looked = 0
    try:
        if (root := Path(top).stat().st_ino) in wanted:
            found[root] = cgroups.root or "/"
        while waiting and looked < _MOST and len(found) < len(wanted):
            folder = waiting.popleft()
            try:
                with os.scandir(folder) as entries:
                    below = [each for each in entries if each.is_dir(follow_symlinks=False)]
            except OSError:
                continue  # gone meanwhile, or not ours to see
            for each in below:
                looked += 1
                waiting.append(each.path)
                if each.inode() in wanted:
                    found[each.inode()] = _text(cgroups.root + each.path[len(top.rstrip("/")) :])
    except OSError:
        pass
    return found


def _text(path: str) -> str:
    """Write a path in characters that UTF-8 has; bytes that are none are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")
