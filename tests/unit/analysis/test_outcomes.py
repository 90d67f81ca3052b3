"""How each connection ended and who ended it, for every way to end."""

import errno

import pytest

from .scenario import CLIENT_END, CURL, NGINX, SERVER_END, End, Socket, Story


def client() -> Socket:
    return Story().socket(CLIENT_END).connect()


def server() -> Socket:
    return Story().socket(SERVER_END).accept()


def verdict(socket: Socket) -> tuple[str, str | None, str]:
    row = socket.story.connection()
    return row["outcome"], row["closed_by"], row["role"]


def test_the_side_that_sends_the_first_fin_closed() -> None:
    first = client().close(CURL)
    first.time_wait()
    assert verdict(first) == ("finished", "local", "client")
    assert verdict(server().closed_by_peer(NGINX)) == ("finished", "remote", "server")


def test_the_server_may_close_first() -> None:
    first = server().close(NGINX)
    first.time_wait()
    assert verdict(first) == ("finished", "local", "server")
    assert verdict(client().closed_by_peer(CURL)) == ("finished", "remote", "client")


def test_crossing_fins_close_on_both_sides() -> None:
    socket = client().to("FIN_WAIT_1", by=CURL).to("CLOSING")
    socket.time_wait()
    assert verdict(socket) == ("finished", "both", "client")


def test_after_a_half_close_who_shut_first_closed() -> None:
    story = Story()
    near, far = story.socket(CLIENT_END).connect(), story.socket(SERVER_END).accept()
    near.close(CURL)
    far.to("CLOSE_WAIT")
    story.after(10)
    far.to("LAST_ACK", by=NGINX)
    near.time_wait()
    far.gone(fin=True)
    assert [row["closed_by"] for row in story.connections()] == ["local", "remote"]
    assert [row["outcome"] for row in story.connections()] == ["finished", "finished"]
    assert story.connection(CLIENT_END)["fin_wait_2_s"] > 10
    assert story.connection(SERVER_END)["close_wait_s"] > 10


def test_a_reset_received_was_sent_by_the_peer() -> None:
    socket = client().reset_received().gone(error=errno.ECONNRESET)
    assert verdict(socket) == ("reset", "remote", "client")
    assert socket.story.connection()["error"] == "ECONNRESET"


def test_a_reset_received_after_the_peers_fin_is_epipe() -> None:
    socket = server().to("CLOSE_WAIT").reset_received().gone(error=errno.EPIPE, fin=True)
    assert verdict(socket) == ("reset", "remote", "server")


def test_closing_with_linger_0_or_unread_data_resets_from_this_side() -> None:
    socket = client().gone(by=CURL).reset_sent(by=CURL)
    assert verdict(socket) == ("reset", "local", "client")


def test_a_reset_sent_after_ones_own_fin_is_still_ones_own() -> None:
    socket = client().close(CURL).gone(by=CURL).reset_sent(by=CURL)
    assert verdict(socket) == ("reset", "local", "client")


def test_who_resets_after_the_peers_fin_ended_the_connection() -> None:
    socket = server().to("CLOSE_WAIT").gone(fin=True, by=NGINX).reset_sent(by=NGINX)
    assert verdict(socket) == ("reset", "local", "server")


def test_data_for_an_orphan_is_answered_by_this_sides_reset() -> None:
    # tcp_rcv_state_process() calls tcp_reset() on itself, then the answer is sent.
    socket = client().close(CURL).reset_received()
    socket.gone(orphan=True, error=errno.ECONNRESET).reset_sent()
    assert verdict(socket) == ("reset", "local", "client")


def test_a_reset_sent_to_a_bad_segment_before_one_is_received_did_not_close() -> None:
    socket = client().reset_sent()
    socket.reset_received().gone(error=errno.ECONNRESET)
    assert verdict(socket) == ("reset", "remote", "client")


def test_the_reason_of_a_reset_is_named() -> None:
    story = Story(reset_reasons={"3": "tcp_abort_on_close"})
    story.socket(CLIENT_END).connect().gone(by=CURL).reset_sent(3, by=CURL)
    assert story.connection()["reset_reason"] == "tcp_abort_on_close"


