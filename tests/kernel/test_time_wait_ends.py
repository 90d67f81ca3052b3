"""Each way a TIME_WAIT can end, made on purpose, and told by its name."""

from __future__ import annotations

import errno
import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from .duo import PORT, Duo
from .lab import Lab
from .net import Namespace, wait_until
from .rows import Row, Rows
from .scenarios import REPEATS, orderly
from .traffic import Socket

CLIENT_PORT = 40000
NEAR = 20e6  # ns


def kernel_has(option: str) -> bool:
    """Whether the running kernel was built with `option`; False if nobody says."""
    release = os.uname().release
    places = ("/proc/config.gz", f"/boot/config-{release}", f"/lib/modules/{release}/config")
    for path in map(Path, places):
        if path.exists():
            text = path.read_bytes()
            text = gzip.decompress(text) if path.suffix == ".gz" else text
            return f"{option}=y".encode() in text
    return False


def ends(rows: list[Row]) -> Counter[str | None]:
    return Counter(row["time_wait_end"] for row in rows)


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["opened"])


def grown(namespace: Namespace, before: dict[str, int]) -> Counter[str]:
    """What the kernel's counters have grown by."""
    return Counter({name: n - before[name] for name, n in namespace.counters().items()})


@pytest.mark.parametrize("bound", [True, False], ids=["bound_port", "only_port_left"])
def test_reused_by_connect(lab: Lab, bound: bool) -> None:
    duo = Duo(lab)
    repeats = REPEATS
    duo.pair.client.sysctl(tcp_tw_reuse=1, ip_local_port_range=f"{CLIENT_PORT} {CLIENT_PORT + 1}")
    if duo.pair.client.has_sysctl("tcp_tw_reuse_delay"):
        duo.pair.client.sysctl(tcp_tw_reuse_delay=1)
    else:
        repeats = 3  # each waits a second
    before = duo.pair.client.counters()
    capture = lab.capture(duo.pair.client, duo.pair.server4)
    recorder = lab.record()
    # The range's second port is taken, so that an unbound connect() has no choice.
    other, _ = duo.connect(CLIENT_PORT + 1)
    for _ in range(repeats):
        connected: list[tuple[Socket, Socket]] = []

        def connects(made: list[tuple[Socket, Socket]] = connected) -> bool:
            try:
                made.append(duo.connect(CLIENT_PORT if bound else 0))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
                    raise
            return bool(made)

        wait_until(connects, what=lambda: "the port may be used again")
        orderly(*connected[0])
        duo.pair.client.wait_for(TIME_WAIT=1, FIN_WAIT_2=0)
    recorder.stop()
    capture.stop()
    other.close()

    kernel = grown(duo.pair.client, before)
    assert kernel["TWRecycled"] == repeats - 1
    rows = Rows(recorder.read())
    own = in_order([r for r in rows.of(duo.pair.client) if r["local_port"] == CLIENT_PORT])
    told = [r for r in own if r["time_wait_end"]]
    assert [r["time_wait_end"] for r in told] == ["reused_connect"] * (repeats - 1) + ["open"]
    own_seen = [one for one in capture.conversations() if one.client[1] == CLIENT_PORT]
    waits = [w for w in rows.time_wait(duo.pair.client) if w["end"] == "reused_connect"]
    for wait, before_it, after_it in zip(waits, own_seen, own_seen[1:], strict=False):
        # connect() ends it, then sends the SYN.
        assert before_it.segments[-1].time < wait["ended"].value < after_it.opened + NEAR


def test_reused_by_an_incoming_syn(lab: Lab) -> None:
    duo = Duo(lab)
    before = duo.pair.server.counters()
    capture = lab.capture(duo.pair.client, duo.pair.server4)
    recorder = lab.record()
    for _ in range(REPEATS):
        near, far = duo.connect(CLIENT_PORT)
        orderly(far, near)
        duo.pair.server.wait_for(TIME_WAIT=1, FIN_WAIT_2=0)
        duo.pair.client.wait_quiet()
    recorder.stop()
    capture.stop()

    assert grown(duo.pair.server, before)["TWRecycled"] == 0
    rows = Rows(recorder.read())
    own = in_order(rows.of(duo.pair.server))
    assert [r["time_wait_end"] for r in own] == ["reused_syn"] * (REPEATS - 1) + ["open"]
    waits = [w for w in rows.time_wait(duo.pair.server) if w["end"] == "reused_syn"]
    for wait, seen in zip(waits, capture.conversations()[1:], strict=True):
        syn = seen.segments[0]
        assert syn.time - NEAR < wait["ended"].value < seen.answer(syn).time + NEAR


