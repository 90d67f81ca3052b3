"""Which events make one connection: births, reused addresses, what is outside the recording."""

import pytest

from .scenario import (
    BYSTANDER,
    CLIENT_END,
    CURL,
    NGINX,
    SERVER_END,
    START,
    End,
    Story,
    Task,
)


def reuse_within_microseconds() -> Story:
    story = Story()
    first = story.socket(CLIENT_END).connect().closed_by_peer(CURL)
    second = story.socket(CLIENT_END._replace(local_port=40002), address=first.address)
    second.connect().closed_by_peer(CURL)
    return story


def test_an_address_reused_within_microseconds_is_another_connection() -> None:
    first, second = reuse_within_microseconds().connections()
    assert (first["local_port"], second["local_port"]) == (40001, 40002)
    assert first["closed"] < second["opened"]
    assert first["outcome"] == second["outcome"] == "finished"


def test_a_child_cloned_at_a_used_address_is_another_connection() -> None:
    story = Story()
    address = story.socket(SERVER_END).accept().closed_by_peer(NGINX).address
    story.socket(SERVER_END._replace(remote_port=40002), address=address).accept()
    first, second = story.connections()
    assert (first["remote_port"], second["remote_port"]) == (40001, 40002)
    assert (first["outcome"], second["outcome"]) == ("finished", "open")


def test_a_client_socket_that_connects_twice_makes_two_connections() -> None:
    story = Story()
    client = story.socket(CLIENT_END).syn()
    client.gone(error=111)
    client.connect()
    first, second = story.connections()
    assert (first["outcome"], second["outcome"]) == ("refused", "open")


def test_a_transition_after_close_belongs_to_a_life_whose_birth_was_not_seen() -> None:
    story = Story()
    address = story.socket(CLIENT_END).connect().closed_by_peer(CURL).address
    story.lose()
    other = CLIENT_END._replace(local_port=40002)
    story.socket(other, "ESTABLISHED", address).closed_by_peer(CURL)
    first, second = story.connections()
    assert (first["local_port"], second["local_port"]) == (40001, 40002)
    assert (first["censored"], second["censored"]) == ("none", "left")
    assert second["established_s"] is None


def test_a_connection_seen_in_mid_life_is_left_censored() -> None:
    story = Story().after(3)
    story.socket(CLIENT_END, "ESTABLISHED").closed_by_peer(CURL)
    row = story.connection()
    assert row["opened"] is row["established"] is None
    assert (row["role"], row["censored"], row["outcome"]) == ("unknown", "left", "finished")
    assert row["established_s"] == pytest.approx(3.000001)
    assert row["syn_sent_s"] is None


def test_a_connection_still_there_at_the_end_is_right_censored_and_open() -> None:
    story = Story()
    story.socket(CLIENT_END).connect()
    story.after(5)
    row = story.connection()
    assert (row["outcome"], row["state"], row["censored"]) == ("open", "ESTABLISHED", "right")
    assert row["closed"] is row["closed_by"] is None
    assert row["established_s"] == pytest.approx(5)


def test_a_connection_seen_in_mid_life_and_still_there_is_censored_on_both_sides() -> None:
    story = Story().after(2)
    story.socket(SERVER_END, "ESTABLISHED").to("CLOSE_WAIT")
    story.after(4)
    row = story.connection()
    assert (row["outcome"], row["state"], row["censored"]) == ("open", "CLOSE_WAIT", "both")
    assert row["close_wait_s"] == pytest.approx(4)


def test_an_open_connection_whose_address_was_born_again_closed_unseen() -> None:
    story = Story()
    address = story.socket(CLIENT_END).connect().address
    story.after(1).lose()
    story.socket(CLIENT_END._replace(local_port=40002), address=address).connect()
    first, second = story.connections()
    assert (first["outcome"], first["established_s"], first["closed"]) == ("unknown", None, None)
    assert second["outcome"] == "open"


def test_the_local_port_comes_from_a_later_event_than_connects_first() -> None:
    story = Story()
    story.socket(CLIENT_END).syn()
    assert story.connection()["local_port"] is None
    story = Story()
    story.socket(CLIENT_END).connect()
    assert story.connection()["local_port"] == 40001


def test_before_6_15_the_child_takes_its_tuple_from_a_later_event() -> None:
    story = Story()
    child = story.socket(SERVER_END, "LISTEN")
    child.to("SYN_RECV", end=SERVER_END._replace(remote="0.0.0.0", remote_port=0))
    alone = story.connection()
    assert (alone["remote_port"], alone["remote_address"], alone["role"]) == (None, None, "server")
    child.to("ESTABLISHED")
    whole = story.connection()
    assert (whole["remote_address"], whole["remote_port"]) == ("10.0.0.1", 40001)
    assert whole["opened"] == alone["opened"]


