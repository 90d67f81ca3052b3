"""What a recording says about itself."""

from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tcptrace.tracer import header
from tcptrace.tracer.header import kernel_counters, make_header, recording_time, timer_frequency


class FakeCapture:
    clock_offset_ns = 1_700_000_000_000_000_000
    probes = {"sock:inet_sock_set_state": {"attached": True, "reason": None}}  # noqa: RUF012
    lacks: dict[str, str] = {}  # noqa: RUF012
    reset_reasons: dict[str, str] = {}  # noqa: RUF012


def test_header_has_all_that_is_promised_and_is_json() -> None:
    made: dict[str, Any] = make_header(FakeCapture(), ["sleep", "1"], {"port": [80]}, 1 << 20)
    made = json.loads(json.dumps(made))
    promised = (
        "format version host boot_id kernel arch hz started clock_offset_ns command filters "
        "probes sysctl mib netns reset_reasons lacks notes"
    )
    assert set(promised.split()) <= set(made)
    assert made["command"] == ["sleep", "1"]
    assert made["filters"] == {"port": [80]}
    assert made["netns"] == Path("/proc/self/ns/net").stat().st_ino
    assert set(made["sysctl"]) == {
        "tcp_fin_timeout",
        "tcp_tw_reuse",
        "tcp_tw_reuse_delay",
        "tcp_max_tw_buckets",
        "tcp_rfc1337",
        "ip_local_port_range",
    }


def test_what_the_machine_does_not_have_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "_text", lambda path: None)
    made = make_header(FakeCapture(), [], {}, 1 << 20)
    assert set(made["sysctl"].values()) == {None}
    assert made["boot_id"] is None
    assert made["mib"] == {}


def test_counters_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/net/netstat": "TcpExt: SyncookiesSent TW\nTcpExt: 1 2\nIpExt: InNoRoutes\nIpExt: 3",
        "/proc/net/snmp": "Ip: Forwarding\nIp: 1\nTcp: MaxConn ActiveOpens\nTcp: -1 9",
    }
    monkeypatch.setattr(header, "_text", files.get)
    assert kernel_counters() == {
        "TcpExt": {"SyncookiesSent": 1, "TW": 2},
        "Tcp": {"MaxConn": -1, "ActiveOpens": 9},
    }


def test_time_is_on_the_events_clock_whatever_the_system_clock_does() -> None:
    monotonic = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    offset = 1_700_000_000_000_000_000 - monotonic // 10**9 * 10**9
    text = recording_time(offset)
    assert re.fullmatch(r"2023-11-14T22:1[34]:\d\d\.\d{9}Z", text), text


def test_frequency_comes_from_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.gz"
    config.write_bytes(gzip.compress(b"CONFIG_HZ_1000=y\nCONFIG_HZ=1000\n"))
    monkeypatch.setattr(header, "_CONFIG", config)
    assert timer_frequency() == 1000


@pytest.mark.parametrize("hz", [100, 250, 300, 1000])
def test_frequency_is_else_measured(monkeypatch: pytest.MonkeyPatch, hz: int) -> None:
    began = time.monotonic_ns()

    def text(path: str) -> str | None:
        if path != "/proc/timer_list":
            return None
        return f"cpu: 0\njiffies: {4_294_937_296 + (time.monotonic_ns() - began) * hz // 10**9}\n"

    monkeypatch.setattr(header, "_CONFIG", Path("/missing"))
    monkeypatch.setattr(header, "_text", text)
    assert timer_frequency() == hz


def test_frequency_that_nothing_tells_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "_CONFIG", Path("/missing"))
    monkeypatch.setattr(header, "_text", lambda path: None)
    assert timer_frequency() is None
