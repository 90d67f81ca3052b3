"""What a recorder could not watch: what it counts of that is not zero but unknown."""

from collections.abc import Mapping
from typing import Any

#: What a kernel may lack, as a header's ``lacks`` has it.
TIMEWAIT_RESETS = "timewait_resets"
TIMEWAIT_COUNTERS = "timewait_counters"

_TIMERS = ("timer:timer_start", "timer:timer_expire_entry", "timer:timer_cancel")


def time_wait_watched(header: Mapping[str, Any]) -> bool:
    """Tell whether TIME_WAITs were watched; False only if the header says they were not."""
    probes = header.get("probes", {})
    return all(probes[name]["attached"] for name in _TIMERS if name in probes)


def lacks(header: Mapping[str, Any], name: str) -> bool:
    """Tell whether the kernel does not tell something; False if the header does not say."""
    return name in header.get("lacks", ())
