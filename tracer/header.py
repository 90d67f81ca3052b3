"""What a recording says about itself: its JSON header, and the kernel's counters."""

import contextlib
import datetime
import gzip
import os
import platform
import re
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tcptrace.tracer.clock import monotonic_ns
from tcptrace.tracer.schema import FORMAT

_SYSCTLS = (
    "tcp_fin_timeout",
    "tcp_tw_reuse",
    "tcp_tw_reuse_delay",
    "tcp_max_tw_buckets",
    "tcp_rfc1337",
    "ip_local_port_range",
)
_CONFIG = Path("/proc/config.gz")
_COUNTERS = {"netstat": "TcpExt", "snmp": "Tcp"}


def recording_time(clock_offset_ns: int) -> str:
    """Give the time now on a recording's clock, UTC, ISO 8601 with nanoseconds.

    ``clock_offset_ns``: CLOCK_MONOTONIC to UTC, as for its events: a step of the
    system's clock must not come between the events and the recording's end.
    """
    return iso_time(recording_ns(clock_offset_ns))


def recording_ns(clock_offset_ns: int) -> int:
    """Give the time now on a recording's clock, ns since 1970."""
    return monotonic_ns() + clock_offset_ns


def iso_time(at_ns: int) -> str:
    """Write a time, ns since 1970, as ISO 8601 with nanoseconds, UTC."""
    seconds, rest = divmod(at_ns, 10**9)
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def kernel_counters() -> dict[str, dict[str, int]]:
    """Read the TcpExt and Tcp counters of this network namespace (SNMP MIBs)."""
    counters: dict[str, dict[str, int]] = {}
    for name, group in _COUNTERS.items():
        lines = [line.split() for line in (_text(f"/proc/net/{name}") or "").splitlines()]
        for names, values in zip(lines[::2], lines[1::2], strict=False):
            if names[0] == f"{group}:":
                counters[group] = dict(zip(names[1:], map(int, values[1:]), strict=True))
    return counters


def timer_frequency() -> int | None:
    """Give the kernel's HZ; None where nothing tells it.

    From the kernel's configuration, else from how far /proc/timer_list's jiffies
    advance in a twentieth of a second.
    """
    text = None
    with contextlib.suppress(OSError):
        text = gzip.decompress(_CONFIG.read_bytes()).decode()
    release = platform.release()
    places = (f"/boot/config-{release}", f"/lib/modules/{release}/config")
    text = text or next(filter(None, map(_text, places)), "")
    configured = re.search(r"^CONFIG_HZ=(\d+)$", text, re.MULTILINE)
    return int(configured[1]) if configured else _measured_frequency()


def _measured_frequency() -> int | None:
    def jiffies() -> tuple[int, int] | None:
        found = re.search(r"^jiffies: (\d+)$", _text("/proc/timer_list") or "", re.MULTILINE)
        return (int(found[1]), time.monotonic_ns()) if found else None

    before = jiffies()
    if before is None:
        return None
    time.sleep(0.05)
    after = jiffies()
    if after is None:
        return None
    measured = (after[0] - before[0]) * 1e9 / (after[1] - before[1])
    return min((100, 250, 300, 1000), key=lambda hz: abs(hz - measured) / hz)


def make_header(
    capture: Any, command: list[str], filters: dict[str, Any], buffer_size: int
) -> dict[str, Any]:
    """Collect the header of a recording (docs/recording.md).

    ``capture``: :class:`tcptrace.tracer.capture.Capture`. ``command``: what was asked
    to be run, empty if nothing.
    """
    header = {
        "format": FORMAT,
        "version": version("tcptrace"),
        "host": platform.node(),
        "boot_id": _text("/proc/sys/kernel/random/boot_id"),
        "kernel": platform.release(),
        "arch": platform.machine(),
        "cpus": os.cpu_count(),
        "netns": Path("/proc/self/ns/net").stat().st_ino,  # whose counters and sysctls these are
        "hz": timer_frequency(),
        "clock_offset_ns": capture.clock_offset_ns,
        "command": command,
        "filters": filters,
        "buffer_size": buffer_size,
        "probes": capture.probes,
        "lacks": list(capture.lacks),
        "notes": list(capture.lacks.values()),
        "reset_reasons": capture.reset_reasons,
        "sysctl": {name: _text(f"/proc/sys/net/ipv4/{name}") for name in _SYSCTLS},
    }
    # Together and last: the events from then on are those that the counters go on to count.
    return header | {
        "mib": kernel_counters(),
        "started": recording_time(capture.clock_offset_ns),
    }
