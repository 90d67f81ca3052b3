"""Structure layouts from the running kernel's type information (BTF).

Format: Documentation/bpf/btf.rst of the kernel. Only what offsets need is read:
structures, unions, enumerations, typedefs and function prototypes.
"""

import struct
from pathlib import Path

from tcptrace.tracer.errors import PreflightError

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_MAGIC = 0xEB9F
_PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _TYPEDEF = 2, 3, 4, 5, 6, 8
_VOLATILE, _CONST, _RESTRICT, _FUNC_PROTO, _TYPE_TAG = 9, 10, 11, 13, 18
_MODIFIERS = (_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG)
# Extra 32-bit words after the three of the type itself: fixed, then per member.
_EXTRA = {1: (1, 0), 3: (3, 0), 4: (0, 3), 5: (0, 3), 6: (0, 2), 13: (0, 2), 14: (1, 0)}
_EXTRA |= {15: (0, 3), 17: (1, 0), 19: (0, 3)}


class Btf:
    """The types of one BTF blob.

    Raises :class:`PreflightError` if the file is missing or not BTF.
    """

    def __init__(self, path: Path = VMLINUX) -> None:
        try:
            blob = path.read_bytes()
        except OSError as error:
            raise PreflightError(
                f"{path}: {error.strerror}: the kernel was built without CONFIG_DEBUG_INFO_BTF; "
                "use a distribution kernel, they have it"
            ) from error
        if len(blob) < 24:
            raise PreflightError(f"{path}: not BTF")
        magic, _, _, header, types, types_size, names, names_size = struct.unpack_from(
            "=HBBIIIII", blob
        )
        if magic != _MAGIC:
            raise PreflightError(f"{path}: not BTF")
        self._names = blob[header + names : header + names + names_size]
        self._words = memoryview(blob)[header + types : header + types + types_size].cast("I")
        self._starts = self._index()

    def _index(self) -> list[int]:
        """Find where each type begins; index = type id, 0 is void."""
        words = self._words.tolist()
        starts = [0]
        position, end = 0, len(words)
        while position < end:
            starts.append(position)
            info = words[position + 1]
            fixed, each = _EXTRA.get(info >> 24 & 0x1F, (0, 0))
            position += 3 + fixed + each * (info & 0xFFFF)
        return starts

    def _find(self, name: str, *kinds: int) -> int | None:
        """Find the type id of a named type, or None."""
        wanted = b"\0" + name.encode() + b"\0"
        offset = self._names.find(wanted)
        if offset < 0:
            return None
        offset += 1
        words = self._words
        for type_id, start in enumerate(self._starts):
            if type_id and words[start] == offset and (words[start + 1] >> 24 & 0x1F) in kinds:
                return type_id
        return None

    def _resolve(self, type_id: int) -> int:
        """Strip typedefs and qualifiers."""
        while type_id:
            start = self._starts[type_id]
            if (self._words[start + 1] >> 24 & 0x1F) not in _MODIFIERS:
                break
            type_id = self._words[start + 2]
        return type_id

    def _name(self, offset: int) -> str:
        return self._names[offset : self._names.index(b"\0", offset)].decode()

    def _member(self, type_id: int, name: str) -> tuple[int, int] | None:
        """Find a member's bit offset and type, looking into anonymous members."""
        start = self._starts[type_id]
        info = self._words[start + 1]
        if (info >> 24 & 0x1F) not in (_STRUCT, _UNION):
            return None
        has_bitfields = info >> 31
        for index in range(info & 0xFFFF):
            at = start + 3 + 3 * index
            member_name, member_type, offset = self._words[at : at + 3]
            offset = offset & 0xFFFFFF if has_bitfields else offset
            if member_name:
                if self._name(member_name) == name:
                    return offset, member_type
            elif inner := self._member(self._resolve(member_type), name):
                return offset + inner[0], inner[1]
        return None

    def offset(self, path: str) -> int | None:
        """Give the byte offset of ``structure.member.member...``; None if there is none."""
        first, *members = path.split(".")
        type_id = self._find(first, _STRUCT, _UNION)
        total = 0
        for member in members:
            found = self._member(self._resolve(type_id), member) if type_id else None
            if found is None:
                return None
            total += found[0]
            type_id = found[1]
        return total // 8

    def enumerator(self, enum: str, name: str) -> int | None:
        """Give the value of an enumeration's constant; None if there is none."""
        type_id = self._find(enum, _ENUM)
        return None if type_id is None else self.enumerators(enum).get(name)

    def enumerators(self, enum: str) -> dict[str, int]:
        """Give all constants of an enumeration; empty if there is none."""
        type_id = self._find(enum, _ENUM)
        if type_id is None:
            return {}
        start = self._starts[type_id]
        pairs = range(start + 3, start + 3 + 2 * (self._words[start + 1] & 0xFFFF), 2)
        return {self._name(self._words[at]): self._words[at + 1] for at in pairs}

    def tracepoint(self, name: str) -> int | None:
        """Give the id of a raw tracepoint's type; None where the kernel has no such one.

        The kernel describes each as ``typedef void (*btf_trace_NAME)(void *, ...)``.
        """
        return self._find(f"btf_trace_{name}", _TYPEDEF)

    def tracepoint_arguments(self, tracepoint: str) -> int | None:
        """Count a raw tracepoint's arguments; None where the kernel has no such tracepoint."""
        type_id = self.tracepoint(tracepoint)
        if type_id is None:
            return None
        pointer = self._resolve(type_id)
        start = self._starts[pointer]
        prototype = self._starts[self._resolve(self._words[start + 2])]
        return (self._words[prototype + 1] & 0xFFFF) - 1
