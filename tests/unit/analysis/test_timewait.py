"""How TIME_WAIT began, how long it lived, how it ended."""

import pytest

from .scenario import (
    CLIENT_END,
    CURL,
    NGINX,
    SECOND,
    SERVER_END,
    START,
    Socket,
    Story,
    Task,
    TimeWait,
)

JIFFY = 0.004
KILLER = Task(300, "ss")


def closer(story: Story | None = None) -> Socket:
    """A client in FIN_WAIT_2 by its own close."""
    return (story or Story()).socket(CLIENT_END).connect().close(CURL)


def after_direct() -> TimeWait:
    """A timewait socket that begins in TIME_WAIT."""
    socket = closer()
    socket.story.after(0.1)
    return socket.time_wait()


def after_orphan(seconds: float = 60) -> TimeWait:
    """A timewait socket that waits for the FIN."""
    return closer().time_wait("FIN_WAIT_2", seconds=seconds)


def began(wait: TimeWait) -> float | None:
    """Seconds from the recording's start to TIME_WAIT's."""
    at = wait.story.connection()["time_wait_began"]
    return None if at is None else (at - START) / SECOND


def ended(wait: TimeWait) -> tuple[str | None, str, str | None, int | None]:
    row = wait.story.connection()
    return row["time_wait_end"], row["outcome"], row["closed_by"], row["time_wait_restarts"]


def test_an_ordinary_close_begins_time_wait_and_closes_the_connection() -> None:
    wait = after_direct()
    story = wait.story.after(60.8)
    wait.expire()
    row = story.connection()
    assert row["time_wait_s"] == pytest.approx(60.8, abs=1e-5)
    assert row["closed"] == pytest.approx(row["time_wait_began"], abs=1000)
    assert ended(wait) == ("expired", "finished", "local", 0)
    assert row["state"] == "CLOSE"
    (time_wait,) = story.time_waits()
    assert time_wait["ended"] - time_wait["began"] == round(time_wait["lived_s"] * SECOND)
    assert (time_wait["end"], time_wait["censored"], time_wait["comm"]) == (
        "expired",
        "none",
        "curl",
    )


def test_a_time_wait_still_there_at_the_end_is_open_and_its_connection_finished() -> None:
    wait = after_direct()
    story = wait.story.after(10)
    row = story.connection()
    assert ended(wait) == ("open", "finished", "local", 0)
    assert (row["state"], row["censored"]) == ("TIME_WAIT", "right")
    assert row["time_wait_s"] == pytest.approx(10, abs=1e-5)
    assert story.time_waits()[0]["censored"] == "right"
    assert story.time_waits()[0]["ended"] is None


def test_an_orphans_time_wait_begins_when_the_fin_comes() -> None:
    wait = after_orphan()
    story = wait.story.after(5)
    wait.rearm()
    story.after(60.8)
    wait.expire()
    row = story.connection()
    assert began(wait) == pytest.approx(5, abs=0.001)
    assert row["fin_wait_2_s"] == pytest.approx(5, abs=0.001)
    assert row["time_wait_s"] == pytest.approx(60.8, abs=0.001)
    assert row["closed"] == row["time_wait_began"]
    assert ended(wait) == ("expired", "finished", "local", 0)


def test_a_silent_re_arm_is_told_by_the_jiffies_left_at_the_end() -> None:
    wait = after_orphan()
    story = wait.story.after(1)
    wait.rearm(silent=True)
    story.after(60.8)
    wait.expire()
    row = story.connection()
    assert began(wait) == pytest.approx(1, abs=2 * JIFFY)
    assert row["time_wait_s"] == pytest.approx(60.8, abs=2 * JIFFY)
    assert row["fin_wait_2_s"] == pytest.approx(1, abs=2 * JIFFY)
    assert ended(wait) == ("expired", "finished", "local", 0)


def test_a_silent_beginning_never_comes_before_its_own_fin_wait_2() -> None:
    wait = after_orphan()
    wait.rearm(silent=True)
    wait.story.after(60.8)
    wait.expire()
    row = wait.story.connection()
    assert row["time_wait_began"] >= row["closed"] - 2000
    assert row["fin_wait_2_s"] >= 0


@pytest.mark.parametrize("fin_timeout", [5, 30, 58, 60])
def test_tcp_fin_timeout_does_not_change_when_time_wait_began(fin_timeout: float) -> None:
    wait = after_orphan(fin_timeout)
    wait.story.after(2)
    wait.rearm()
    wait.story.after(60.5)
    wait.expire()
    assert began(wait) == pytest.approx(2, abs=0.001)


