"""The bpf(2) system call: the maps that programs and reader share, and typed programs."""

import contextlib
import ctypes
import os
import platform
import resource
import struct
from pathlib import Path

from tcptrace.tracer.errors import PreflightError

MAP_ARRAY, MAP_PERCPU_ARRAY, MAP_RINGBUF = 2, 6, 27
FLAG_MMAPABLE = 1 << 10

_SYSCALL = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "loongarch64": 280,
    "s390x": 351,
    "ppc64le": 361,
}
_MAP_CREATE, _PROG_LOAD, _RAW_TRACEPOINT_OPEN = 0, 5, 17
_PROG_TRACING, _TRACE_RAW_TP = 26, 23
_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> int:
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise PreflightError(f"no bpf system call number known for {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = _libc.syscall(number, command, buffer, len(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def create_map(kind: int, key: int, value: int, entries: int, flags: int, name: str) -> int:
    """Create a BPF map and give its file descriptor (close-on-exec).

    ``key`` and ``value`` are sizes in bytes. Raises ``OSError`` as bpf(2) does.
    """
    attributes = struct.pack(
        "=IIIIIII16s", kind, key, value, entries, flags, 0, 0, name.encode()
    ).ljust(128, b"\0")
    try:
        return _bpf(_MAP_CREATE, attributes)
    except PermissionError:
        # Before Linux 5.11 maps count as locked memory.
        with contextlib.suppress(ValueError):  # which this root may not have more of
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
        return _bpf(_MAP_CREATE, attributes)


def attach_typed(instructions: bytes, tracepoint: int, name: str) -> int:
    """Load and attach a program to a raw tracepoint whose arguments' types it is to know.

    ``tracepoint``: the id of its type (:meth:`tcptrace.tracer.btf.Btf.tracepoint`).
    Gives the descriptor that keeps it attached. Raises ``OSError`` as bpf(2) does.
    """
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQ IIQ II 16s II II QII QIII",
        *(_PROG_TRACING, len(instructions) // 8),
        *(ctypes.addressof(code), ctypes.addressof(licence)),
        *(0, 0, 0),  # no log
        *(0, 0, name.encode()[:15], 0, _TRACE_RAW_TP),
        *(0, 0, 0, 0, 0, 0, 0, tracepoint, 0),  # no BTF of its own
    )
    program = _bpf(_PROG_LOAD, attributes.ljust(144, b"\0"))
    try:
        return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI", 0, program).ljust(16, b"\0"))
    finally:
        os.close(program)


def possible_cpus(path: Path = Path("/sys/devices/system/cpu/possible")) -> int:
    """Count the CPUs this kernel may ever have (the highest number + 1)."""
    return int(path.read_text().strip().replace(",", "-").split("-")[-1]) + 1
