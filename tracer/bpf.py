"""The bpf(2) system call: the maps that programs and reader share, and the programs."""

import contextlib
import ctypes
import os
import platform
import resource
import struct
from pathlib import Path

from tcptrace.tracer.errors import PreflightError

MAP_ARRAY, MAP_PERCPU_ARRAY, MAP_ARRAY_OF_MAPS, MAP_RINGBUF = 2, 6, 12, 27
FLAG_MMAPABLE = 1 << 10

_SYSCALL = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "loongarch64": 280,
    "s390x": 351,
    "ppc64le": 361,
}
_MAP_CREATE, _MAP_UPDATE_ELEM, _PROG_LOAD, _RAW_TRACEPOINT_OPEN = 0, 2, 5, 17
_OBJ_GET_INFO = 15
_MISSES = 208  # bpf_prog_info.recursion_misses
_PROG_RAW_TRACEPOINT, _PROG_TRACING, _TRACE_RAW_TP = 17, 26, 23
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


def create_map(
    kind: int, key: int, value: int, entries: int, flags: int, name: str, inner: int = 0
) -> int:
    """Create a BPF map and give its file descriptor (close-on-exec).

    ``key`` and ``value`` are sizes in bytes. ``inner``: a map like those that it will hold.
    Raises ``OSError`` as bpf(2) does.
    """
    attributes = struct.pack(
        "=IIIIIII16s", kind, key, value, entries, flags, inner, 0, name.encode()
    ).ljust(128, b"\0")
    return _accounted(_MAP_CREATE, attributes)


def array_of_maps(maps: list[int], name: str) -> int:
    """Create a map that holds, by number, other maps, all alike; give its file descriptor.

    A map may be in several places. Raises ``OSError`` as bpf(2) does.
    """
    array = create_map(MAP_ARRAY_OF_MAPS, 4, 4, len(maps), 0, name, maps[0])
    try:
        for number, each in enumerate(maps):
            key, value = ctypes.c_uint32(number), ctypes.c_uint32(each)
            places = ctypes.addressof(key), ctypes.addressof(value)
            _bpf(_MAP_UPDATE_ELEM, struct.pack("=IIQQQ", array, 0, *places, 0).ljust(128, b"\0"))
    except OSError:
        os.close(array)
        raise
    return array


def _accounted(command: int, attributes: bytes) -> int:
    """Do what before Linux 5.11 counts as locked memory."""
    try:
        return _bpf(command, attributes)
    except PermissionError:
        with contextlib.suppress(ValueError):  # which this root may not have more of
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
        return _bpf(command, attributes)


def attach(
    name: str, instructions: bytes, tracepoint: str, type_id: int | None = None
) -> tuple[int, int]:
    """Load a program and attach it to a raw tracepoint.

    ``type_id``: of the tracepoint's type (:meth:`tcptrace.tracer.btf.Btf.tracepoint`), for a
    program that is to know the types of its arguments.
    Gives two descriptors: the one that keeps it attached, and the program's. Raises
    ``OSError`` as bpf(2) does.
    """
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    target = ctypes.create_string_buffer(tracepoint.encode())
    typed = type_id is not None
    attributes = struct.pack(
        "=IIQQ IIQ II 16s II II QII QIII",
        *(_PROG_TRACING if typed else _PROG_RAW_TRACEPOINT, len(instructions) // 8),
        *(ctypes.addressof(code), ctypes.addressof(licence)),
        *(0, 0, 0),  # no log
        *(0, 0, name.encode()[:15], 0, _TRACE_RAW_TP if typed else 0),
        *(0, 0, 0, 0, 0, 0, 0, type_id or 0, 0),  # no BTF of its own
    )
    program = _accounted(_PROG_LOAD, attributes.ljust(144, b"\0"))
    # A typed one knows where it belongs.
    where = 0 if typed else ctypes.addressof(target)
    try:
        opened = _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI", where, program).ljust(16, b"\0"))
    except OSError:
        os.close(program)
        raise
    return opened, program


def missed(program: int) -> int:
    """Count the events that a program was not run for, since it was running on that CPU.

    0 where the kernel counts none (``recursion_misses``, Linux 5.12). Raises ``OSError`` as
    bpf(2) does.
    """
    info = ctypes.create_string_buffer(_MISSES + 8)
    _bpf(_OBJ_GET_INFO, struct.pack("=IIQ", program, len(info), ctypes.addressof(info)))
    count: int = struct.unpack_from("=Q", info, _MISSES)[0]
    return count


def possible_cpus(path: Path = Path("/sys/devices/system/cpu/possible")) -> int:
    """Count the CPUs this kernel may ever have (the highest number + 1)."""
    return int(path.read_text().strip().replace(",", "-").split("-")[-1]) + 1
