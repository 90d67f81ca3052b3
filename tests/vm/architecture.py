"""What differs between processors: the emulator, its machine, the names of packages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """``name``: Debian's. ``qemu``: the emulator. ``machine``: its options. ``boot``: what its
    kernels are told. ``serial``: the device that is its second serial port. ``consoles``: what
    the guest calls the two. ``pmem``: whether the guest can have file systems in memory.
    ``wheels``: pip's platforms, the newest first.
    """

    name: str
    qemu: str
    machine: tuple[str, ...]
    boot: str
    serial: str
    consoles: tuple[str, str]
    pmem: bool
    wheels: tuple[str, ...]


def _manylinux(machine: str) -> tuple[str, ...]:
    """Wheels that glibc 2.36 (bookworm) can run."""
    newest_first = (f"manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1))
    return (*newest_first, f"manylinux2014_{machine}")


ARCHITECTURES = {
    "amd64": Architecture(
        "amd64",
        "qemu-system-x86_64",
        # QEMU 7.2 gets AVX2 wrong: numpy's argsort() gave no order, of 1,000 numbers and more, and
        # read memory that was not its own; right without, and on a processor that has it.
        ("-M", "q35", "-cpu", "max,avx2=off"),
        # No cmpxchg16b in the kernel: QEMU 7.2 gave it back with wrong flags once (a double fault
        # in 6.12's kmalloc).
        "mitigations=off clearcpuid=141",
        "isa-serial",
        ("ttyS0", "ttyS1"),
        True,
        _manylinux("x86_64"),
    ),
    "arm64": Architecture(
        "arm64",
        "qemu-system-aarch64",
        # Pointers signed in QEMU's own way: the architecture's is slow to emulate.
        ("-M", "virt,gic-version=3", "-cpu", "max,pauth-impdef=on"),
        "mitigations=off",
        "pci-serial",
        ("ttyAMA0", "ttyS0"),
        False,
        _manylinux("aarch64"),
    ),
}
