"""Waiting for segments."""

import threading

import pytest

from tcptrace.analysis.demo import capture
from tcptrace.analysis.demo.capture import Capture, ExperimentError, Sighting
from tcptrace.analysis.demo.evidence import describe
from tcptrace.analysis.demo.packet import ACK, FIN, RST, SYN, build, parse


def sighting(flags: int, seq: int = 0, ack: int = 0, data: bytes = b"") -> Sighting:
    segment = parse(build("192.0.2.1", 1, "192.0.2.2", 2, seq=seq, ack=ack, flags=flags, data=data))
    assert segment is not None
    return Sighting(0, "left", segment)


def test_what_came_before_the_wait_counts() -> None:
    seen = Capture()
    seen.add(sighting(SYN))
    seen.add(sighting(ACK, seq=5))
    assert seen.wait_for(lambda one: one.segment.seq == 5, "ACK").segment.seq == 5


def test_the_wait_ends_with_the_segment_it_is_for() -> None:
    seen = Capture()
    threading.Timer(0.05, seen.add, [sighting(FIN)]).start()
    seen.add(sighting(SYN))
    assert seen.wait_for(lambda one: one.segment.fin, "FIN").segment.fin


def test_a_segment_that_does_not_come_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "PATIENCE", 0.05)
    seen = Capture()
    seen.add(sighting(SYN))
    with pytest.raises(ExperimentError, match="no second SYN on the wire"):
        seen.wait_for(lambda one: one.segment.syn, "second SYN", count=2)


def test_who_waits_is_let_go_when_the_run_is_given_up() -> None:
    seen = Capture()
    threading.Timer(0.05, seen.abandon).start()
    with pytest.raises(ExperimentError, match="interrupted"):
        seen.wait_for(lambda one: one.segment.fin, "FIN")


def test_nothing_is_taken_in_after_the_recordings_end() -> None:
    seen = Capture()
    seen.freeze()
    seen.add(sighting(SYN))
    assert seen.find(lambda one: True) == []


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (sighting(SYN, seq=100), "SYN"),
        (sighting(SYN | ACK, seq=100, ack=501), "SYN,ACK ack=1"),
        (sighting(ACK, seq=101, ack=501), "ACK ack=1"),
        (sighting(ACK, seq=101, ack=501, data=b"four"), "4 bytes seq=1"),
        (sighting(FIN | ACK, seq=101, ack=501, data=b"four"), "4 bytes FIN seq=1"),
        (sighting(FIN | ACK, seq=105, ack=501), "FIN,ACK seq=5 ack=1"),
        (sighting(RST, seq=105), "RST seq=5"),
        (sighting(ACK, seq=101, ack=400), "ACK ack=old"),
        (sighting(RST, seq=90), "RST seq=old"),
    ],
)
def test_segments_are_described_by_relative_numbers(one: Sighting, text: str) -> None:
    assert describe(one, first=100, peer_first=500) == text
