"""What differs between processors: the emulator, its machine, the names of packages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """``name``: Debian's. ``qemu``: the emulator, ``qemu_package`` has it. ``machine``: its
    options. ``consoles``: the guest's first two serial ports. ``wheels``: pip's platforms,
    the newest first.
    """

    name: str
    qemu: str
    qemu_package: str
    machine: tuple[str, ...]
    consoles: tuple[str, str]
    wheels: tuple[str, ...]


def _manylinux(machine: str) -> tuple[str, ...]:
    """Wheels that glibc 2.36 (bookworm) can run."""
    newest_first = (f"manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1))
    return (*newest_first, f"manylinux2014_{machine}")


ARCHITECTURES = {
    "amd64": Architecture(
        "amd64",
        "qemu-system-x86_64",
        "qemu-system-x86",
        ("-M", "q35", "-cpu", "max"),
        ("ttyS0", "ttyS1"),
        _manylinux("x86_64"),
    ),
}
