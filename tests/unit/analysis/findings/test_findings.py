"""Each rule: fires on its case, with the numbers; stays silent just below."""

import pytest

from tcptrace.analysis.findings import Severity, find
from tcptrace.analysis.findings.closing import CLIENT_CLOSES
from tcptrace.analysis.findings.failures import FAILED_WARNING, RESETS

from ..tables import CLIENT, HEADER, SERVER, events, view

NO_WAIT = {"time_wait_began": None, "time_wait_s": None, "time_wait_end": None}
KEEP_ALIVE = {**CLIENT, **NO_WAIT, "closed_by": "remote", "close_wait_s": 0.001}
LEAK = {
    **SERVER,
    "outcome": "open",
    "state": "CLOSE_WAIT",
    "close_wait_s": 66.2,
    "closed": None,
    "censored": "right",
}
OPEN_WAIT = {
    **CLIENT,
    "time_wait_began": 50.0,
    "time_wait_s": 25.0,
    "time_wait_end": "open",
    "censored": "right",
}
RESET = {**CLIENT, **NO_WAIT, "outcome": "reset", "reset_reason": "tcp_abort_on_close"}
NEVER = {"established": None, "established_s": None}
REFUSED = {**CLIENT, **NO_WAIT, **NEVER, "outcome": "refused", "error": "ECONNREFUSED"}


def found(*rows, **about):
    return {finding.id: finding for finding in find(view(*rows, **about))}


def clients(count, **changed):
    return [{**CLIENT, "local_port": 33000 + place, **changed} for place in range(count)]


def test_a_healthy_recording_has_no_findings():
    assert found(CLIENT, SERVER, KEEP_ALIVE) == {}


def test_an_empty_recording_has_no_findings():
    assert found(events=events(0)) == {}


def test_lost_events_are_told_by_share():
    few = found(CLIENT, lost=1, events=events(1000))["events-lost"]
    many = found(CLIENT, lost=100, events=events(1000))["events-lost"]
    assert (few.severity, many.severity) == (Severity.WARNING, Severity.PROBLEM)
    assert few.evidence[0]["lost"] == 1
    assert few.evidence[0]["made"] == 1001
    assert few.title == "1 of 1,001 events were lost (0.10%)"
    cut_off = found(CLIENT, lost=1, events=events(1000), complete=False)["events-lost"]
    assert cut_off.title == "1 event lost"


def test_a_cut_off_recording_is_told_with_the_reason():
    finding = found(CLIENT, complete=False, problem="the last batch is cut off")
    assert "the last batch is cut off" in finding["recording-cut-off"].title


def test_open_time_waits_with_none_ended_are_too_short_to_judge():
    assert found(OPEN_WAIT)["time-wait-unjudged"].evidence[0]["open"] == 1
    assert "time-wait-unjudged" not in found(CLIENT, OPEN_WAIT)


def test_a_snapshot_that_failed_is_told_with_what_it_lacks():
    failed = {"start": None, "end": "sockets that made no event are not known: no time"}
    finding = found(CLIENT, final={"snapshots": failed})["snapshot-failed"]
    assert finding.evidence == [{"snapshot": "end", "problem": failed["end"]}]
    assert "snapshot-failed" not in found(CLIENT, final={"snapshots": {"start": None}})


@pytest.mark.parametrize("final", [{}, {"snapshots": None}, {"snapshots": ["start"]}])
def test_a_recording_without_snapshots_has_no_finding_of_them(final):
    assert found(CLIENT, final=final) == {}


def test_probes_that_were_not_attached_are_told_with_what_is_not_known():
    probes = {
        "sock:inet_sock_set_state": {"attached": True, "reason": None},
        "timer:timer_start": {"attached": False, "reason": "no BTF"},
        "timer:timer_cancel": {"attached": False, "reason": "no BTF"},
    }
    finding = found(CLIENT, header={**HEADER, "probes": probes})["probes-missing"]
    assert finding.evidence == [
        {
            "not_known": "TIME_WAIT: when it began, how long it lasted, how it ended",
            "probes": "timer:timer_start timer:timer_cancel",
            "reason": "no BTF",
        }
    ]
    attached = {name: {"attached": True, "reason": None} for name in probes}
    assert found(CLIENT, header={**HEADER, "probes": attached}) == {}


def test_a_client_without_reuse_is_told_from_the_threshold_on():
    assert "client-closes-first" not in found(*clients(CLIENT_CLOSES - 1))
    finding = found(*clients(CLIENT_CLOSES))["client-closes-first"]
    assert finding.evidence == [
        {
            "comm": "curl",
            "remote": "10.0.0.2:80",
            "closed_by_client": CLIENT_CLOSES,
            "connections": CLIENT_CLOSES,
            "time_wait": CLIENT_CLOSES,
            "median_life_s": 0.9,
        }
    ]


def test_a_server_that_closes_first_is_told_with_its_port():
    closing = {
        **SERVER,
        "closed_by": "local",
        "time_wait_began": 1.0,
        "time_wait_s": 60.9,
        "time_wait_end": "expired",
    }
    assert found(closing)["server-closes-first"].evidence[0]["port"] == 80
    assert "server-closes-first" not in found(closing, SERVER, SERVER)


@pytest.mark.parametrize(("count", "severity"), [(69, None), (70, "warning"), (90, "problem")])
def test_ports_towards_one_destination_run_out(count, severity):
    header = {**HEADER, "sysctl": {"ip_local_port_range": "33000 33099"}}
    finding = found(*clients(count), header=header).get("ports-running-out")
    assert (finding and str(finding.severity)) == severity
    if finding:
        assert finding.evidence[0]["ports_in_use"] == count
        assert finding.evidence[0]["range"] == 100