def test_a_silent_beginning_then_a_visible_restart_is_one_restart() -> None:
    wait = after_orphan()
    story = wait.story.after(1)
    wait.rearm(silent=True)
    story.after(3)
    wait.rearm()
    story.after(60.8)
    wait.expire()
    assert began(wait) == pytest.approx(1, abs=2 * JIFFY)
    assert ended(wait) == ("expired", "finished", "local", 1)


@pytest.mark.parametrize("silent", [True, False])
def test_a_repeated_fin_restarts_time_wait(silent: bool) -> None:
    wait = after_direct()
    story = wait.story.after(0.5)
    wait.rearm(silent=silent)
    story.after(60.9)
    wait.expire()
    assert began(wait) == pytest.approx(0.1, abs=0.001)
    assert story.connection()["time_wait_s"] == pytest.approx(61.4, abs=0.001)
    assert ended(wait) == ("expired", "finished", "local", 1)


def test_restarts_seen_and_silent_add_up() -> None:
    wait = after_direct()
    for silent in (False, True, False, False, True):
        wait.story.after(1)
        wait.rearm(silent=silent)
    wait.story.after(60.8)
    wait.expire()
    assert ended(wait) == ("expired", "finished", "local", 5)


def test_an_expiry_in_fin_wait_2_is_no_time_wait_but_a_timeout() -> None:
    wait = after_orphan()
    story = wait.story.after(60.8)
    wait.expire()
    row = story.connection()
    assert ended(wait) == (None, "timed_out", "local", None)
    assert row["time_wait_s"] is row["time_wait_began"] is None
    assert row["fin_wait_2_s"] == pytest.approx(60.8, abs=0.001)
    assert row["closed"] == wait.story.rows[-1]["time"]
    assert story.time_waits() == []


def test_an_orphan_still_waiting_for_the_fin_is_open() -> None:
    wait = after_orphan()
    story = wait.story.after(20)
    wait.snapshot()
    row = story.connection()
    assert ended(wait) == (None, "open", None, None)
    assert (row["state"], row["censored"], row["closed"]) == ("FIN_WAIT_2", "right", None)
    assert row["fin_wait_2_s"] == pytest.approx(20, abs=0.001)


def test_an_orphan_nobody_asked_about_may_have_got_its_fin_unseen() -> None:
    wait = after_orphan()
    row = wait.story.after(20).connection()
    assert ended(wait) == (None, "unknown", "local", None)
    assert row["fin_wait_2_s"] is None


def test_connect_on_the_same_four_tuple_reuses_the_time_wait() -> None:
    wait = after_direct()
    story = wait.story.after(1.5)
    again = story.socket(CLIENT_END).syn()
    wait.cancel(by=CURL)
    again.to("ESTABLISHED")
    first, second = story.connections()
    assert (first["time_wait_end"], second["time_wait_end"]) == ("reused_connect", None)
    assert first["time_wait_s"] == pytest.approx(1.5, abs=0.001)
    assert (first["outcome"], second["outcome"]) == ("finished", "open")


def test_a_connect_that_got_the_four_tuple_later_did_not_end_the_time_wait() -> None:
    wait = after_direct()
    story = wait.story.after(1)
    wait.cancel(by=KILLER)
    story.after(1)
    story.socket(CLIENT_END).connect()
    assert story.connections()[0]["time_wait_end"] == "killed"


def test_a_connection_open_before_with_the_same_four_tuple_is_not_the_one_that_reused() -> None:
    wait = after_direct()
    story = wait.story
    story.after(1)
    other = story.socket(CLIENT_END._replace(local_port=40002)).syn()
    wait.cancel(by=KILLER)
    other.to("ESTABLISHED")
    assert story.connections()[0]["time_wait_end"] == "killed"


def server_wait() -> TimeWait:
    socket = Story().socket(SERVER_END).accept().close(NGINX)
    return socket.time_wait()


def test_an_incoming_syn_reuses_the_time_wait() -> None:
    wait = server_wait()
    story = wait.story.after(1)
    wait.cancel()
    wait.reused_by_syn()
    story.after(0.5)  # a slow handshake: the witness is what tells
    story.socket(SERVER_END).accept()
    first, second = story.connections()
    assert (first["time_wait_end"], second["time_wait_end"]) == ("reused_syn", None)
    assert first["time_wait_s"] == pytest.approx(1, abs=0.001)


def test_the_witness_is_enough_without_a_new_connection() -> None:
    wait = server_wait()
    wait.story.after(1)
    wait.cancel()
    wait.reused_by_syn()
    wait.story.after(200)
    assert ended(wait)[0] == "reused_syn"


