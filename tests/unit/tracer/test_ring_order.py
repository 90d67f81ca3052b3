"""The ring's reader on a processor that loads and stores in any order between barriers.

The real reader runs on a memory whose past is known: each load sees the memory as it was
at any time, each store becomes seen at any time, only a barrier keeps what is before it
before what is after it. All such orders are tried. x86 has none of those that do harm, nor
has an arm64 that is emulated on it; a real one may.
"""

import itertools
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.ring import RingReader

SIZE = mmap.PAGESIZE
RECORD = 8 + EVENT.itemsize
BUSY = 1 << 31
OLD, TRUE, NEXT = 1, 2, 3  # what a record may hold


def _memory() -> Iterator[tuple[int, bytes]]:
    """Give the producer's position and the record after each step of the kernel's."""

    def record(length: int, detail: int, socket: int) -> bytes:
        event = np.zeros(1, EVENT)
        event["detail"], event["socket"] = detail, socket
        return struct.pack("=II", length, 0) + event.tobytes()

    done = EVENT.itemsize
    yield 0, record(done, OLD, OLD)  # what was there before: read long ago
    yield 0, record(BUSY | done, OLD, OLD)  # bpf_ringbuf_reserve()
    yield RECORD, record(BUSY | done, OLD, OLD)
    yield RECORD, record(BUSY | done, TRUE, OLD)  # the program
    yield RECORD, record(BUSY | done, TRUE, TRUE)
    yield RECORD, record(done, TRUE, TRUE)  # bpf_ringbuf_submit()
    yield RECORD, record(done, NEXT, TRUE)  # OVERWRITTEN: only once the reader gave it back


HISTORY = list(_memory())
OVERWRITTEN = len(HISTORY) - 1


@dataclass
class Processor:
    """Does each load or store of the reader at the time that ``times`` says."""

    times: list[int]
    program: list[int | None] = field(default_factory=list)  # times; None: a barrier
    given_back: int | None = None

    def next_time(self) -> int:
        time = self.times[sum(at is not None for at in self.program)]
        self.program.append(time)
        return time

    def possible(self) -> bool:
        """Whether barriers and the kernel's own waiting allow these times."""
        latest = barrier = 0
        for at in self.program:
            if at is None:
                barrier = latest
            elif at < barrier:
                return False
            else:
                latest = max(latest, at)
        overwritten = OVERWRITTEN in self.program
        return not overwritten or (self.given_back is not None and self.given_back < OVERWRITTEN)


class Producer:
    def __init__(self, processor: Processor) -> None:
        self.processor = processor

    def __getitem__(self, _: int) -> int:
        return HISTORY[self.processor.next_time()][0]


class Consumer:
    """Only the reader writes it, so it reads what it wrote."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.position = 0

    def __getitem__(self, _: int) -> int:
        return self.position

    def __setitem__(self, _: int, position: int) -> None:
        self.position = position
        if position:
            self.processor.given_back = self.processor.next_time()


class Data:
    def __init__(self, processor: Processor) -> None:
        self.processor = processor

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, place: slice) -> Any:
        if place.start == place.stop:
            return np.empty(0, np.uint8)
        assert (place.start, place.stop) == (0, RECORD)
        return np.frombuffer(HISTORY[self.processor.next_time()][1], np.uint8)


Run = Callable[[Processor, int | None], np.ndarray]


@pytest.fixture
def run() -> Iterator[Run]:
    """Give what reads, with all of the reader's barriers or without one."""
    descriptor = os.memfd_create("ring")
    os.truncate(descriptor, 3 * SIZE)
    reader: Any = RingReader(descriptor, SIZE)
    os.close(descriptor)

    def run(processor: Processor, without: int | None) -> np.ndarray:
        numbers = itertools.count()

        def barrier() -> None:
            if next(numbers) != without:
                processor.program.append(None)

        reader._producer, reader._consumer = Producer(processor), Consumer(processor)
        reader._data, reader._fence = Data(processor), barrier
        events: np.ndarray = reader.peek().copy().view(EVENT)
        reader.release()
        return events

    yield run
    reader.close()


def _wrong(run: Run, without: int | None) -> list[list[Any]]:
    """Give the orders in which the reader takes for an event what is none."""
    wrong, right = [], 0
    for times in itertools.product(range(len(HISTORY)), repeat=4):
        processor = Processor(list(times))
        events = run(processor, without)
        if processor.possible():
            for event in events:
                if (event["detail"], event["socket"]) == (TRUE, TRUE):
                    right += 1
                else:
                    wrong.append([*processor.program, event["detail"]])
    assert right
    return wrong


def test_no_order_of_loads_shows_the_reader_what_is_no_event(run: Run) -> None:
    assert not _wrong(run, without=None)


@pytest.mark.parametrize("barrier", range(3))
def test_each_barrier_is_needed(run: Run, barrier: int) -> None:
    assert _wrong(run, without=barrier)