def test_a_reason_without_a_name_is_its_number_and_a_missing_one_null() -> None:
    story = Story()
    story.socket(CLIENT_END).connect().gone(by=CURL).reset_sent(3, by=CURL)
    story.socket(SERVER_END).accept().gone(by=NGINX).reset_sent(None, by=NGINX)
    assert story.connection(CLIENT_END)["reset_reason"] == "reason 3"
    assert story.connection(SERVER_END)["reset_reason"] is None


def test_a_syn_answered_by_a_reset_is_refused_and_nobody_closed() -> None:
    socket = Story().socket(CLIENT_END).syn()
    socket.reset_received().gone(error=errno.ECONNREFUSED)
    assert verdict(socket) == ("refused", None, "client")


def test_a_syn_never_answered_times_out() -> None:
    socket = Story().socket(CLIENT_END).syn()
    socket.story.after(127)
    socket.gone(error=errno.ETIMEDOUT)
    assert verdict(socket) == ("timed_out", None, "client")


def test_an_established_connection_that_times_out_was_closed_by_nobody() -> None:
    assert verdict(client().gone(error=errno.ETIMEDOUT)) == ("timed_out", None, "client")


def test_a_keepalives_reset_does_not_hide_its_timeout() -> None:
    socket = client().reset_sent().gone(error=errno.ETIMEDOUT)
    assert verdict(socket) == ("timed_out", None, "client")


def test_an_orphan_whose_last_ack_never_came_timed_out() -> None:
    # No error event tells of it: only CLOSE does (DETAIL_ERROR_SHIFT).
    socket = server().to("CLOSE_WAIT").to("LAST_ACK", by=NGINX)
    socket.gone(fin=True, orphan=True, error=errno.ETIMEDOUT)
    assert verdict(socket) == ("timed_out", "remote", "server")
    assert socket.story.connection()["error"] == "ETIMEDOUT"


def test_an_orphan_whose_fin_was_never_acknowledged_timed_out() -> None:
    socket = client().to("FIN_WAIT_1", by=CURL).gone(orphan=True, error=errno.ETIMEDOUT)
    assert verdict(socket) == ("timed_out", "local", "client")


@pytest.mark.parametrize("error", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN])
def test_an_icmp_error_is_unreachable(error: int) -> None:
    socket = Story().socket(CLIENT_END).syn().gone(error=error)
    assert verdict(socket) == ("unreachable", None, "client")


def test_a_connect_that_failed_before_it_had_a_port_is_a_connection() -> None:
    socket = Story().socket(CLIENT_END)
    no_port = End("0.0.0.0", 0, "10.0.0.2", 80)
    socket.to("SYN_SENT", by=CURL, end=no_port).to("CLOSE", by=CURL, end=no_port)
    row = socket.story.connection()
    assert (row["outcome"], row["closed_by"], row["local_port"]) == ("unknown", None, None)
    assert (row["comm"], row["remote_port"], row["local_address"]) == ("curl", 80, None)


def test_a_child_reset_in_the_handshake_was_never_established() -> None:
    socket = Story().socket(SERVER_END).arrive().reset_received()
    socket.gone(error=errno.ECONNRESET)
    assert verdict(socket)[0] == "reset"
    assert socket.story.connection()["established"] is None


def test_crossing_syns_make_two_clients_pass_through_syn_recv() -> None:
    socket = Story().socket(CLIENT_END).syn().to("SYN_RECV", "ESTABLISHED")
    assert verdict(socket) == ("open", None, "client")


def test_how_a_connection_closed_unseen_is_unknown() -> None:
    socket = server()
    socket.story.after(1).lose()
    assert verdict(socket) == ("unknown", None, "server")
    assert socket.story.connection()["closed"] is None


def test_a_fin_that_came_first_is_remembered_of_a_connection_seen_in_last_ack_only() -> None:
    story = Story()
    socket = story.socket(SERVER_END, "LAST_ACK").gone(fin=True)
    assert verdict(socket) == ("finished", "remote", "unknown")


def test_an_orphan_aborted_by_the_kernel_without_an_error_is_a_local_reset() -> None:
    socket = client().close(CURL).gone(orphan=True).reset_sent()
    assert verdict(socket) == ("reset", "local", "client")
    assert socket.story.connection()["time_wait_end"] is None