def test_a_child_right_behind_tells_of_a_syn_that_got_a_cookie() -> None:
    wait = server_wait()
    wait.story.after(1)
    wait.cancel()
    wait.story.after(us=500)
    wait.story.socket(SERVER_END).accept()
    assert wait.story.connections()[0]["time_wait_end"] == "reused_syn"


def test_a_child_a_little_later_leaves_the_end_unknown() -> None:
    wait = server_wait()
    wait.story.after(1)
    wait.cancel()
    wait.story.after(0.05)
    wait.story.socket(SERVER_END).accept()
    first = wait.story.connections()[0]
    assert (first["time_wait_end"], first["outcome"]) == (None, "finished")
    assert wait.story.time_waits()[0]["end"] is None


def test_a_child_much_later_has_nothing_to_do_with_it() -> None:
    wait = server_wait()
    wait.story.after(1)
    wait.cancel()
    wait.story.after(5)
    wait.story.socket(SERVER_END).accept()
    assert wait.story.connections()[0]["time_wait_end"] == "killed"


def test_data_after_close_resets_an_orphan_in_fin_wait_2() -> None:
    wait = after_orphan()
    wait.story.after(1)
    wait.reset_sent()
    wait.cancel()
    row = wait.story.connection()
    assert ended(wait) == ("reset", "reset", "local", None)
    assert row["time_wait_began"] is row["time_wait_s"] is None
    assert row["fin_wait_2_s"] == pytest.approx(1, abs=0.001)
    assert wait.story.time_waits() == []


def test_a_reset_sent_in_time_wait_ended_it() -> None:
    wait = after_direct()
    wait.story.after(1)
    wait.reset_sent()
    wait.cancel()
    assert ended(wait) == ("reset", "finished", "local", 0)


def test_a_cancel_alone_is_a_kill() -> None:
    wait = after_direct()
    wait.story.after(1)
    wait.cancel(by=KILLER)
    assert ended(wait) == ("killed", "finished", "local", 0)


def test_an_orphan_killed_in_fin_wait_2_has_no_known_outcome() -> None:
    wait = after_orphan()
    wait.story.after(1)
    wait.cancel(by=KILLER)
    assert ended(wait) == ("killed", "unknown", "local", None)


def test_where_its_resets_are_not_told_nothing_says_what_ended_an_orphan() -> None:
    wait = after_orphan()
    wait.story.lacks.append("timewait_resets")
    wait.story.after(1)
    wait.cancel(by=KILLER)
    assert ended(wait) == (None, "unknown", "local", None)


def test_where_its_resets_are_not_told_a_time_wait_is_killed_all_the_same() -> None:
    wait = after_direct()
    wait.story.lacks.append("timewait_resets")
    wait.story.after(1)
    wait.cancel(by=KILLER)
    assert ended(wait) == ("killed", "finished", "local", 0)


def test_without_a_timer_the_time_wait_was_skipped() -> None:
    story = Story()
    closer(story).gone(fin=True)
    row = story.connection()
    assert (row["time_wait_end"], row["outcome"], row["closed_by"]) == (
        "skipped",
        "finished",
        "local",
    )
    assert row["time_wait_s"] is row["time_wait_began"] is row["time_wait_restarts"] is None
    assert story.time_waits() == []


def test_without_a_timer_after_closing_the_time_wait_was_skipped() -> None:
    story = Story()
    socket = story.socket(CLIENT_END).connect().to("FIN_WAIT_1", by=CURL)
    socket.to("CLOSING").gone(fin=True)
    row = story.connection()
    assert (row["time_wait_end"], row["closed_by"]) == ("skipped", "both")


def test_a_reset_in_fin_wait_2_skips_no_time_wait() -> None:
    story = Story()
    closer(story).reset_received().gone(error=104)
    assert story.connection()["time_wait_end"] is None


def test_nothing_is_skipped_where_the_timers_were_not_watched() -> None:
    story = Story(timers=False)
    closer(story).gone(fin=True)
    row = story.connection()
    assert (row["time_wait_end"], row["outcome"]) == (None, "finished")
    assert row["time_wait_s"] is None


def test_nothing_is_skipped_where_events_were_lost() -> None:
    story = Story().lose()
    closer(story).gone(fin=True)
    assert story.connection()["time_wait_end"] is None


def test_the_passive_side_has_no_time_wait() -> None:
    story = Story()
    story.socket(SERVER_END).accept().closed_by_peer(NGINX)
    row = story.connection()
    assert row["time_wait_end"] is row["time_wait_s"] is None