@pytest.mark.skipif(
    not kernel_has("CONFIG_INET_DIAG_DESTROY"), reason="ss -K needs CONFIG_INET_DIAG_DESTROY"
)
def test_killed_by_ss(lab: Lab) -> None:
    duo = Duo(lab)
    recorder = lab.record()
    for near, far in duo.connect_many(REPEATS):
        orderly(near, far)
    duo.pair.client.wait_for(TIME_WAIT=REPEATS)
    said = duo.pair.client.run("ss", "-K", "-t", "state", "time-wait", "dport", "=", f":{PORT}")
    # It lists those that it ended.
    if not said.count(f":{PORT}") and duo.pair.client.states()["TIME_WAIT"] == REPEATS:
        pytest.skip("this kernel lets ss -K end full sockets only")
    duo.pair.client.wait_for(TIME_WAIT=0)
    recorder.stop()
    assert ends(Rows(recorder.read()).of(duo.pair.client)) == {"killed": REPEATS}


@pytest.mark.parametrize("family", [4, 6])
def test_killed_by_a_reset(lab: Lab, family: int) -> None:
    cable = lab.cable()
    duo = Duo(lab, cable.pair, family=family)
    recorder = lab.record()
    made = duo.connect_many(REPEATS)
    for near, far in made:
        orderly(near, far)
    duo.pair.client.wait_for(TIME_WAIT=REPEATS)
    duo.pair.client.sysctl(tcp_rfc1337=0)
    for near, _ in made:
        cable.forge_reset("b", PORT, near.port)
    duo.pair.client.wait_for(TIME_WAIT=0)
    recorder.stop()
    rows = Rows(recorder.read()).of(duo.pair.client)
    assert ends(rows) == {"killed": REPEATS}
    # The reset came after the end: it changes nothing about how that was.
    assert {(r["outcome"], r["closed_by"]) for r in rows} == {("finished", "local")}


def test_a_reset_that_rfc1337_forbids_ends_nothing(lab: Lab) -> None:
    cable = lab.cable()
    duo = Duo(lab, cable.pair)
    recorder = lab.record()
    made = duo.connect_many(REPEATS)
    for near, far in made:
        orderly(near, far)
    duo.pair.client.wait_for(TIME_WAIT=REPEATS)
    for near, _ in made:
        cable.forge_reset("b", PORT, near.port)
    assert duo.pair.client.states()["TIME_WAIT"] == REPEATS
    recorder.stop()
    rows = Rows(recorder.read()).of(duo.pair.client)
    assert ends(rows) == {"open": REPEATS}
    assert {(r["outcome"], r["closed_by"]) for r in rows} == {("finished", "local")}


def test_killed_with_its_namespace(lab: Lab) -> None:
    duo = Duo(lab)
    recorder = lab.record()
    for near, far in duo.connect_many(REPEATS):
        orderly(near, far)
    duo.pair.client.wait_for(TIME_WAIT=REPEATS)
    duo.client.stop()
    duo.pair.client.delete()

    def told() -> Counter[str | None]:
        # The number of a namespace that is gone is soon another's.
        own = Rows(recorder.read()).of(duo.pair.client)
        return ends([row for row in own if row["local_address"] == duo.pair.client4])

    wait_until(
        lambda: told() == {"killed": REPEATS},
        what=lambda: "the kernel took the namespace's sockets down",
        every=0.5,
        timeout=20,
    )
    recorder.stop()
    assert told() == {"killed": REPEATS}


