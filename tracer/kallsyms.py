"""Addresses of kernel functions (/proc/kallsyms)."""

from pathlib import Path

KALLSYMS = Path("/proc/kallsyms")


def function_addresses(names: set[str], path: Path = KALLSYMS) -> dict[str, int]:
    """Give the addresses of kernel functions by name.

    A name that is missing, appears more than once, or whose address is hidden
    (kptr_restrict shows zeros) is left out: a wrong address is worse than none.
    """
    found: dict[str, list[int]] = {}
    wanted = {name.encode() for name in names}
    with path.open("rb") as lines:
        for line in lines:
            address, kind, name, *_ = line.split(None, 3)
            if name in wanted and kind in b"tT":
                found.setdefault(name.decode(), []).append(int(address, 16))
    return {name: where[0] for name, where in found.items() if len(where) == 1 and where[0]}
