"""The programs as the kernel takes them, compiled by bcc: the only file with bcc.

Compiling takes 0.3 s of CPU, so what came of it is kept until the machine is restarted. The
maps are others each time: placeholders stand for their descriptors.
"""

import contextlib
import hashlib
import json
import os
import stat
import struct
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tcptrace.bpf import SOURCES
from tcptrace.tracer.errors import PreflightError

NO_BCC = (
    "the Python module bcc is missing: "
    "apt-get install python3-bpfcc (Debian, Ubuntu), dnf install python3-bcc (Fedora)"
)

#: What the sources call the maps, and what is compiled in place of their descriptors.
MAPS = {
    name: 0x7C7C0000 + number
    for number, name in enumerate(("MAP_EVENTS", "MAP_COUNTS", "MAP_CANCELLED", "MAP_MARKS"))
}

#: Empty after a restart: addresses in the kernel, which are compiled in, are others then.
KEPT = Path("/run/tcptrace")

#: struct bpf_insn: the code, both registers (4 bits each), an offset, a constant.
_INSTRUCTION = struct.Struct("=BBhi")
_LOAD_64, _IS_MAP = 0x18, 1


def compiled(
    defines: Mapping[str, int], names: Iterable[str], kept: Path = KEPT
) -> dict[str, bytes]:
    """Give the instructions of each program in ``names``, from ``kept`` if they are there.

    ``defines``: the options -D (:class:`tcptrace.tracer.offsets.KernelFacts`).
    Raises :class:`PreflightError` if there is no bcc, or if the sources do not compile.
    """
    names = sorted(names)
    options = [f"-D{name}={value:#x}" for name, value in sorted({**defines, **MAPS}.items())]
    path = kept / _key([*names, *options])
    programs = _read(path, names)
    if programs is None:
        bpf = _compile(options)
        programs = {name: bytes(bpf.dump_func(name.encode())) for name in names}
        with contextlib.suppress(OSError):  # which costs 0.3 s the next time
            _write(path, programs)
    return programs


def with_maps(instructions: bytes, maps: Mapping[str, int]) -> bytes:
    """Put the maps' descriptors where a program has their placeholders."""
    descriptors = {MAPS[name]: descriptor for name, descriptor in maps.items()}
    code = bytearray(instructions)
    for at in range(0, len(code), _INSTRUCTION.size):
        operation, registers, offset, constant = _INSTRUCTION.unpack_from(code, at)
        source = registers >> 4 if sys.byteorder == "little" else registers & 15
        if operation == _LOAD_64 and source == _IS_MAP:
            _INSTRUCTION.pack_into(code, at, operation, registers, offset, descriptors[constant])
    return bytes(code)


def _key(options: Iterable[str]) -> str:
    """Name what is compiled: other sources, another kernel or another bcc have other names."""
    digest = hashlib.sha256("\n".join(options).encode())
    bcc = find_spec("bcc")
    if bcc and bcc.origin:
        digest.update(f"{bcc.origin} {Path(bcc.origin).stat().st_mtime_ns}".encode())
    for source in sorted(SOURCES.rglob("*.[ch]")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _read(path: Path, names: list[str]) -> dict[str, bytes] | None:
    """Read what was kept, if there is any and nobody but us can have written it."""
    try:
        if not _ours(path.parent) or not _ours(path):
            return None
        programs = {
            name: bytes.fromhex(code) for name, code in json.loads(path.read_text()).items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    whole = all(len(code) % _INSTRUCTION.size == 0 for code in programs.values())
    return programs if whole and sorted(programs) == names else None


def _ours(path: Path) -> bool:
    """Tell whether it is root's (the effective user's) alone to change."""
    status = path.lstat()
    return (
        status.st_uid == os.geteuid()
        and not stat.S_ISLNK(status.st_mode)
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _write(path: Path, programs: dict[str, bytes]) -> None:
    """Keep it: whole or not at all, however many recorders begin together."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not _ours(path.parent):
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        new = Path(file.name)
        try:
            json.dump({name: code.hex() for name, code in programs.items()}, file)
            file.flush()
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)


def _compile(options: list[str]) -> Any:
    """Compile bpf/tcptrace.c without the kernel's headers."""
    # BCC looks for kernel headers here and is content with the few it needs.
    os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES)
    try:
        from bcc import BPF
    except ImportError as error:
        raise PreflightError(NO_BCC) from error
    includes = [f"-I{SOURCES}", f"-I{SOURCES / 'include'}"]
    with tempfile.TemporaryFile() as messages:
        saved = os.dup(2)
        os.dup2(messages.fileno(), 2)
        try:
            return BPF(src_file=str(SOURCES / "tcptrace.c"), cflags=[*includes, *options])
        except Exception as error:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").splitlines()
            detail = next((line for line in lines if "error" in line.lower()), str(error))
            raise PreflightError(f"the BPF programs do not compile: {detail}") from error
        finally:
            os.dup2(saved, 2)
            os.close(saved)