def test_fin_wait_2_answered_by_reset_is_not_time_wait(lab: Lab) -> None:
    duo = Duo(lab)
    recorder = lab.record()
    for near, far in duo.connect_many(REPEATS):
        near.close()
        far.read_to_end()
        duo.pair.client.wait_for(FIN_WAIT_2=1)
        far.send()
        duo.pair.client.wait_for(FIN_WAIT_2=0)
        far.close()
    recorder.stop()
    rows = Rows(recorder.read())
    own = rows.of(duo.pair.client)
    # Before Linux 6.10 the kernel does not tell of the resets that a timewait socket sends.
    told = "timewait_resets" not in rows.recording.header["lacks"]
    assert ends(own) == {"reset" if told else None: REPEATS}
    assert {row["outcome"] for row in own} == {"reset" if told else "unknown"}
    assert {row["time_wait_began"] for row in own} == {None}
    assert all(row["fin_wait_2_s"] > 0 for row in own)
    assert not rows.time_wait(duo.pair.client)


@pytest.mark.parametrize("room", [0, 1, 7])
def test_skipped_when_there_is_no_room(lab: Lab, room: int) -> None:
    duo = Duo(lab)
    if not duo.pair.client.has_sysctl("tcp_max_tw_buckets"):
        pytest.skip("tcp_max_tw_buckets is the whole machine's on this kernel")
    duo.pair.client.sysctl(tcp_max_tw_buckets=room)
    before = duo.pair.client.counters()
    recorder = lab.record()
    for near, far in duo.connect_many(REPEATS):
        near.shut()
        far.read_to_end()
        far.close()
        near.read_to_end()
        duo.pair.client.wait_for(FIN_WAIT_1=0, FIN_WAIT_2=0)
        near.close()
    duo.pair.client.wait_for(TIME_WAIT=room)
    recorder.stop()
    kernel = grown(duo.pair.client, before)
    assert kernel["TCPTimeWaitOverflow"] == REPEATS - room
    rows = Rows(recorder.read())
    own = in_order(rows.of(duo.pair.client))
    assert [row["time_wait_end"] for row in own] == (
        ["open"] * room + ["skipped"] * (REPEATS - room)
    )
    assert {row["outcome"] for row in own} == {"finished"}
    assert len(rows.time_wait(duo.pair.client)) == room
    if "timewait_counters" not in rows.recording.header["lacks"]:
        assert kernel["TW"] + kernel["TWKilled"] == room


def test_open_at_the_end_of_the_recording(lab: Lab) -> None:
    duo = Duo(lab)
    capture = lab.capture(duo.pair.client, duo.pair.server4)
    recorder = lab.record()
    for near, far in duo.connect_many(REPEATS):
        orderly(near, far)
    duo.pair.client.wait_for(TIME_WAIT=REPEATS)
    recorder.stop()
    capture.stop()
    rows = Rows(recorder.read())
    for seen in capture.conversations():
        row = rows.end(seen, "client", duo.pair.client)
        assert row["time_wait_end"] == "open"
        fin = seen.fin("server")
        assert fin
        assert fin.time - NEAR < row["time_wait_began"].value < seen.answer(fin).time + NEAR
        # A lower bound: what was seen of it, and no more.
        watched = (rows.recording.ended - row["time_wait_began"]).total_seconds()
        assert row["time_wait_s"] == pytest.approx(watched, abs=1e-3)
    waits = rows.time_wait(duo.pair.client)
    assert {(wait["end"], wait["censored"], wait["ended"]) for wait in waits} == {
        ("open", "right", None)
    }


def test_fin_wait2_expiry_is_not_time_wait(lab: Lab) -> None:
    duo = Duo(lab)
    duo.pair.client.sysctl(tcp_fin_timeout=1)
    before = duo.pair.client.counters()
    recorder = lab.record()
    held = duo.connect_many(REPEATS)
    for near, far in held:
        near.close()
        far.read_to_end()
    duo.pair.client.wait_for(FIN_WAIT_2=0, FIN_WAIT_1=0)
    recorder.stop()
    kernel = grown(duo.pair.client, before)
    assert kernel["TW"] + kernel["TWKilled"] == REPEATS
    rows = Rows(recorder.read())
    own = rows.of(duo.pair.client)
    assert {(r["closed_by"], r["time_wait_began"], r["time_wait_end"]) for r in own} == {
        ("local", None, None)
    }
    assert all(1.0 <= row["fin_wait_2_s"] < 3.0 for row in own)
    assert "finished" not in {row["outcome"] for row in own}
    assert not rows.time_wait(duo.pair.client)
    # The other end still waits for its program: nothing about it has ended.
    assert {(r["outcome"], r["closed_by"]) for r in rows.of(duo.pair.server)} == {("open", None)}
