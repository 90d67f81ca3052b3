"""Ladders, to the letter."""

from tcptrace.analysis.ladder import Arrow, StateChange, ladder

US, MS, S = 1_000, 1_000_000, 1_000_000_000


def test_states_and_segments_stand_in_the_order_of_time() -> None:
    changes = [
        StateChange(0, "left", "SYN_SENT"),
        StateChange(200 * US, "left", "ESTABLISHED"),
        StateChange(300 * US, "right", "ESTABLISHED"),
    ]
    arrows = [
        Arrow(10 * US, "left", "SYN"),
        Arrow(100 * US, "right", "SYN,ACK ack=1"),
        Arrow(210 * US, "left", "ACK ack=1"),
    ]
    assert ladder("client", "server", changes, arrows) == [
        "    seconds      client                                             server",
        "   0.000000    SYN_SENT |                                         |",
        "   0.000010             | --- SYN ------------------------------> |",
        "   0.000100             | <-------------------- SYN,ACK ack=1 --- |",
        "   0.000200 ESTABLISHED |                                         |",
        "   0.000210             | --- ACK ack=1 ------------------------> |",
        "   0.000300             |                                         | ESTABLISHED",
    ]


def test_what_happened_to_a_segment_is_drawn() -> None:
    arrows = [
        Arrow(0, "left", "ACK ack=2", "lost"),
        Arrow(1 * MS, "right", "14 bytes seq=1", "late", arrived=2 * MS),
        Arrow(3 * MS, "right", "14 bytes seq=1", "duplicate"),
        Arrow(4 * MS, "right", "RST seq=15", "forged"),
        Arrow(5 * MS, "left", "FIN seq=1", "late"),
    ]
    assert ladder("client", "server", [], arrows)[1:] == [
        "   0.000000             | --- ACK ack=2 -------------------X      |",
        "   0.001000             |    ...-------------- 14 bytes seq=1 --- |",
        "   0.002000             | <--------- 14 bytes seq=1 (late) ...    |",
        "   0.003000             | <------- 14 bytes seq=1 (duplicate) --- |",
        "   0.004000             | <-------------- RST seq=15 (forged) --- |",
        "   0.005000             | --- FIN seq=1 -------------------...    |",
    ]


def test_a_dwell_time_stands_where_it_ends_and_a_long_pause_is_marked() -> None:
    changes = [
        StateChange(0, "left", "TIME_WAIT"),
        StateChange(2 * S, "left", "TIME_WAIT", "starts anew"),
        StateChange(63 * S, "left", "CLOSE"),
        StateChange(63 * S + 5 * MS, "right", "LAST_ACK"),
        StateChange(63 * S + 17 * MS, "right", "CLOSE"),
    ]
    assert ladder("client", "server", changes)[1:] == [
        "   0.000000   TIME_WAIT |                                         |",
        "                      : |                                         | :",
        "   2.000000   TIME_WAIT | TIME_WAIT 2.000 s: starts anew          |",
        "                      : |                                         | :",
        "  63.000000       CLOSE | TIME_WAIT 61.000 s                      |",
        "  63.005000             |                                         | LAST_ACK",
        "  63.017000             |                        LAST_ACK 12.0 ms | CLOSE",
    ]


def test_time_in_close_is_not_called_a_dwell() -> None:
    changes = [StateChange(0, "left", "CLOSE"), StateChange(S, "left", "SYN_SENT")]
    assert "CLOSE 1" not in "\n".join(ladder("client", "server", changes))


def test_one_recorded_end_is_drawn_alone() -> None:
    lines = ladder("client", None, [StateChange(0, "left", "SYN_SENT")])
    assert lines[0] == "    seconds      client"


def test_no_line_is_wider_than_asked_and_no_number_is_cut_in_half() -> None:
    text = "FIN,ACK seq=20971521 ack=20971521"
    arrows = [Arrow(0, "left", text, "late", 1), Arrow(2, "right", text, "forged")]
    for width in (60, 80, 100):
        lines = ladder("client", "server", [], arrows, width=width)
        assert max(map(len, lines)) <= width
        words = {word for line in lines[1:] for word in line.split() if "=" in word}
        assert words <= {"seq=20971521", "ack=20971521"}


def test_of_many_segments_in_a_row_the_middle_is_counted() -> None:
    arrows = [Arrow(one, "left", f"seq={one}") for one in range(1_240)]
    lines = ladder("client", "server", [], arrows, most=4)
    assert len(lines) == 6
    assert "(1,236 more segments)" in lines[3]
    assert "seq=1239" in lines[-1]


def test_nothing_happened_draws_nothing() -> None:
    assert ladder("client", "server", []) == []
