"""Which two rows are the two ends of one connection."""

from .scenario import (
    CLIENT_END,
    CURL,
    NETNS,
    NGINX,
    OTHER_NETNS,
    SERVER_END,
    End,
    Socket,
    Story,
)

LOOPBACK = End("127.0.0.1", 40001, "127.0.0.1", 80)
LOOPBACK6 = End("::1", 40001, "::1", 80)


def whole(story: Story, end: End, netns: int = NETNS, server_netns: int | None = None) -> None:
    """Open a connection and close it, both ends seen."""
    near = story.socket(end._replace(netns=netns)).syn()
    far = story.socket(end.other(server_netns or netns)).accept()
    near.to("ESTABLISHED")
    story.after(1)
    far.close(NGINX).story.after(0)
    near.closed_by_peer(CURL)
    far.gone(fin=True)


def open_pair(story: Story, end: End, netns: int, server_netns: int) -> tuple[Socket, Socket]:
    near = story.socket(end._replace(netns=netns)).syn()
    far = story.socket(end.other(server_netns)).accept()
    near.to("ESTABLISHED")
    return near, far


def conversations(story: Story) -> list[int | None]:
    return [row["conversation"] for row in story.connections()]


def test_both_ends_on_loopback_are_one_conversation() -> None:
    story = Story()
    whole(story, LOOPBACK)
    whole(story, LOOPBACK6)
    assert conversations(story) == [1, 1, 2, 2]


def test_a_tuple_used_again_makes_pairs_in_turn() -> None:
    story = Story()
    for _ in range(3):
        whole(story, LOOPBACK)
    rows = story.connections()
    assert [row["role"] for row in rows] == ["client", "server"] * 3
    assert [row["conversation"] for row in rows] == [1, 1, 2, 2, 3, 3]


def test_ends_in_two_namespaces_are_one_conversation() -> None:
    story = Story()
    whole(story, CLIENT_END, NETNS, OTHER_NETNS)
    assert conversations(story) == [1, 1]


def test_loopback_in_two_namespaces_is_two_networks() -> None:
    story = Story()
    for end in (LOOPBACK, LOOPBACK6):
        open_pair(story, end, NETNS, OTHER_NETNS)
    assert conversations(story) == [None] * 4


def test_equal_addresses_in_many_namespaces_pair_within_each() -> None:
    story = Story()
    open_pair(story, CLIENT_END, NETNS, NETNS)
    open_pair(story, CLIENT_END, OTHER_NETNS, OTHER_NETNS)
    assert conversations(story) == [1, 1, 2, 2]


def test_equal_addresses_in_several_namespaces_are_not_guessed_at() -> None:
    # Two clients of one address and port, in two namespaces; two servers in two others.
    story = Story()
    open_pair(story, CLIENT_END, 1, 2)
    open_pair(story, CLIENT_END, 3, 4)
    assert conversations(story) == [None] * 4


def test_a_third_with_the_same_addresses_makes_a_pair_across_namespaces_unsure() -> None:
    story = Story()
    story.socket(CLIENT_END._replace(netns=1)).connect()
    open_pair(story, CLIENT_END, 2, 3)
    assert conversations(story) == [None] * 3


def test_the_other_end_outside_the_recording_is_null() -> None:
    story = Story()
    story.socket(CLIENT_END).connect()
    assert conversations(story) == [None]


def test_a_socket_connected_to_itself_is_no_pair() -> None:
    story = Story()
    end = End("127.0.0.1", 40001, "127.0.0.1", 40001)
    story.socket(end).syn().to("SYN_RECV", "ESTABLISHED")
    story.socket(end._replace(netns=OTHER_NETNS)).syn().to("SYN_RECV", "ESTABLISHED")
    assert conversations(story) == [None, None]


def test_crossing_syns_pair_two_clients() -> None:
    story = Story()
    near, far = story.socket(LOOPBACK).syn(), story.socket(LOOPBACK.other()).syn()
    near.to("SYN_RECV", "ESTABLISHED")
    far.to("SYN_RECV", "ESTABLISHED")
    assert conversations(story) == [1, 1]


def test_two_clients_at_different_times_are_no_pair() -> None:
    story = Story()
    story.socket(LOOPBACK).syn().gone(error=111)
    story.after(5)
    story.socket(LOOPBACK.other()).syn().gone(error=111)
    assert conversations(story) == [None, None]


def test_a_refused_attempt_does_not_take_the_next_ones_server() -> None:
    story = Story()
    story.socket(LOOPBACK).syn().to("CLOSE", detail=111 << 8)
    story.after(0.01)
    whole(story, LOOPBACK)
    assert conversations(story) == [None, 1, 1]


def test_the_other_ends_part_tells_ones_own() -> None:
    story = Story().lose()
    story.socket(LOOPBACK.other()).accept()
    story.after(1).socket(LOOPBACK, "ESTABLISHED").to("FIN_WAIT_1", by=CURL)
    roles = {row["local_port"]: row["role"] for row in story.connections()}
    assert roles == {80: "server", 40001: "client"}


def test_two_ends_seen_in_mid_life_are_one_conversation_of_unknown_roles() -> None:
    story = Story().after(1)
    story.socket(LOOPBACK, "ESTABLISHED").to("CLOSE_WAIT")
    story.socket(LOOPBACK.other(), "ESTABLISHED").to("FIN_WAIT_1", by=NGINX)
    rows = story.connections()
    assert [row["conversation"] for row in rows] == [1, 1]
    assert [row["role"] for row in rows] == ["unknown", "unknown"]


def test_a_dual_stack_server_and_its_ipv4_peer_are_one_conversation() -> None:
    story = Story()
    story.socket(CLIENT_END).connect()
    story.socket(End("::ffff:10.0.0.2", 80, "::ffff:10.0.0.1", 40001)).accept()
    rows = story.connections()
    assert [row["conversation"] for row in rows] == [1, 1]
    assert [row["family"] for row in rows] == [4, 4]
    assert SERVER_END.local == rows[1]["local_address"]


def test_conversations_are_counted_in_the_order_of_rows() -> None:
    story = Story()
    story.socket(CLIENT_END).connect()
    whole(story, LOOPBACK)
    whole(story, LOOPBACK6)
    assert conversations(story) == [None, 1, 1, 2, 2]
