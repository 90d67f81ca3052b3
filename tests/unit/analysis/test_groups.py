from tcptrace.analysis.failed import failures, resets
from tcptrace.analysis.groups import grouped_by, sides_by_service
from tcptrace.analysis.services import endpoint, ephemeral_range, service_ports

from .tables import CLIENT, SERVER, connections, view

NEVER = {"established": None, "established_s": None}
REFUSED = {**CLIENT, **NEVER, "outcome": "refused", "error": "ECONNREFUSED"}


def test_both_ends_of_a_connection_are_one_service():
    found = grouped_by(view(CLIENT, SERVER), "service")
    assert [(row["service"], row["connections"]) for row in found] == [("10.0.0.2:80", 2)]


def test_groups_count_what_happened_to_them():
    leak = {**SERVER, "outcome": "open", "state": "CLOSE_WAIT"}
    found = grouped_by(view(CLIENT, SERVER, leak, REFUSED), "process")
    by_name = {row["process"]: row for row in found}
    assert by_name["nginx"]["closed_remote"] == 2
    assert by_name["nginx"]["close_wait"] == 1
    assert by_name["curl"] == {
        "process": "curl",
        "connections": 2,
        "closed_local": 2,
        "closed_remote": 0,
        "reset": 0,
        "failed": 1,
        "time_wait": 2,
        "close_wait": 0,
    }


def test_an_unknown_owner_is_a_group_of_its_own():
    found = grouped_by(view({**CLIENT, "comm": None}), "process")
    assert found[0]["process"] is None


def test_remote_and_netns_are_groupings_too():
    seen = view(CLIENT, SERVER)
    assert {row["remote"] for row in grouped_by(seen, "remote")} == {"10.0.0.1", "10.0.0.2"}
    assert [row["netns"] for row in grouped_by(seen, "netns")] == [4026531840]


def test_failures_are_counted_by_destination_most_first():
    other = {**REFUSED, "remote_port": 81, "outcome": "timed_out", "error": None}
    found = failures(view(other, REFUSED, REFUSED, CLIENT))
    assert [(row["outcome"], row["remote"], row["error"], row["connects"]) for row in found] == [
        ("refused", "10.0.0.2:80", "ECONNREFUSED", 2),
        ("timed_out", "10.0.0.2:81", None, 1),
    ]


def test_a_connection_given_up_later_is_no_failed_connect():
    died = {**CLIENT, "outcome": "timed_out", "error": "ETIMEDOUT"}
    older = {**died, **NEVER, "syn_sent_s": None, "censored": "left", "remote_port": 81}
    assert [row["established"] for row in failures(view(died, older, REFUSED))] == [
        False,
        True,
        True,
    ]


def test_a_pair_of_ends_is_one_connection_with_both_programs():
    pair = view({**CLIENT, "conversation": 0}, {**SERVER, "conversation": 0}, CLIENT, SERVER)
    found = {(row["client"], row["server"]): row for row in sides_by_service(pair)}
    assert found["curl", "nginx"]["connections"] == 1
    assert found["curl", "nginx"]["closed_by_client"] == 1
    assert found["curl", None]["connections"] == 1
    assert found[None, "nginx"]["closed_by_client"] == 1
    assert all(row["service"] == "10.0.0.2:80" for row in found.values())


def test_an_end_still_open_is_told_of_by_the_other():
    leaking = {**CLIENT, "closed_by": None, "outcome": "open", "conversation": 0}
    closing = {**SERVER, "closed_by": "local", "conversation": 0}
    (found,) = sides_by_service(view(leaking, closing))
    assert (found["closed_by_server"], found["closed_by_client"]) == (1, 0)


def test_resets_are_counted_by_sender_and_reason():
    sent = {**CLIENT, "outcome": "reset", "reset_reason": "tcp_abort_on_close"}
    found = resets(view(sent, sent, CLIENT))
    assert [(row["sent_by"], row["reason"], row["resets"]) for row in found] == [
        ("local", "tcp_abort_on_close", 2)
    ]


def test_endpoints_are_written_as_urls_do():
    assert endpoint("10.0.0.1", 80) == "10.0.0.1:80"
    assert endpoint("::1", 80) == "[::1]:80"
    assert endpoint("::1", None) == "[::1]:*"
    assert endpoint(None, 80) == "?:80"


def test_an_older_connections_service_port_is_the_one_outside_the_ephemeral_range():
    older = {**CLIENT, "role": "unknown"}
    found = service_ports(connections(older), (32768, 60999))
    assert found.iloc[0].isna().tolist() == [True, False]


def test_the_port_range_is_read_in_any_form_or_unknown():
    for value in ("32768 60999", "32768\t60999", [32768, 60999]):
        assert ephemeral_range({"sysctl": {"ip_local_port_range": value}}) == (32768, 60999)
    for header in ({}, {"sysctl": None}, {"sysctl": {"ip_local_port_range": "x"}}):
        assert ephemeral_range(header) is None
