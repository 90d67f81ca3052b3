"""What sock_diag told at the recording's start and end."""

import pytest

from .scenario import CLIENT_END, CURL, NGINX, SECOND, SERVER_END, Story, TimeWait

JIFFY = 0.004


def test_a_snapshot_tells_the_owner_of_an_accepted_open_socket() -> None:
    story = Story()
    story.socket(SERVER_END).accept()
    assert story.connection()["pid"] is None
    story.after(2).existing(SERVER_END, "ESTABLISHED", by=NGINX)
    row = story.connection()
    assert (row["pid"], row["comm"], row["cgroup"]) == (200, "nginx", 22)
    assert (row["outcome"], row["role"], row["censored"]) == ("open", "server", "right")


def test_what_a_system_call_told_goes_before_a_snapshot() -> None:
    story = Story()
    story.socket(CLIENT_END).connect(by=CURL)
    story.existing(CLIENT_END, "ESTABLISHED", by=NGINX)
    assert story.connection()["comm"] == "curl"


def test_a_snapshot_that_found_no_owner_takes_none_away() -> None:
    story = Story()
    story.socket(SERVER_END).accept()
    story.existing(SERVER_END, "ESTABLISHED", by=NGINX)
    story.existing(SERVER_END, "ESTABLISHED")
    assert story.connection()["comm"] == "nginx"


def test_a_snapshot_of_a_connection_seen_in_mid_life_is_that_connections() -> None:
    story = Story()
    story.existing(SERVER_END, "ESTABLISHED", by=NGINX)
    story.after(2)
    story.socket(SERVER_END, "ESTABLISHED").to("CLOSE_WAIT")
    row = story.connection()
    assert (row["comm"], row["state"], row["censored"]) == ("nginx", "CLOSE_WAIT", "both")


def test_an_idle_connection_is_open_and_censored_on_both_sides() -> None:
    story = Story().after(1)
    story.existing(CLIENT_END, "ESTABLISHED", by=CURL)
    story.after(4).existing(CLIENT_END, "ESTABLISHED", by=CURL)
    row = story.connection()
    assert (row["outcome"], row["state"], row["censored"]) == ("open", "ESTABLISHED", "both")
    assert (row["comm"], row["role"], row["local_port"]) == ("curl", "unknown", 40001)
    assert row["opened"] is row["closed"] is row["closed_by"] is None
    # No transition, so it was in this state from the recording's start.
    assert row["established_s"] == pytest.approx(5, abs=1e-5)
    assert row["close_wait_s"] is None


def test_a_leaked_close_wait_without_any_event_is_seen() -> None:
    story = Story()
    story.existing(SERVER_END, "CLOSE_WAIT", by=NGINX)
    story.after(30)
    row = story.connection()
    assert (row["state"], row["outcome"]) == ("CLOSE_WAIT", "open")
    assert row["close_wait_s"] == pytest.approx(30, abs=1e-5)


def test_where_events_were_lost_an_idle_connection_is_known_from_its_snapshot_on() -> None:
    story = Story().lose().after(2)
    story.existing(CLIENT_END, "ESTABLISHED", by=CURL)
    story.after(3)
    row = story.connection()
    assert (row["outcome"], row["established_s"]) == ("open", pytest.approx(3, abs=1e-5))


def test_an_idle_connection_not_seen_since_events_were_lost_may_be_gone() -> None:
    story = Story()
    story.existing(CLIENT_END, "ESTABLISHED", by=CURL)
    story.after(2).lose()
    row = story.connection()
    assert (row["outcome"], row["established_s"], row["state"]) == ("unknown", None, "ESTABLISHED")


def test_both_ends_of_an_idle_connection_are_one_conversation() -> None:
    story = Story()
    story.existing(CLIENT_END, "ESTABLISHED", by=CURL)
    story.existing(SERVER_END, "ESTABLISHED", by=NGINX)
    assert [row["conversation"] for row in story.connections()] == [1, 1]