def test_a_timewait_sockets_address_used_at_once_by_another_four_tuple() -> None:
    wait = after_direct()
    story = wait.story.after(60.8)
    wait.expire()
    other = CLIENT_END._replace(local_port=40002)
    second = story.socket(other).connect().close(CURL)
    TimeWait(story, other, wait.address, "TIME_WAIT", 0).start()
    second.gone(fin=True)
    story.after(1)
    assert [row["time_wait_end"] for row in story.connections()] == ["expired", "open"]


def test_a_timewait_sockets_address_used_at_once_by_the_same_four_tuple() -> None:
    wait = after_direct()
    story = wait.story.after(1)
    again = story.socket(CLIENT_END).syn()
    wait.cancel(by=CURL)
    again.to("ESTABLISHED").close(CURL)
    TimeWait(story, CLIENT_END, wait.address, "TIME_WAIT", 0).start()
    again.gone(fin=True)
    story.after(60.8)
    first, second = story.connections()
    assert (first["time_wait_end"], second["time_wait_end"]) == ("reused_connect", "open")
    assert first["time_wait_s"] == pytest.approx(1, abs=0.001)
    assert second["time_wait_s"] == pytest.approx(60.8, abs=0.001)


def test_a_full_socket_at_a_timewait_sockets_address_is_another() -> None:
    wait = after_direct()
    wait.story.after(60.8)
    wait.expire()
    other = wait.story.socket(SERVER_END, "ESTABLISHED", wait.address)
    other.reset_sent().gone(error=110)
    assert {row["outcome"] for row in wait.story.connections()} == {"finished", "timed_out"}


def older(left: float = 30, substate: str = "TIME_WAIT") -> TimeWait:
    story = Story()
    wait = story.timewait(CLIENT_END, substate, left=left)
    story.after(left)
    return wait


def test_a_time_wait_older_than_the_recording_is_left_censored() -> None:
    wait = older(left=30)
    wait.expire()
    row = wait.story.connection()
    assert ended(wait) == ("expired", "finished", None, 0)
    assert row["time_wait_began"] is row["opened"] is row["closed"] is None
    assert row["censored"] == "left"
    assert row["time_wait_s"] == pytest.approx(60, abs=2 * JIFFY)  # its timer tells
    (time_wait,) = wait.story.time_waits()
    assert (time_wait["began"], time_wait["censored"]) == (None, "left")
    assert time_wait["lived_s"] == row["time_wait_s"]


def test_a_killed_time_wait_older_than_the_recording_lived_since_its_timer_was_armed() -> None:
    wait = older(left=30)
    wait.story.now -= 10 * SECOND
    wait.cancel(by=KILLER)
    assert wait.story.connection()["time_wait_s"] == pytest.approx(50, abs=2 * JIFFY)


def test_an_older_time_wait_that_is_restarted_lived_at_least_from_there() -> None:
    # Cancel and start: a restart, or the FIN that an orphan was waiting for.
    wait = older(left=30)
    wait.rearm()
    story = wait.story.after(2)
    wait.rearm()
    story.after(60.8)
    wait.expire()
    row = story.connection()
    assert row["time_wait_s"] == pytest.approx(62.8, abs=0.001)
    assert ended(wait) == ("expired", "finished", None, 1)


def test_a_timer_already_due_in_a_snapshot_is_no_restart() -> None:
    # The timer wheel runs it up to seconds late; the kernel says 0 s left meanwhile.
    story = Story()
    story.existing(CLIENT_END, "TIME_WAIT", left=6)
    story.after(7.5)
    story.existing(CLIENT_END, "TIME_WAIT", left=0)
    (time_wait,) = story.time_waits()
    assert time_wait["restarts"] == 0


def test_an_older_orphan_that_expires_in_fin_wait_2_timed_out() -> None:
    wait = older(left=30, substate="FIN_WAIT_2")
    wait.expire()
    row = wait.story.connection()
    assert ended(wait) == (None, "timed_out", "local", None)
    assert row["fin_wait_2_s"] == pytest.approx(30, abs=0.001)
    assert row["closed"] is not None


def test_an_older_orphan_that_gets_data_is_reset() -> None:
    wait = older(left=30, substate="FIN_WAIT_2")
    wait.reset_sent()
    wait.cancel()
    assert ended(wait) == ("reset", "reset", "local", None)