def test_ports_used_one_after_the_other_do_not_run_out():
    header = {**HEADER, "sysctl": {"ip_local_port_range": "33000 33099"}}
    rows = [
        {**row, **NO_WAIT, "opened": place, "closed": place + 0.5}
        for place, row in enumerate(clients(100))
    ]
    assert "ports-running-out" not in found(*rows, header=header)


def test_connects_that_got_no_port_are_told():
    none = {**CLIENT, **NO_WAIT, **NEVER, "local_port": 0, "outcome": "unknown"}
    assert found(none, none)["no-port-left"].evidence[0]["connects"] == 2


def test_a_close_wait_leak_names_owner_peer_and_age():
    finding = found(LEAK, {**LEAK, "close_wait_s": 10.0})["close-wait-leak"]
    assert finding.severity == Severity.PROBLEM
    assert finding.title == "2 connections left in CLOSE_WAIT, the longest for 66.2 s"
    assert finding.evidence == [
        {
            "comm": "nginx",
            "pid": 200,
            "peer": "10.0.0.1",
            "connections": 2,
            "still_open": 2,
            "longest_s": 66.2,
        }
    ]


def test_a_late_close_is_told_but_is_no_problem_any_more():
    finding = found({**SERVER, "close_wait_s": 70.0})["close-wait-leak"]
    assert finding.severity == Severity.WARNING
    assert finding.title == "1 connection closed late, after CLOSE_WAIT, the longest for 70.0 s"
    assert finding.evidence[0]["still_open"] == 0


def test_an_age_is_a_lower_bound_if_it_was_there_before_the_recording():
    older = {
        **LEAK,
        "opened": None,
        "established": None,
        "syn_recv_s": None,
        "established_s": None,
        "censored": "both",
    }
    assert "for at least 66.2 s" in found(older)["close-wait-leak"].title
    seen_before = {**older, "established_s": 1.0}
    assert "for 66.2 s" in found(seen_before)["close-wait-leak"].title
    stuck = {**older, "close_wait_s": None, "fin_wait_2_s": 50.0, "state": "FIN_WAIT_2"}
    assert "longest at least 50.0 s" in found(stuck)["fin-wait-2-stuck"].title


def test_a_short_close_wait_is_no_leak():
    assert "close-wait-leak" not in found({**LEAK, "close_wait_s": 4.9})


def test_fin_wait_2_stuck_is_told():
    stuck = {**CLIENT, **NO_WAIT, "fin_wait_2_s": 61.0}
    assert found(stuck)["fin-wait-2-stuck"].evidence[0]["longest_s"] == 61
    assert "fin-wait-2-stuck" not in found({**stuck, "fin_wait_2_s": 4.9})


def test_skipped_time_waits_are_told_with_the_limit_of_their_own_namespace():
    skipped = {**CLIENT, "time_wait_began": None, "time_wait_end": "skipped"}
    here = found(skipped, header={**HEADER, "netns": CLIENT["netns"]})["time-wait-skipped"]
    elsewhere = found(skipped, header={**HEADER, "netns": 1})["time-wait-skipped"]
    assert here.evidence[0]["skipped"] == 1
    assert here.evidence[0]["tcp_max_tw_buckets"] == 8192
    assert elsewhere.evidence[0]["tcp_max_tw_buckets"] is None


def test_restarted_time_waits_mean_lost_last_acks():
    restarted = {**CLIENT, "time_wait_restarts": 3}
    assert found(restarted)["last-acks-lost"].evidence[0]["restarts"] == 3
    assert found(restarted, *clients(200))["last-acks-lost"].severity == Severity.INFO


def test_many_resets_need_both_number_and_share():
    assert "many-resets" not in found(*[RESET] * (RESETS - 1))
    assert found(*[RESET] * RESETS)["many-resets"].evidence[0]["resets"] == RESETS
    assert "many-resets" not in found(*[RESET] * RESETS, *[KEEP_ALIVE] * 400)


@pytest.mark.parametrize("outcome", ["refused", "timed_out", "unreachable"])
def test_failed_connects_are_told_by_destination(outcome):
    row = {**REFUSED, "outcome": outcome}
    finding = found(row)[f"connects-{outcome.replace('_', '-')}"]
    assert finding.severity == Severity.INFO
    assert finding.evidence[0]["remote"] == "10.0.0.2:80"
    assert "1 connect to 10.0.0.2:80" in finding.title
    many = found(*[row] * FAILED_WARNING)[f"connects-{outcome.replace('_', '-')}"]
    assert many.severity == Severity.WARNING


def test_handshakes_that_needed_a_second_syn_are_told():
    slow = {**KEEP_ALIVE, "syn_sent_s": 1.02}
    finding = found(slow, *[KEEP_ALIVE] * 49)["slow-handshakes"]
    assert (finding.severity, finding.evidence[0]["connects"]) == (Severity.WARNING, 1)
    assert "slow-handshakes" not in found({**KEEP_ALIVE, "syn_sent_s": 0.999})


def test_the_worst_comes_first():
    order = [finding.severity for finding in find(view(LEAK, REFUSED, complete=False))]
    assert order == [Severity.PROBLEM, Severity.WARNING, Severity.INFO]


def test_every_finding_has_evidence_advice_and_a_source():
    for finding in find(view(LEAK, REFUSED, OPEN_WAIT, RESET, lost=3, complete=False)):
        assert finding.evidence
        assert finding.why
        assert finding.advice
        assert finding.source