def test_listeners_in_a_snapshot_are_no_connections() -> None:
    story = Story()
    story.existing(SERVER_END._replace(remote="0.0.0.0", remote_port=0), "LISTEN", by=NGINX)
    assert story.connections() == []


def test_a_row_written_just_after_the_close_it_had_not_seen_makes_no_connection() -> None:
    # The kernel tells a buffer in advance.
    story = Story()
    story.socket(SERVER_END).accept().closed_by_peer(NGINX)
    story.after(0.01).existing(SERVER_END, "ESTABLISHED", by=NGINX)
    row = story.connection()
    assert row["outcome"] == "finished"


def test_a_row_long_after_the_close_is_another_connection() -> None:
    story = Story()
    story.socket(SERVER_END).accept().closed_by_peer(NGINX)
    story.after(5).lose().existing(SERVER_END, "ESTABLISHED", by=NGINX)
    assert [row["outcome"] for row in story.connections()] == ["finished", "open"]


def test_a_silent_time_wait_older_than_the_recording_is_found() -> None:
    story = Story()
    story.timewait(CLIENT_END, left=50).snapshot()
    story.after(20)
    row = story.connection()
    assert (row["time_wait_end"], row["outcome"], row["state"]) == ("open", "finished", "TIME_WAIT")
    assert row["censored"] == "both"
    assert row["time_wait_s"] == pytest.approx(30, abs=2 * JIFFY)
    (time_wait,) = story.time_waits()
    assert (time_wait["began"], time_wait["ended"], time_wait["censored"]) == (None, None, "both")


def test_a_time_wait_found_by_two_snapshots_and_its_end_is_one() -> None:
    story = Story()
    wait = story.timewait(CLIENT_END, left=50)
    wait.snapshot()
    story.after(20)
    wait.snapshot()
    story.after(30.5)
    wait.expire()
    row = story.connection()
    assert (row["time_wait_end"], row["time_wait_restarts"], row["censored"]) == (
        "expired",
        0,
        "left",
    )
    assert row["time_wait_s"] == pytest.approx(60.5, abs=2 * JIFFY)


def test_a_silent_restart_is_told_once_by_snapshot_and_end() -> None:
    story = Story()
    wait = story.timewait(CLIENT_END, left=50)
    wait.snapshot()
    story.after(2)
    wait.rearm(silent=True)
    story.after(2)
    wait.snapshot()
    assert story.connection()["time_wait_restarts"] == 1
    story.after(58.5)
    wait.expire()
    assert story.connection()["time_wait_restarts"] == 1


def test_a_row_a_little_older_than_it_says_tells_of_no_restart() -> None:
    story = Story()
    wait = story.socket(CLIENT_END).connect().close(CURL).time_wait()
    story.after(5)
    wait.snapshot()
    # The kernel was kept from its work between looking and answering.
    story.rows[-1]["time"] += SECOND // 20
    story.after(56)
    wait.expire()
    row = story.connection()
    assert (row["time_wait_end"], row["time_wait_restarts"]) == ("expired", 0)


def test_a_silent_beginning_is_told_by_a_snapshot() -> None:
    story = Story()
    wait = story.socket(CLIENT_END).connect().close(CURL).time_wait("FIN_WAIT_2")
    story.after(1)
    wait.rearm(silent=True)
    story.after(5)
    wait.snapshot()
    row = story.connection()
    assert row["time_wait_began"] == pytest.approx(row["closed"], abs=1000)
    assert (row["time_wait_end"], row["time_wait_s"]) == ("open", pytest.approx(5, abs=2 * JIFFY))
    assert row["fin_wait_2_s"] == pytest.approx(1, abs=2 * JIFFY)


