"""The capture's file, read back by its specification."""

import stat
import struct
from pathlib import Path

import pytest

from tcptrace.analysis.demo import pcapng
from tcptrace.analysis.demo.capture import Sighting
from tcptrace.analysis.demo.packet import ACK, SYN, build, parse
from tcptrace.tracer.errors import OutputError


def sighting(time: int, side: str, fate: str = "delivered") -> Sighting:
    segment = parse(build("192.0.2.1", 1, "192.0.2.2", 2, seq=time, flags=SYN | ACK, data=b"x"))
    assert segment is not None
    return Sighting(time, side, segment, fate)  # type: ignore[arg-type]


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert length % 4 == 0
        assert struct.unpack_from("<I", data, length - 4)[0] == length
        found.append((kind, data[8 : length - 4]))
        data = data[length:]
    return found


def test_blocks_times_hosts_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    offset = 1_700_000_000 * 10**9
    seen = [sighting(7, "right", "dropped"), sighting(5, "left")]
    pcapng.write(path, ("client", "server"), seen, offset)
    section, first, second, one, two = blocks(path.read_bytes())
    assert section[0] == 0x0A0D0D0A
    assert [kind for kind, _ in (first, second, one, two)] == [1, 1, 6, 6]
    assert b"client" in first[1]
    assert b"server" in second[1]
    for (_, body), host, time in ((one, 0, 5), (two, 1, 7)):
        interface, high, low, captured, whole = struct.unpack_from("<IIIII", body)
        assert (interface, high << 32 | low) == (host, offset + time)
        assert captured == whole == 41
        assert body[20:61] == seen[host == 0].segment.packet
    assert b"dropped" not in one[1]
    assert b"dropped" in two[1]


def test_nobody_else_can_read_it_and_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    pcapng.write(path, ("a", "b"), [], 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OutputError, match="exists"):
        pcapng.write(path, ("a", "b"), [], 0)
