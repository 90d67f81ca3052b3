"""The ring's reader against a ring written by hand: kernel/bpf/ringbuf.c's layout in a memfd."""

import mmap
import os
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from tcptrace.tracer.capture import Capture
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.ring import RingReader
from tcptrace.tracer.rings import Rings

PAGE = mmap.PAGESIZE
RECORD = 8 + EVENT.itemsize
BUSY = 1 << 31


class Ring:
    """A ring as the kernel leaves it; `events` carry their number as `detail`."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("ring")
        os.truncate(self.descriptor, 3 * PAGE)
        self.reader = RingReader(self.descriptor, PAGE)
        self.produced = 0

    def put(self, busy: bool = False, time: int = 0, socket: int = 0) -> int:
        """Append an event; give its number."""
        number = self.produced // RECORD
        event = np.zeros(1, EVENT)
        event["detail"], event["time"], event["socket"] = number, time, socket
        record = struct.pack("=II", EVENT.itemsize | (BUSY if busy else 0), 0) + event.tobytes()
        start = self.produced % PAGE
        self._write(start, record[: PAGE - start])
        self._write(0, record[PAGE - start :])
        self.produced += RECORD
        os.pwrite(self.descriptor, struct.pack("=Q", self.produced), PAGE)
        return number

    def finish(self, number: int) -> None:
        """Clear a record's busy bit."""
        self._write(number * RECORD % PAGE, struct.pack("=I", EVENT.itemsize))

    def close(self) -> None:
        self.reader.close()
        os.close(self.descriptor)

    def _write(self, place: int, data: bytes) -> None:
        os.pwrite(self.descriptor, data, 2 * PAGE + place)

    def read(self) -> list[int]:
        events = self.reader.peek().copy().view(EVENT)
        self.reader.release()
        return [int(number) for number in events["detail"]]

    def consumed(self) -> int:
        position: int = struct.unpack("=Q", os.pread(self.descriptor, 8, 0))[0]
        return position // RECORD


@pytest.fixture
def ring() -> Iterator[Ring]:
    made = Ring()
    yield made
    made.close()


def test_every_record_is_read_once_in_order_across_the_rings_end(ring: Ring) -> None:
    expected = iter(range(10_000))
    for round_ in range(100):
        many = round_ % (PAGE // RECORD)
        for _ in range(many):
            ring.put()
        assert ring.read() == [next(expected) for _ in range(many)]
        assert ring.consumed() == ring.produced // RECORD


def test_reading_stops_before_a_record_still_being_written(ring: Ring) -> None:
    fits = PAGE // RECORD
    for round_ in range(fits):  # wherever it lies, the ring's end included
        first = ring.produced // RECORD
        for number in range(4):
            ring.put(busy=number == 2, time=first + number)
        assert ring.read() == [first, first + 1], round_
        assert ring.reader.behind == first + 3
        assert ring.reader.busy()
        assert ring.reader.pending() == 2
        assert ring.read() == []
        ring.finish(first + 2)
        assert not ring.reader.busy()
        assert ring.read() == [first + 2, first + 3]
        assert ring.reader.behind is None
        assert ring.reader.pending() == 0


def test_unread_records_of_a_detached_capture_are_lost_ones(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcptrace.tracer.capture._WRITTEN_WITHIN", 0.01)
    tracepoint = os.open(os.devnull, os.O_RDONLY)
    answer = {"probes": {}, "lacks": {}, "reset_reasons": {}, "tracepoints": 1}
    capture = Capture(answer, [tracepoint], Rings([ring.reader]), mmap.mmap(-1, PAGE))
    ring.put()
    ring.put(busy=True)
    ring.put()
    assert capture.lost() == 0
    capture.detach()
    assert len(capture.read()) == 1
    assert capture.lost() == 2
