"""CLOCK_MONOTONIC as the kernel's events have it."""

import re
import time
from pathlib import Path


def _shift_ns() -> int:
    """Give what this process' time namespace adds to CLOCK_MONOTONIC, ns (time_namespaces(7)).

    The file tells of the namespace of children, which is a program's own after execve().
    """
    try:
        text = Path("/proc/self/timens_offsets").read_text()
    except OSError:
        return 0  # before Linux 5.6 there are none
    found = re.search(r"^monotonic\s+(-?\d+)\s+(\d+)$", text, re.MULTILINE)
    return int(found[1]) * 1_000_000_000 + int(found[2]) if found else 0


_SHIFT_NS = _shift_ns()


def monotonic_ns() -> int:
    """Give the time now, ns, as bpf_ktime_get_ns() does, which knows no time namespace."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) - _SHIFT_NS
