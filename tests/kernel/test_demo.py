"""Every experiment of `tcptrace demo`, judged by its recording and its capture.

What the experiments say about themselves is not asked, except where only a program
can know it: an errno, the bytes it read.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tcptrace.analysis.demo.experiments import EXPERIMENTS

from .demo_run import (
    ACK,
    CLIENT,
    FIN,
    RST,
    SECOND,
    SERVER,
    SYN,
    Experiment,
    descendants_of_a_run,
    run_all,
)

Runs = dict[str, Experiment]

#: 60 s, and what the timer wheel adds at most on any HZ, with a second for a busy machine.
SHORTEST, LONGEST = 60.0, 66.2


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[subprocess.CompletedProcess[str], Runs]:
    return run_all(tmp_path_factory.mktemp("demo") / "new")


@pytest.fixture(scope="module")
def runs(done: tuple[subprocess.CompletedProcess[str], Runs]) -> Runs:
    return done[1]


def test_all_of_them_show_what_they_are_for(
    done: tuple[subprocess.CompletedProcess[str], Runs],
) -> None:
    process, runs = done
    assert list(runs) == list(EXPERIMENTS)
    failed = {
        name: (one.result["error"], one.result["failures"])
        for name, one in runs.items()
        if not one.result["shown"]
    }
    assert failed == {}
    assert process.returncode == 0


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_recording_is_whole_and_its_own(runs: Runs, name: str) -> None:
    one = runs[name]
    assert one.recording.complete
    assert one.recording.lost == 0
    namespaces = set(one.recording.events["netns"])
    assert namespaces <= {one.netns(CLIENT), one.netns(SERVER)}
    assert one.capture


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_claim_is_judged_once(runs: Runs, name: str) -> None:
    judged = [one["claim"] for one in runs[name].result["claims"]]
    assert sorted(judged) == sorted(EXPERIMENTS[name].claims)


def test_no_process_is_left_and_so_no_namespace(
    done: tuple[subprocess.CompletedProcess[str], Runs],
) -> None:
    assert descendants_of_a_run(done[0]) == []


def test_the_report_reads_a_recording(runs: Runs) -> None:
    recording = runs["server-closes-first"].result["recording"]
    command = ["-m", "tcptrace.tracer", "report", recording]
    report = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert report.returncode == 0, report.stderr
    assert "TIME_WAIT" in report.stdout


def test_the_reports_of_all_are_linked_from_an_index(runs: Runs) -> None:
    folder = Path(runs["syn-flood"].result["recording"]).parent
    index = (folder / "index.html").read_text()
    for name, one in runs.items():
        assert f"tcptrace report: {name}.arrows" in Path(one.result["report"]).read_text()
        for kind in ("html", "arrows", "pcapng"):
            assert f'href="{name}.{kind}"' in index


def test_three_way_handshake(runs: Runs) -> None:
    one = runs["three-way-handshake"]
    names = list(dict.fromkeys((seen.host, seen.flags) for seen in one.segments(8000)))
    assert names[:3] == [(CLIENT, SYN), (SERVER, SYN | ACK), (CLIENT, ACK)]
    held = [seen.flags for seen in one.capture if seen.fate == "held"]
    assert set(held) == {SYN, SYN | ACK, ACK}
    assert one.states(CLIENT, 8000)[:2] == ["SYN_SENT", "ESTABLISHED"]
    assert one.states(SERVER, 8000)[:2] == ["SYN_RECV", "ESTABLISHED"]


def test_four_way_close(runs: Runs) -> None:
    one = runs["four-way-close"]
    fin = one.segments(8000, FIN)[0]
    closing = [seen for seen in one.segments(8000) if seen.time >= fin.time]
    assert [(seen.host, seen.flags) for seen in closing] == [
        (CLIENT, FIN | ACK),
        (SERVER, ACK),
        (SERVER, FIN | ACK),
        (CLIENT, ACK),
    ]
    active, passive = one.row(CLIENT, 8000), one.row(SERVER, 8000)
    assert (active["closed_by"], passive["closed_by"]) == ("local", "remote")
    assert SHORTEST <= active["time_wait_s"] <= LONGEST
    assert "CLOSE_WAIT" not in one.states(CLIENT, 8000)
    assert one.states(SERVER, 8000)[-3:] == ["CLOSE_WAIT", "LAST_ACK", "CLOSE"]
    expired = one.recording.time_wait
    hosts = set(expired.loc[expired["remote_port"] == 8000, "netns"])
    assert hosts == {one.netns(CLIENT)}
    # The server first: the same with sides changed.
    assert one.row(SERVER, 8001)["closed_by"] == "local"
    assert "CLOSE_WAIT" in one.states(CLIENT, 8001)


def test_four_way_close_takes_three_segments_when_fin_and_ack_merge(runs: Runs) -> None:
    one = runs["four-way-close"]
    sizes: Counter[int] = Counter()
    for port in set(one.rows(CLIENT, 8004)["local_port"]):
        fin = one.segments(port, FIN)[0]
        sizes[sum(seen.time >= fin.time for seen in one.segments(port))] += 1
    assert sizes[3] >= 1
    assert one.measured["merged"] == sizes[3]


def test_four_way_close_sends_lost_data_again_after_the_fin(runs: Runs) -> None:
    one = runs["four-way-close"]
    data = [seen for seen in one.segments(8003, host=CLIENT) if seen.length]
    fin = one.segments(8003, FIN, CLIENT)[0]
    assert data[0].fate == "dropped"
    assert any(seen.time > fin.time and not seen.fate for seen in data)
    assert {seen.sequence for seen in data} == {data[0].sequence}
    assert one.row(SERVER, 8003)["outcome"] == "finished"


def test_server_closes_first(runs: Runs) -> None:
    one = runs["server-closes-first"]
    line = next(seen for seen in one.segments(9000) if seen.length)
    assert (line.host, line.data) == (SERVER, b"hello\n")
    first = one.segments(40000, FIN)[0]
    assert first.host == SERVER
    table = one.recording.time_wait
    assert set(table["netns"]) == {one.netns(SERVER)}
    assert set(table["comm"]) == {"server"}
    assert table["end"].value_counts()["expired"] == 51
    again = table[table["end"] == "reused_syn"]
    assert list(again["remote_port"]) == [40001]


def test_bind_in_use(runs: Runs) -> None:
    one = runs["bind-in-use"]
    ended = {}
    for port in (9000, 9001, 9002, 9003):
        row = one.row(SERVER, port)
        assert row["time_wait_end"] == "expired" or port != 9000
        ended[port] = row["time_wait_began"].value + int(row["time_wait_s"] * SECOND)
    # In the recording a LISTEN of the restarted server is a bind() that succeeded.
    assert one.listening(SERVER, 9001, "restarted") == []
    assert one.listening(SERVER, 9002, "restarted") == []
    (both,) = one.listening(SERVER, 9003, "restarted")
    assert both < one.row(SERVER, 9003)["time_wait_began"].value + 30 * SECOND
    (plain,) = one.listening(SERVER, 9000, "restarted")
    assert ended[9000] <= plain + SECOND // 200 <= ended[9000] + 5 * SECOND


def test_same_four_tuple(runs: Runs) -> None:
    one = runs["same-four-tuple"]
    opened = {
        port: [seen.time for seen in one.segments(port, SYN, CLIENT)] for port in range(8000, 8005)
    }
    fins = {port: one.segments(port, FIN)[0].time for port in (8000, 8002, 8004)}
    # From a port that TIME_WAIT holds to another one: while it holds it.
    assert opened[8001][0] < fins[8000] + 30 * SECOND
    assert opened[8003][0] < fins[8002] + 30 * SECOND
    # To the same one: only afterwards.
    assert len(opened[8002]) == len(opened[8004]) == 2
    assert opened[8002][1] - fins[8002] >= SHORTEST * SECOND
    assert opened[8004][1] - fins[8004] >= SHORTEST * SECOND
    # Unless bind() was told so and there are timestamps.
    assert opened[8000][1] < fins[8000] + 30 * SECOND
    assert one.row(CLIENT, 8000)["time_wait_end"] == "reused_connect"
    ports = {port: set(one.rows(CLIENT, port)["local_port"].dropna()) for port in (8002, 8003)}
    assert ports == {8002: {40001}, 8003: {40001}}


def test_time_wait_length(runs: Runs) -> None:
    one = runs["time-wait-length"]
    table = one.recording.time_wait
    assert len(table) == 240
    assert set(table["end"]) == {"expired"}
    assert table["lived_s"].between(SHORTEST, LONGEST).all()
    # As seen from outside: from the server's FIN to the recorded end.
    fins = {seen.target_port: seen.time for seen in one.segments(8000, FIN, SERVER)}
    outside = [
        (ended.value - fins[port]) / SECOND
        for port, ended in zip(table["local_port"], table["ended"], strict=True)
    ]
    assert min(outside) >= SHORTEST
    assert max(outside) <= LONGEST
    assert max(outside) - min(outside) > 0.5  # not one tick's worth


def test_last_ack_lost(runs: Runs) -> None:
    one = runs["last-ack-lost"]
    dropped = [seen for seen in one.segments(8000) if seen.fate == "dropped"]
    assert [(seen.host, seen.flags) for seen in dropped] == [(CLIENT, ACK)] * 4
    fins = one.segments(8000, FIN, SERVER)
    assert len(fins) >= 5
    answers = [seen.acknowledged for seen in one.segments(8000, ACK, CLIENT)][-1]
    assert answers == fins[0].sequence + 1
    row = one.row(CLIENT, 8000)
    assert row["time_wait_restarts"] >= 1
    assert row["time_wait_s"] - (fins[-1].time - fins[0].time) / SECOND >= SHORTEST - 0.005
    assert one.row(SERVER, 8000)["outcome"] == "finished"


def test_last_ack_lost_without_time_wait(runs: Runs) -> None:
    one = runs["last-ack-lost"]
    assert one.row(CLIENT, 8001)["time_wait_end"] == "killed"
    assert {seen.host for seen in one.segments(8001, RST)} == {CLIENT}
    assert one.row(SERVER, 8001)["outcome"] == "reset"
    assert one.measured["server_error"] == "ECONNRESET"


def test_a_newcomer_gets_past_a_last_ack_socket(runs: Runs) -> None:
    one = runs["last-ack-lost"]
    old, new = one.row(SERVER, 8002), one.row(SERVER, 8002, 1)
    assert old["outcome"] == "reset"
    assert new["role"] == "server"
    assert new["established"] > old["closed"]
    newcomer = one.row(CLIENT, 8002, 1)
    assert newcomer["comm"] == "newcomer"
    syns = one.segments(8002, SYN, CLIENT)
    # RFC 5961 section 4: a bare ACK that confirms nothing of the SYN.
    challenge = next(
        seen
        for seen in one.segments(8002, host=SERVER)
        if seen.flags == ACK and seen.time > syns[1].time
    )
    assert challenge.acknowledged != syns[1].sequence + 1


def test_stray_segment_during_time_wait_reaches_nobody(runs: Runs) -> None:
    one = runs["stray-segment"]
    (stray,) = (seen for seen in one.segments(8000) if seen.fate == "held")
    assert stray.data.startswith(b"STRAY BYTES")
    row = one.row(CLIENT, 8000)
    fin = one.segments(8000, FIN, SERVER)[0]
    answers = [seen for seen in one.segments(8000, ACK, CLIENT) if seen.time > fin.time]
    assert len(answers) == 2  # the last ACK, and TIME_WAIT's to the stray
    assert {seen.acknowledged for seen in answers} == {fin.sequence + 1}
    assert row["time_wait_end"] in ("open", "killed")
    assert len(one.rows(CLIENT, 8000)) == 1


@pytest.mark.parametrize("port", [8001, 8002])
def test_stray_segment_is_refused_by_an_ordinary_new_connection(runs: Runs, port: int) -> None:
    one = runs["stray-segment"]
    assert one.row(CLIENT, port)["time_wait_end"] == "killed"
    newcomer = one.row(CLIENT, port, 1)
    assert newcomer["comm"] == "newcomer"
    assert newcomer["local_port"] == one.row(CLIENT, port)["local_port"]
    key = {8001: "read_with_timestamps", 8002: "read_slow"}[port]
    assert one.measured[key] == "What the new program should read.  "


def test_stray_segment_is_delivered_after_a_fast_connection(runs: Runs) -> None:
    one = runs["stray-segment"]
    if one.result["skipped"]:
        pytest.skip(str(one.result["skipped"]))
    assert one.row(CLIENT, 8003)["time_wait_end"] == "killed"
    syn = one.segments(8003, SYN, CLIENT)[-1]
    new = [seen for seen in one.segments(8003, host=SERVER) if seen.time > syn.time]
    # The server never sent those bytes on this connection...
    assert not any(b"STRAY" in seen.data for seen in new)
    assert any(seen.data.startswith(b"What the new program") for seen in new)
    # ...and yet the program read them, in place of the server's.
    assert one.measured["read_fast"].startswith("STRAY BYTES OF THE OLD CONNECTION.")
    assert one.row(CLIENT, 8003, 1)["comm"] == "newcomer"


def test_close_wait_leak(runs: Runs) -> None:
    one = runs["close-wait-leak"]
    leak, kept = one.row(SERVER, 8000), one.row(SERVER, 8001)
    assert (leak["comm"], leak["closed_by"]) == ("leaking", "remote")
    assert leak["close_wait_s"] >= 20
    assert 3 <= one.row(CLIENT, 8000)["fin_wait_2_s"] < leak["close_wait_s"] - 10
    assert kept["close_wait_s"] < leak["close_wait_s"] - 10
    resets = one.segments(8001, RST)
    assert {seen.host for seen in resets} == {CLIENT}
    assert abs(resets[0].time - kept["closed"].value) < SECOND // 10


def test_simultaneous_close(runs: Runs) -> None:
    one = runs["simultaneous-close"]
    for host in (CLIENT, SERVER):
        assert one.states(host, 8000)[1:] == ["ESTABLISHED", "FIN_WAIT_1", "CLOSING", "CLOSE"]
        assert one.row(host, 8000)["state"] == "TIME_WAIT"
    first = {host: one.segments(8000, FIN, host)[0] for host in (CLIENT, SERVER)}
    for host in (CLIENT, SERVER):
        assert first[host].fate == "held"
        other = first[SERVER if host == CLIENT else CLIENT]
        assert first[host].acknowledged == other.sequence  # neither had seen the other's


def test_linger_reset(runs: Runs) -> None:
    one = runs["linger-reset"]
    row = one.row(CLIENT, 8000)
    assert (row["outcome"], row["closed_by"]) == ("reset", "local")
    assert one.segments(8000, RST, CLIENT)
    assert one.segments(8000, FIN) == []
    assert 8000 not in set(one.recording.time_wait["remote_port"])
    sent = {seen.sequence: seen.length for seen in one.segments(8000, host=CLIENT)}
    assert sum(sent.values()) < one.measured["sent"]
    assert one.measured["reader_error"] == "ECONNRESET"
    assert {seen.host for seen in one.segments(8001, FIN)} == {CLIENT, SERVER}
    assert one.measured["orderly_read"] == one.measured["orderly_sent"]


def test_time_wait_assassination(runs: Runs) -> None:
    one = runs["time-wait-assassination"]
    for port in (8000, 8001):
        (again,) = (seen for seen in one.segments(port) if seen.fate == "repeated")
        (reset,) = one.segments(port, RST)
        assert reset.host == SERVER
        assert reset.time > again.time
    weak, strong = one.row(CLIENT, 8000), one.row(CLIENT, 8001)
    assert weak["time_wait_end"] in ("killed", "reset")
    assert weak["time_wait_s"] < 30
    assert strong["time_wait_end"] == "expired"
    assert SHORTEST <= strong["time_wait_s"] <= LONGEST + 5


@pytest.mark.parametrize(
    ("port", "reused"),
    [(8000, False), (8001, False), (8002, True), (8003, False), (8004, False), (8005, True)],
)
def test_time_wait_reuse_by_connect(runs: Runs, port: int, reused: bool) -> None:
    one = runs["time-wait-reuse"]
    clients = one.rows(CLIENT, port).query("role == 'client' and established.notna()")
    assert len(clients) == 1 + reused
    first = clients.iloc[0]
    assert first["time_wait_end"] == ("reused_connect" if reused else "open")
    if reused:
        assert set(clients["local_port"]) == {40000}
        assert 0.9 <= first["time_wait_s"] < 3


def test_time_wait_reuse_after_a_shorter_delay(runs: Runs) -> None:
    one = runs["time-wait-reuse"]
    if one.result["skipped"]:
        pytest.skip(str(one.result["skipped"]))
    row = one.rows(CLIENT, 8006).query("role == 'client'").iloc[0]
    assert row["time_wait_end"] == "reused_connect"
    assert 0.2 <= row["time_wait_s"] < 1


def test_time_wait_reuse_by_an_incoming_syn(runs: Runs) -> None:
    one = runs["time-wait-reuse"]
    first = one.row(SERVER, 40010)
    assert first["time_wait_end"] == "reused_syn"
    syns = one.segments(40010, SYN, CLIENT)
    assert len(syns) == 2
    assert one.segments(40010, SYN | ACK, SERVER)[-1].acknowledged == syns[1].sequence + 1


def test_port_exhaustion(runs: Runs) -> None:
    one = runs["port-exhaustion"]
    table = one.recording.time_wait
    assert sorted(table["local_port"]) == list(range(40000, 40020))
    assert len(one.segments(8000, SYN, CLIENT)) == 20  # the next one never left
    assert one.measured["error"] == "EADDRNOTAVAIL"
    assert len(one.segments(8001, SYN, CLIENT)) == 1
    assert len(one.segments(8002, SYN, CLIENT)) == 1
    assert sum(seen.length for seen in one.segments(8002, host=CLIENT)) == 100 * len("request")


def test_time_wait_overflow(runs: Runs) -> None:
    one = runs["time-wait-overflow"]
    rows = one.rows(CLIENT, 8000)
    assert Counter(rows["time_wait_end"]) == {"open": 5, "skipped": 3}
    assert len(one.recording.time_wait) == 5
    assert len(one.segments(8000, FIN, CLIENT)) == 8
    assert one.measured["counter"] == 3


def test_syn_flood(runs: Runs) -> None:
    one = runs["syn-flood"]
    for port in (8000, 8001):
        flood = [seen for seen in one.segments(port, SYN) if seen.fate == "injected"]
        assert len({seen.source for seen in flood}) == 64
    assert one.states(CLIENT, 40000) == ["SYN_SENT", "CLOSE"]
    assert one.segments(40000, host=SERVER) == []
    assert one.states(CLIENT, 40001)[:2] == ["SYN_SENT", "ESTABLISHED"]
    assert one.states(SERVER, 40001)[:2] == ["SYN_RECV", "ESTABLISHED"]
    # With cookies the server answers everyone, without only as many as it has room for.
    answered = {
        port: len({seen.target_port for seen in one.segments(port, SYN | ACK, SERVER)})
        for port in (8000, 8001)
    }
    assert answered[8000] < 16
    assert answered[8001] >= 64