def test_an_older_orphan_seen_in_fin_wait_2_begins_time_wait_when_its_fin_comes() -> None:
    story = Story().after(1)
    wait = story.timewait(CLIENT_END, "FIN_WAIT_2", left=50)
    wait.snapshot()
    story.after(3)
    wait.rearm()
    story.after(2)
    row = story.connection()
    assert row["time_wait_s"] == pytest.approx(2, abs=0.001)
    assert row["fin_wait_2_s"] == pytest.approx(4, abs=0.001)
    assert (row["closed_by"], row["time_wait_restarts"]) == ("local", 0)
    assert story.time_waits()[0]["censored"] == "right"


def test_a_time_wait_row_written_just_after_its_end_is_stale() -> None:
    story = Story()
    wait = story.timewait(CLIENT_END, left=5)
    story.after(5.3)
    wait.expire()
    story.after(0.01)
    wait.snapshot()
    assert story.connection()["time_wait_end"] == "expired"


def test_without_timers_a_snapshots_time_wait_makes_no_second_connection() -> None:
    story = Story(timers=False)
    story.socket(CLIENT_END).connect().close(CURL).gone(fin=True)
    story.after(1).existing(CLIENT_END, "TIME_WAIT", left=59)
    row = story.connection()
    assert (row["outcome"], row["time_wait_end"], row["time_wait_s"]) == ("finished", None, None)


def test_without_timers_the_end_of_a_snapshots_time_wait_is_unknown() -> None:
    story = Story(timers=False)
    story.existing(CLIENT_END, "TIME_WAIT", left=40)
    story.after(300)
    row = story.connection()
    assert (row["time_wait_end"], row["censored"]) == (None, "both")
    assert row["time_wait_s"] == pytest.approx(20, abs=2 * JIFFY)
    assert story.time_waits()[0]["ended"] is None


def test_without_hz_a_snapshots_time_wait_is_still_one() -> None:
    story = Story(hz=None)
    story.timewait(CLIENT_END).snapshot()
    story.after(3)
    row = story.connection()
    assert (row["time_wait_end"], row["outcome"]) == ("open", "finished")
    assert row["time_wait_s"] == pytest.approx(3, abs=1e-5)
    assert row["established_s"] is None


def test_rows_of_a_snapshot_may_stand_after_later_events() -> None:
    story = Story()
    wait = story.timewait(CLIENT_END, left=50)
    wait.snapshot()
    late = story.rows.pop()
    story.after(50.5)
    wait.expire()
    story.rows.append(late)
    row = story.connection()
    assert (row["time_wait_end"], row["time_wait_s"]) == (
        "expired",
        pytest.approx(60.5, abs=2 * JIFFY),
    )


def test_a_time_wait_not_seen_since_events_were_lost_is_a_lower_bound() -> None:
    story = Story()
    socket = story.socket(CLIENT_END).connect().close(CURL)
    wait = socket.time_wait()
    story.after(4)
    wait.snapshot()
    story.after(300).lose()
    row = story.connection()
    assert (row["time_wait_end"], row["censored"]) == (None, "right")
    assert row["time_wait_s"] == pytest.approx(4, abs=0.001)
    (time_wait,) = story.time_waits()
    assert (time_wait["ended"], time_wait["censored"]) == (None, "right")


def test_nothing_of_a_snapshot_while_settling_is_a_connection_of_its_own() -> None:
    story = Story()
    story.settling = story.now
    story.after(5)
    story.existing(CLIENT_END, "ESTABLISHED", by=CURL)
    story.after(SECOND / SECOND)
    assert story.connections() == []


def test_a_timewait_socket_in_mid_air_keeps_its_own_four_tuple() -> None:
    story = Story()
    first = story.timewait(CLIENT_END, left=20)
    second = TimeWait(story, CLIENT_END._replace(local_port=40002), 9, "TIME_WAIT", first.expires)
    first.snapshot()
    second.snapshot()
    story.after(20.4)
    first.expire()
    second.expire()
    assert [row["local_port"] for row in story.connections()] == [40001, 40002]
