import mmap
import os
from typing import Any, cast

import pytest

from tcptrace.tracer import bpf
from tcptrace.tracer.capture import Capture
from tcptrace.tracer.ring import RingReader

ANSWER: dict[str, Any] = {"probes": {}, "notes": [], "reset_reasons": {}, "tracepoints": 1}


def capture_with(programs: list[int]) -> Capture:
    lost = mmap.mmap(-1, mmap.PAGESIZE)
    lost[:8] = (5).to_bytes(8, "little")
    return Capture({**ANSWER, "notes": []}, [-1, *programs], cast(RingReader, None), lost)


def test_lost_counts_full_rings_and_interrupted_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    misses = {101: 2, 102: 40}
    monkeypatch.setattr(bpf, "recursion_misses", misses.get)
    capture = capture_with([101, 102])
    assert capture.lost() == 5 + 2 + 40
    assert capture.notes == []


def test_kernel_that_does_not_count_misses_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "recursion_misses", lambda _: None)
    capture = capture_with([101])
    assert capture.lost() == 5
    assert len(capture.notes) == 1


def test_descriptor_that_is_no_program_has_no_count() -> None:
    with open(os.devnull) as file:  # noqa: PTH123
        assert bpf.recursion_misses(file.fileno()) is None
