"""A tracepoint's events counted by a program that does nothing else, and those kept from it."""

from __future__ import annotations

import ctypes
import os
import struct
import time
from dataclasses import dataclass
from typing import Any

from tcptrace.bpf import SOURCES

_PROGRAM = r"""
#include <linux/types.h>
BPF_PERCPU_ARRAY(seen, __u64, 1);

int count(struct bpf_raw_tracepoint_args *ctx)
{
	int zero = 0;
	__u64 *all = seen.lookup(&zero);

	if (all)
		__sync_fetch_and_add(all, 1);
	return 0;
}
"""
_BPF = {"x86_64": 321, "aarch64": 280}
_GET_INFO = 15  # BPF_OBJ_GET_INFO_BY_FD
_MISSES = 208  # bpf_prog_info.recursion_misses (Linux 5.12)
_INFO_SIZE = 256


@dataclass(frozen=True)
class Count:
    """``events``: up to a moment between ``after`` and ``before`` (CLOCK_MONOTONIC, ns).
    ``missed``: those among them that the program did not see, since they interrupted it.
    """

    events: int
    missed: int
    after: int
    before: int


class Tally:
    """Counts from when it is made until `close()`, of all namespaces."""

    def __init__(self, tracepoint: str) -> None:
        os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES)
        from bcc import BPF

        self._bpf: Any = BPF(text=_PROGRAM, cflags=[f"-I{SOURCES}", f"-I{SOURCES / 'include'}"])
        self._bpf.attach_raw_tracepoint(tracepoint, "count")
        self._program = self._bpf.funcs[b"count"].fd

    def read(self) -> Count:
        after = time.monotonic_ns()
        seen = self._bpf["seen"].sum(0).value
        missed = self._missed()
        return Count(seen + missed, missed, after, time.monotonic_ns())

    def _missed(self) -> int:
        info = ctypes.create_string_buffer(_INFO_SIZE)
        attributes = ctypes.create_string_buffer(
            struct.pack("=IIQ", self._program, _INFO_SIZE, ctypes.addressof(info)), 128
        )
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(_BPF[os.uname().machine], _GET_INFO, attributes, 128) < 0:
            raise OSError(ctypes.get_errno(), "bpf(BPF_OBJ_GET_INFO_BY_FD)")
        missed: int = struct.unpack_from("=Q", info, _MISSES)[0]
        return missed

    def close(self) -> None:
        self._bpf.cleanup()