def test_before_6_15_a_pair_is_found_in_spite_of_the_first_events_tuple() -> None:
    story = Story()
    client = story.socket(CLIENT_END).syn()
    child = story.socket(SERVER_END, "LISTEN")
    child.to("SYN_RECV", end=SERVER_END._replace(remote="0.0.0.0", remote_port=0))
    child.to("ESTABLISHED")
    client.to("ESTABLISHED")
    assert [row["conversation"] for row in story.connections()] == [1, 1]


def test_ipv4_over_an_ipv6_socket_is_ipv4_even_where_the_first_event_has_no_address() -> None:
    story = Story()
    client = story.socket(CLIENT_END)
    client.to("SYN_SENT", by=CURL, end=End("::", 0, "::ffff:10.0.0.2", 80))
    early = story.connection()
    assert (early["family"], early["local_address"]) == (4, None)
    assert early["remote_address"] == "10.0.0.2"
    client.to("ESTABLISHED", end=End("::ffff:10.0.0.1", 40001, "::ffff:10.0.0.2", 80))
    row = story.connection()
    assert (row["family"], row["local_address"], row["local_port"]) == (4, "10.0.0.1", 40001)


def test_ipv6_is_ipv6() -> None:
    story = Story()
    story.socket(End("fd00::1", 40001, "fd00::2", 80)).connect()
    row = story.connection()
    assert (row["family"], row["local_address"]) == (6, "fd00::1")


def test_listeners_are_no_connections() -> None:
    story = Story()
    listener = story.socket(End("0.0.0.0", 80, "0.0.0.0", 0)).to("LISTEN", by=NGINX)
    story.socket(SERVER_END).accept()
    listener.gone(by=NGINX)
    story.socket(End("0.0.0.0", 81, "0.0.0.0", 0), "LISTEN").gone(by=NGINX)
    assert [row["local_port"] for row in story.connections()] == [80]
    assert story.connection()["remote_port"] == 40001


def test_a_socket_that_connected_and_then_listens_is_one_connection() -> None:
    story = Story()
    socket = story.socket(CLIENT_END).connect().closed_by_peer(CURL)
    socket.to("LISTEN", by=CURL)
    assert story.connection()["outcome"] == "finished"


def test_request_sockets_are_no_connections() -> None:
    story = Story()
    story.emit("reset_received", 7, "NEW_SYN_RECV", "NEW_SYN_RECV", SERVER_END)
    assert story.connections() == []


def test_a_request_socket_at_a_used_address_is_not_the_socket_before() -> None:
    story = Story()
    address = story.socket(SERVER_END).accept().closed_by_peer(NGINX).address
    story.emit("reset_sent", address, "NEW_SYN_RECV", "NEW_SYN_RECV", SERVER_END)
    assert story.connection()["outcome"] == "finished"


def test_a_transition_from_a_state_to_itself_says_nothing() -> None:
    story = Story()
    socket = story.socket(CLIENT_END).connect().closed_by_peer(CURL)
    socket.gone()
    assert len(story.connections()) == 1


def test_an_error_or_a_reset_alone_makes_no_connection() -> None:
    story = Story()
    story.emit("error", 7, "CLOSE", "CLOSE", CLIENT_END, detail=111)
    story.emit("reset_sent", 8, "LISTEN", "LISTEN", SERVER_END)
    story.emit("reset_sent", 0, "CLOSE", "CLOSE", SERVER_END)
    assert story.connections() == []


def test_a_reset_before_the_close_of_a_reused_address_is_the_new_lifes() -> None:
    story = Story()
    address = story.socket(CLIENT_END).connect().closed_by_peer(CURL).address
    story.lose()
    other = story.socket(CLIENT_END._replace(local_port=40002), "ESTABLISHED", address)
    other.reset_received().gone(error=104)
    first, second = story.connections()
    assert (first["outcome"], second["outcome"]) == ("finished", "reset")
    assert second["closed_by"] == "remote"


def test_a_stray_reset_is_not_the_next_births() -> None:
    story = Story()
    address = story.socket(CLIENT_END).connect().closed_by_peer(CURL).address
    story.lose()
    lost = story.socket(CLIENT_END._replace(local_port=40002), "ESTABLISHED", address)
    lost.reset_received()  # its CLOSE was lost
    last = story.socket(CLIENT_END._replace(local_port=40003), address=address)
    last.connect().closed_by_peer(CURL)
    assert [row["outcome"] for row in story.connections()] == ["finished", "finished"]


