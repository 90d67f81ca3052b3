"""Loads in program order on processors that do not keep it by themselves.

The kernel writes a record, then clears its busy bit (``smp_store_release``-like, in
kernel/bpf/ringbuf.c). Who reads must look at the bit first and at the record after.
x86 and s390x load in program order; others need a barrier between, which Python has
no word for: membarrier(2) executes one in the thread that calls it.
"""

import ctypes
import platform
from collections.abc import Callable

_ORDERED = {"x86_64", "i386", "i686", "s390x"}
_SYSCALL = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "loongarch64": 283, "ppc64le": 365}
_PRIVATE_EXPEDITED, _REGISTER_PRIVATE_EXPEDITED = 1 << 3, 1 << 4


def load_fence(machine: str = platform.machine()) -> Callable[[], None]:
    """Give what keeps loads before it before what comes after it; idle where they are so.

    Raises ``OSError`` if the kernel has no membarrier(2) (Linux 4.14) and one is needed.
    """
    if machine in _ORDERED:
        return lambda: None
    return membarrier(_SYSCALL.get(machine, _SYSCALL["aarch64"]))


def membarrier(number: int) -> Callable[[], None]:
    """Register this process and give the barrier; ``number``: of the system call."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _REGISTER_PRIVATE_EXPEDITED, 0, 0):
        raise OSError(ctypes.get_errno(), "membarrier is not available")

    def barrier() -> None:
        libc.syscall(number, _PRIVATE_EXPEDITED, 0, 0)

    return barrier
