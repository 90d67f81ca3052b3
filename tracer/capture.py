"""Attached probes and the ring buffers they write to."""

import contextlib
import json
import mmap
import os
import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

import numpy as np

from tcptrace.tracer import bpf
from tcptrace.tracer.clock import monotonic_ns
from tcptrace.tracer.errors import PreflightError
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.missed import Missed
from tcptrace.tracer.probes import PROBES, REQUIRED
from tcptrace.tracer.ring import RingReader
from tcptrace.tracer.rings import Rings, ring_count

#: About 645,000 events: more than a second of what two busy cores can make.
BUFFER_SIZE = 64 << 20

_CANCELLED_SIZE = 64  # struct cancelled (bpf/timewait.h)
_MARKS_SIZE = (128 * 8 + 4 * 2) * 8  # struct marks (bpf/once.h)
#: Numbers of each CPU (bpf/emit.h).
_LOST, _BY_SECOND, _COUNTS = 0, 1, 2
_ANSWER_LIMIT = 1 << 16
#: Seconds: no hypervisor keeps a CPU waiting for longer.
_WRITTEN_WITHIN = 2.0


def monotonic_to_utc_ns() -> int:
    """Give what to add to CLOCK_MONOTONIC for UTC, ns: the best of several readings."""
    readings = []
    for _ in range(16):
        before = monotonic_ns()
        real = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = monotonic_ns()
        readings.append((after - before, real - (before + after) // 2))
    return min(readings)[1]


class Capture:
    """The kernel's events, from :meth:`start` until :meth:`close`.

    ``probes``: name to ``{"attached": bool, "reason": str | None}``.
    ``lacks``: smaller things this kernel cannot tell, name to words.
    ``reset_reasons``: enum sk_rst_reason of this kernel, number to name.
    ``clock_offset_ns``: CLOCK_MONOTONIC to UTC, constant for this capture.
    """

    def __init__(
        self, answer: dict[str, Any], descriptors: list[int], rings: Rings, counts: mmap.mmap
    ) -> None:
        self.probes: dict[str, dict[str, Any]] = answer["probes"]
        self.lacks: dict[str, str] = answer["lacks"]
        self.reset_reasons: dict[str, str] = answer["reset_reasons"]
        self.clock_offset_ns = monotonic_to_utc_ns()
        self._tracepoints = descriptors[: answer["tracepoints"]]
        self._rings = rings
        self._counts_map = counts
        self._counts = np.frombuffer(counts, np.uint64).reshape(-1, _COUNTS)
        firsts = descriptors[answer["tracepoints"] :]
        self._missed = Missed(firsts, self._counts[:, _BY_SECOND])

    @classmethod
    def start(cls, buffer_size: int = BUFFER_SIZE) -> Self:
        """Compile and attach every probe the kernel offers.

        ``buffer_size``: bytes of all rings together, a power of two and at least a page.
        Raises :class:`PreflightError` if the state tracepoint cannot be had.
        """
        cpus = bpf.possible_cpus()
        with contextlib.ExitStack() as descriptors:
            try:
                count = ring_count(buffer_size, cpus)
                size = buffer_size // count
                rings = []
                for _ in range(count):
                    rings.append(bpf.create_map(bpf.MAP_RINGBUF, 0, 0, size, 0, "events"))
                    descriptors.callback(os.close, rings[-1])
                events = bpf.array_of_maps([rings[cpu % count] for cpu in range(cpus)], "rings")
                descriptors.callback(os.close, events)
                flags = bpf.FLAG_MMAPABLE
                counts = bpf.create_map(bpf.MAP_ARRAY, 4, 8, _COUNTS * cpus, flags, "counts")
                descriptors.callback(os.close, counts)
                cancelled = bpf.create_map(
                    bpf.MAP_PERCPU_ARRAY, 4, _CANCELLED_SIZE, 1, 0, "cancelled"
                )
                descriptors.callback(os.close, cancelled)
                marks = bpf.create_map(bpf.MAP_PERCPU_ARRAY, 4, _MARKS_SIZE, 1, 0, "marks")
                descriptors.callback(os.close, marks)
            except PermissionError as error:
                raise PreflightError(
                    "the kernel refuses BPF to this user: sudo tcptrace record; in a container, "
                    "its seccomp profile must allow bpf(2)"
                ) from error
            except OSError as error:
                raise PreflightError(
                    f"the kernel gives no BPF ring buffer ({error.strerror}): "
                    "Linux 5.8 or newer is needed"
                ) from error
            answer, made = _load(events, counts, cancelled, marks)
            pages = -(-8 * _COUNTS * cpus // mmap.PAGESIZE)
            counts_map = mmap.mmap(counts, pages * mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)
            readers = [RingReader(ring, size) for ring in rings]
            return cls(answer, made, Rings(readers), counts_map)

    def read(self) -> np.ndarray:
        """Take what is pending: a structured array of dtype ``EVENT``, maybe empty.

        Once detached, everything.
        """
        return self._rings.read(everything=not self._tracepoints)

    def forget(self) -> None:
        """Drop what is pending: made while the probes were attached one by one."""
        self._rings.read(everything=True)

    def lost(self) -> int:
        """Count the events for which a ring had no room, or that no program was run for.

        Since the start; once detached, also those in the rings that were not read.
        """
        ended = not self._tracepoints
        unread = self._rings.pending() if ended else 0
        return int(self._counts[:, _LOST].sum()) + self._missed.count(ended=ended) + unread

    def detach(self) -> None:
        """Stop the probes; what is pending can still be read.

        A CPU may be amid writing a record, and its hypervisor keep it there for a
        while: only when that is done can what came behind it be read.
        """
        while self._tracepoints:
            os.close(self._tracepoints.pop())
        until = time.monotonic() + _WRITTEN_WITHIN
        while self._rings.busy() and time.monotonic() < until:
            time.sleep(0.001)

    def close(self) -> None:
        """Detach the probes and free the buffer."""
        self.detach()
        self._rings.close()
        self._missed.close()
        del self._counts, self._missed
        self._counts_map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _load(*maps: int) -> tuple[dict[str, Any], list[int]]:
    """Run the loader; give its answer and the descriptors that came with it."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            # -P: as root, import nothing from the directory we happen to be in.
            command = [sys.executable, "-P", "-m", "tcptrace.tracer.loader"]
            child = subprocess.Popen(
                [*command, str(theirs.fileno()), *map(str, maps)],
                pass_fds=(theirs.fileno(), *maps),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # Ctrl-C is the recorder's to handle.
                start_new_session=True,
            )
        message, descriptors, _, _ = socket.recv_fds(ours, _ANSWER_LIMIT, 3 * len(PROBES))
        complaint = child.communicate()[1].decode(errors="replace").strip()
    if not message:
        reason = complaint.splitlines()[-1] if complaint else "no reason given"
        raise PreflightError(f"loading the BPF programs failed: {reason}")
    answer: dict[str, Any] = json.loads(message)
    problem = answer.get("error")
    if problem is None:
        missing = [name for name in REQUIRED if not answer["probes"][name]["attached"]]
        if missing:
            problem = f"{missing[0]} cannot be attached: {answer['probes'][missing[0]]['reason']}"
    if problem is not None:
        for descriptor in descriptors:
            os.close(descriptor)
        raise PreflightError(problem)
    return answer, descriptors


__all__ = ["BUFFER_SIZE", "EVENT", "Capture", "monotonic_to_utc_ns"]
