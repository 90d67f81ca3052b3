"""Segments built here are what they say, down to the checksums."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from tcptrace.analysis.demo.packet import ACK, FIN, PSH, RST, SYN, build, checksum, parse

NUMBER = st.integers(0, 2**32 - 1)
PORT = st.integers(1, 65535)


def test_checksum_of_rfc_1071_section_3() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF


@given(PORT, PORT, NUMBER, NUMBER, st.sampled_from([SYN, ACK, FIN | ACK, RST]), st.binary())
def test_what_is_built_is_read_back(
    source_port: int, target_port: int, seq: int, ack: int, flags: int, data: bytes
) -> None:
    packet = build(
        *("192.0.2.1", source_port, "192.0.2.2", target_port),
        seq=seq,
        ack=ack,
        flags=flags,
        data=data,
    )
    segment = parse(packet)
    assert segment is not None
    assert (segment.source, segment.source_port) == ("192.0.2.1", source_port)
    assert (segment.target, segment.target_port) == ("192.0.2.2", target_port)
    assert (segment.seq, segment.ack, segment.flags) == (seq, ack, flags)
    assert segment.length == len(data)
    # A checksum over data that includes a right one is 0 (RFC 1071).
    assert checksum(packet[:20]) == 0
    pseudo = packet[12:20] + struct.pack("!HH", 6, len(packet) - 20)
    assert checksum(pseudo + packet[20:]) == 0


def test_syn_and_fin_take_a_sequence_number_each() -> None:
    packet = build("192.0.2.1", 1, "192.0.2.2", 2, seq=2**32 - 2, flags=FIN | ACK, data=b"ab")
    segment = parse(packet)
    assert segment is not None
    assert segment.end == 1  # wraps


def test_names_leave_out_psh() -> None:
    segment = parse(build("192.0.2.1", 1, "192.0.2.2", 2, seq=0, flags=PSH | ACK, data=b"x"))
    assert segment is not None
    assert segment.names == "ACK"
    assert not segment.pure_ack


def test_a_kept_part_does_not_change_the_length() -> None:
    packet = build("192.0.2.1", 1, "192.0.2.2", 2, seq=0, flags=ACK, data=bytes(1000))
    segment = parse(packet, keep=60)
    assert segment is not None
    assert segment.length == 1000
    assert len(segment.packet) == 60


def test_other_packets_are_no_segments() -> None:
    tcp = build("192.0.2.1", 1, "192.0.2.2", 2, seq=0, flags=SYN)
    assert parse(b"") is None
    assert parse(tcp[:30]) is None
    assert parse(b"\x65" + tcp[1:]) is None  # IPv6
    assert parse(tcp[:9] + b"\x11" + tcp[10:]) is None  # UDP


def test_a_header_that_claims_more_than_there_is_is_no_segment() -> None:
    packet = bytearray(build("192.0.2.1", 1, "192.0.2.2", 2, seq=0, flags=SYN))
    packet[0] = 0x4F  # 60 bytes of IP header
    assert parse(bytes(packet)) is None
