"""What a recorder could not watch: what it counts of that is not zero but unknown."""

from collections.abc import Mapping
from typing import Any

_TIMERS = ("timer:timer_start", "timer:timer_expire_entry", "timer:timer_cancel")


def time_wait_watched(header: Mapping[str, Any]) -> bool:
    """Tell whether TIME_WAITs were watched; False only if the header says they were not."""
    probes = header.get("probes", {})
    return all(probes[name]["attached"] for name in _TIMERS if name in probes)