# Owners (KERNEL.md section 4).

PEER = Task(999, "peer", 99)


def test_a_clients_owner_is_who_called_connect() -> None:
    story = Story()
    client = story.socket(CLIENT_END).connect(by=CURL)
    client.to("FIN_WAIT_1", by=PEER).to("FIN_WAIT_2", by=PEER)
    row = story.connection()
    assert (row["pid"], row["comm"], row["cgroup"]) == (100, "curl", 11)


def test_the_owner_of_an_accepted_socket_is_who_closed_it() -> None:
    story = Story()
    server = story.socket(SERVER_END, "LISTEN").to("SYN_RECV", "ESTABLISHED", by=PEER)
    assert story.connection()["pid"] is None
    server.to("CLOSE_WAIT", by=PEER)
    assert story.connection()["comm"] is None
    server.to("LAST_ACK", by=NGINX).gone(fin=True, by=PEER)
    row = story.connection()
    assert (row["pid"], row["comm"], row["cgroup"]) == (200, "nginx", 22)


@pytest.mark.parametrize("state", ["ESTABLISHED", "SYN_RECV"])
def test_the_owner_of_a_server_that_closes_first_is_who_closed(state: str) -> None:
    story = Story()
    server = story.socket(SERVER_END, "LISTEN").to("SYN_RECV", by=PEER)
    if state != "SYN_RECV":
        server.to(state, by=PEER)
    server.to("FIN_WAIT_1", by=NGINX).to("FIN_WAIT_2", by=PEER)
    assert story.connection()["comm"] == "nginx"


def test_nothing_is_said_of_an_owner_where_only_softirqs_ran() -> None:
    story = Story()
    story.socket(CLIENT_END, "ESTABLISHED").to("CLOSE_WAIT", by=PEER)
    row = story.connection()
    assert row["pid"] is row["comm"] is row["cgroup"] is None


def test_a_program_that_resets_its_connection_owns_it() -> None:
    story = Story()
    server = story.socket(SERVER_END).accept()
    server.gone(by=NGINX).reset_sent(by=NGINX)
    assert story.connection()["comm"] == "nginx"


def test_who_is_interrupted_while_the_kernel_resets_an_orphan_does_not_own_it() -> None:
    story = Story()
    orphan = story.socket(SERVER_END, "FIN_WAIT_1").to("FIN_WAIT_2", by=PEER)
    orphan.gone(orphan=True, by=PEER).reset_sent(by=PEER)
    assert story.connection()["pid"] is None


def test_the_swapper_owns_nothing() -> None:
    story = Story()
    story.socket(SERVER_END).accept().to("FIN_WAIT_1", by=BYSTANDER)
    assert story.connection()["comm"] is None


def test_after_settling_no_connection_is_begun_and_none_goes_on() -> None:
    story = Story()
    story.socket(CLIENT_END).connect()
    story.after(2)
    story.settling = story.now
    story.after(10)
    story.socket(CLIENT_END._replace(local_port=40002)).syn()
    row = story.connection()
    assert (row["outcome"], row["censored"]) == ("open", "right")
    assert row["established_s"] == pytest.approx(2)


def test_a_birth_while_settling_does_not_end_what_was_open_before() -> None:
    story = Story()
    address = story.socket(CLIENT_END).connect().address
    story.after(2)
    story.settling = story.now
    story.after(10)
    story.socket(CLIENT_END._replace(local_port=40002), address=address).syn()
    row = story.connection()
    assert (row["outcome"], row["established_s"]) == ("open", pytest.approx(2))


def test_times_are_the_events_own() -> None:
    story = Story()
    story.socket(CLIENT_END).connect().closed_by_peer(CURL)
    row = story.connection()
    assert [row[name] - START for name in ("opened", "established", "closed")] == [
        1_000,
        2_000,
        5_000,
    ]


def test_a_state_a_connection_was_in_twice_tells_how_long_it_was_in_it_in_all() -> None:
    story = Story()
    other = story.socket(SERVER_END).accept()
    client = story.socket(CLIENT_END).connect()
    story.after(2)
    client.to("CLOSE_WAIT")
    story.after(3)
    client.to("ESTABLISHED")  # no kernel does so
    story.after(4)
    client.to("CLOSE_WAIT")
    story.after(5)
    client.to("CLOSE")
    other.to("CLOSE_WAIT")
    row = story.connection(CLIENT_END)
    assert row["established_s"] == pytest.approx(2 + 4, abs=1e-4)
    assert row["close_wait_s"] == pytest.approx(3 + 5, abs=1e-4)
    assert story.connection(SERVER_END)["established_s"] == pytest.approx(14, abs=1e-4)
