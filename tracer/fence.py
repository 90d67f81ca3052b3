"""A memory barrier, for processors that do not load in program order by themselves.

The kernel writes in this order (kernel/bpf/ringbuf.c): a record's length with the busy
bit; the producer's position (``smp_store_release``); the payload; the length without the
bit (``xchg``). Who reads must load in the reverse order, position, length, payload, and
store the consumer's position, upon which the kernel writes there again, after all that.
x86 and s390x do so by themselves. arm64 and others need a barrier between, which Python
has no word for. membarrier(2) executes one (``smp_mb()``) in the thread that calls it.

Not its private command: that returns without a barrier where the process has one thread,
as a recorder has (kernel/sched/membarrier.c). The global one does only with one CPU.
"""

import ctypes
import os
import platform
from collections.abc import Callable

from tcptrace.tracer.errors import PreflightError

_ORDERED = {"x86_64", "s390x"}
_SYSCALL = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "loongarch64": 283, "ppc64le": 365}
_GLOBAL_EXPEDITED, _REGISTER_GLOBAL_EXPEDITED = 1 << 1, 1 << 2


def load_fence(machine: str = platform.machine()) -> Callable[[], None]:
    """Give what orders loads before it and all that comes after it; idle where they are so.

    Raises :class:`PreflightError` where a barrier is needed and cannot be had.
    """
    if machine in _ORDERED:
        return lambda: None
    number = _SYSCALL.get(machine)
    if number is None:
        raise PreflightError(f"no membarrier system call number known for {machine}")
    return membarrier(number)


def membarrier(number: int) -> Callable[[], None]:
    """Register this process and give the barrier; ``number``: of the system call.

    Both raise :class:`PreflightError` if the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(command: int) -> None:
        if libc.syscall(number, command, 0, 0):
            raise PreflightError(
                "the kernel refuses membarrier(2), which this processor needs (CONFIG_MEMBARRIER; "
                f"a container's seccomp profile must allow it): {os.strerror(ctypes.get_errno())}"
            )

    call(_REGISTER_GLOBAL_EXPEDITED)
    return lambda: call(_GLOBAL_EXPEDITED)
