"""The record's layout, read from the one place that defines it: bpf/event.h."""

import re

import numpy as np

from tcptrace.bpf import SOURCES

_C_TYPES = {"__u8": "u1", "__u16": "u2", "__u32": "u4", "__u64": "u8", "__s64": "i8", "char": "S"}


def parse_event_header(text: str) -> tuple[np.dtype[np.void], list[str]]:
    """Read ``struct event`` and ``enum event_kind`` from C.

    Gives the structured dtype (byte arrays as ``V16``, char arrays as ``S16``) and
    the kinds' names, lower case, without ``KIND_``. Raises ``ValueError`` on a field
    it does not understand: a wrong layout must never be guessed.
    """
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    enum = re.search(r"enum event_kind \{(.*?)\};", text, re.DOTALL)
    body = re.search(r"struct event \{(.*?)\};", text, re.DOTALL)
    if not enum or not body:
        raise ValueError("no struct event or enum event_kind in event.h")
    fields: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, body[1].split(";"))):
        match = re.fullmatch(r"(\w+)\s+(\w+)(?:\[(\d+)\])?", line)
        if not match or match[1] not in _C_TYPES:
            raise ValueError(f"event.h: field not understood: {line}")
        code, count = _C_TYPES[match[1]], match[3]
        if count:
            code = f"{'S' if code == 'S' else 'V'}{count}"
        fields.append((match[2], code))
    kinds = [name.strip().removeprefix("KIND_").lower() for name in enum[1].split(",")]
    return np.dtype(fields, align=True), [name for name in kinds if name]


EVENT, EVENT_KINDS = parse_event_header((SOURCES / "event.h").read_text())
