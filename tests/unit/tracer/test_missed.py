"""Events that both programs missed, by what the kernel and the second programs counted."""

import numpy as np
import pytest

from tcptrace.tracer.missed import Missed


class Kernel:
    """``missed``: by each first program, as the kernel counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.missed = {3: 10, 4: 0}
        monkeypatch.setattr("tcptrace.tracer.bpf.missed", self._missed)

    def _missed(self, program: int) -> int:
        if program not in self.missed:
            raise PermissionError
        return self.missed[program]


def test_what_no_second_program_did_is_counted_once_it_is_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel, by_second = Kernel(monkeypatch), np.array([4, 2], np.uint64)
    missed = Missed([3, 4], by_second)
    # The four before that are not this recording's.
    assert missed.count(ended=False) == 0
    kernel.missed = {3: 13, 4: 1}
    by_second[0] += 2
    # Two are not done yet.
    assert missed.count(ended=False) == 0
    by_second[1] += 1
    assert missed.count(ended=False) == 1
    kernel.missed[4] += 1
    assert missed.count(ended=True) == 2
    # One was done twice: none is found again by that.
    by_second[1] += 1
    assert missed.count(ended=True) == 2


def test_none_where_the_kernel_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch)
    missed = Missed([5], np.array([0], np.uint64))
    assert missed.count(ended=True) == 0