def test_hz_is_learnt_from_a_time_waits_own_start() -> None:
    story = Story(hz=1000)
    wait = closer(story).time_wait()
    orphan = story.socket(CLIENT_END._replace(local_port=40002)).connect().close(CURL)
    late = orphan.time_wait("FIN_WAIT_2")
    story.after(1)
    late.rearm(silent=True)
    story.after(60.8)
    late.expire()
    wait.expire()
    table = story.table
    story.hz = None
    from tcptrace.analysis.connections import build_tables

    row = build_tables(table, story.header, story.observed).connections.iloc[1]
    assert row["time_wait_s"] == pytest.approx(60.8, abs=0.003)


def test_where_hz_is_unknown_a_silent_beginning_is_too() -> None:
    wait = after_orphan()
    story = wait.story.after(1)
    wait.rearm(silent=True)
    story.after(60.8)
    wait.expire()
    story.hz = None
    row = story.connection()
    assert (row["time_wait_end"], row["time_wait_began"]) == ("expired", None)
    assert row["fin_wait_2_s"] is None
    assert story.time_waits()[0]["lived_s"] == pytest.approx(0, abs=1e-5)  # a lower bound


def test_a_cancel_is_another_time_waits_where_the_start_in_between_was_lost() -> None:
    wait = after_direct()
    story = wait.story.after(1)
    wait.cancel(by=KILLER)
    story.after(5).lose()
    wait.cancel(by=KILLER)
    first, second = story.connections()
    assert (first["time_wait_end"], second["time_wait_end"]) == ("killed", "killed")
    assert second["censored"] == "left"


def test_a_start_long_after_a_cancel_is_another_time_wait() -> None:
    wait = after_direct()
    story = wait.story.after(1)
    wait.cancel(by=KILLER)
    story.after(5).lose()
    wait.start()
    story.after(1)
    first, second = story.connections()
    assert (first["time_wait_end"], second["time_wait_end"]) == ("killed", "open")


def test_an_expiry_long_after_a_cancel_is_another_time_waits() -> None:
    wait = after_direct()
    story = wait.story.after(1)
    wait.cancel(by=KILLER)
    story.after(5).lose()
    story.emit("timewait_expire", wait.address, "TIME_WAIT", "TIME_WAIT", CLIENT_END)
    first, second = story.connections()
    assert (first["time_wait_end"], second["time_wait_end"]) == ("killed", "expired")
    assert first["time_wait_s"] == pytest.approx(1, abs=0.001)


def test_the_timers_start_ends_the_socket_where_its_close_was_lost() -> None:
    story = Story()
    closer(story)
    story.after(2).lose()
    wait = TimeWait(story, CLIENT_END, story.new_address(), "TIME_WAIT", 0).start()
    story.after(60.8)
    wait.expire()
    row = story.connection()
    assert ended(wait) == ("expired", "finished", "local", 0)
    assert row["state"] == "CLOSE"
    assert row["fin_wait_2_s"] == pytest.approx(2, abs=0.001)
    assert row["closed"] == row["time_wait_began"]


def test_a_time_wait_goes_with_the_connection_that_closes_next() -> None:
    # Two connections of one four-tuple whose births were lost.
    story = Story().lose()
    first = story.socket(CLIENT_END, "FIN_WAIT_1").to("FIN_WAIT_2")
    wait = first.time_wait()
    story.after(1)
    wait.cancel(by=KILLER)
    story.after(5)
    second = story.socket(CLIENT_END, "FIN_WAIT_1").to("FIN_WAIT_2")
    second.time_wait()
    story.after(3)
    rows = story.connections()
    assert [row["time_wait_end"] for row in rows] == ["killed", "open"]
    assert [row["time_wait_s"] for row in rows] == pytest.approx([1, 3], abs=0.001)


def test_a_witness_alone_makes_no_connection() -> None:
    story = Story()
    story.timewait(SERVER_END).reused_by_syn()
    assert story.connections() == []


def test_after_settling_time_waits_go_on() -> None:
    wait = after_direct()
    story = wait.story
    story.settling = story.now
    story.after(60.8)
    wait.expire()
    assert ended(wait) == ("expired", "finished", "local", 0)


def test_seconds_in_all_states_add_up_to_the_connections_life() -> None:
    wait = after_orphan()
    story = wait.story.after(3)
    wait.rearm()
    story.after(60.8)
    wait.expire()
    row = story.connection()
    names = [name for name in row if name.endswith("_s") and name != "time_wait_s"]
    total = sum(row[name] or 0 for name in names)
    assert total == pytest.approx((row["closed"] - row["opened"]) / SECOND)
    assert row["time_wait_s"] == pytest.approx(
        (story.rows[-1]["time"] - row["closed"]) / SECOND, abs=1e-9
    )
