"""Events that found both programs of a tracepoint at work (bpf/once.h)."""

import os

import numpy as np

from tcptrace.tracer import bpf


class Missed:
    """Counts them, from when it is made until :meth:`close`.

    ``firsts``: the descriptors of the first programs, which are ours now. ``by_second``: how
    often second programs did what a first one had missed, on each CPU; it grows.
    """

    def __init__(self, firsts: list[int], by_second: np.ndarray) -> None:
        self._firsts, self._by_second = firsts, by_second
        self._by_firsts = self._missed()
        # Missed before there was a second one.
        self._before = self._by_firsts - int(by_second.sum())
        self._most = 0

    def count(self, *, ended: bool) -> int:
        """Count them; ``ended``: no program runs any more.

        Before that, those up to the last time it was asked: the second program may be about
        to do what the first has just missed.
        """
        by_firsts, self._by_firsts = self._by_firsts, self._missed()
        if ended:
            by_firsts = self._by_firsts
        self._most = max(self._most, by_firsts - self._before - int(self._by_second.sum()))
        return self._most

    def _missed(self) -> int:
        try:
            return sum(map(bpf.missed, self._firsts))
        except OSError:  # refused before Linux 5.19, where no event is missed
            return 0

    def close(self) -> None:
        """Close the descriptors."""
        while self._firsts:
            os.close(self._firsts.pop())
