"""A tracepoint's events counted by a program that does nothing else, and those kept from it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from tcptrace.bpf import SOURCES
from tcptrace.tracer import bpf

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
        missed = bpf.missed(self._program)
        return Count(seen + missed, missed, after, time.monotonic_ns())

    def close(self) -> None:
        self._bpf.cleanup()
