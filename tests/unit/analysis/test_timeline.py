"""Ladders to the letter."""

from tcptrace.analysis.findings.cases import CASES
from tcptrace.analysis.steps import steps
from tcptrace.analysis.timeline import count_connections, ladders
from tcptrace.analysis.values import rows

from .tables import CLIENT, SERVER, START, connections, view

PAIR = ({**CLIENT, "conversation": 0}, {**SERVER, "conversation": 0})
OLDER = {**CLIENT, "opened": None, "established": None, "syn_sent_s": None, "censored": "left"}
OPEN_WAIT = {
    **CLIENT,
    "time_wait_began": 50.0,
    "time_wait_s": 25.0,
    "time_wait_end": "open",
    "censored": "right",
}


def drawn(*table, most=10):
    seen = view(*table)
    return list(ladders(seen, seen.connections, most))


def test_both_ends_are_drawn_side_by_side():
    (found,) = drawn(*PAIR)
    assert found.title == [
        "#0 client curl[100] 10.0.0.1:40001 -> 10.0.0.2:80: finished, closed by this end, "
        "TIME_WAIT expired after 60.8 s",
        "#1 server nginx[200] 10.0.0.2:80 -> 10.0.0.1:40001: finished, closed by the other end",
    ]
    assert "\n".join(found.lines) == LADDER.strip("\n")


def test_an_end_of_unknown_partner_stands_alone():
    (found,) = drawn(CLIENT)
    assert len(found.title) == 1
    assert "server" not in found.lines[0]


def test_what_still_goes_on_is_said_to():
    (found,) = drawn(OPEN_WAIT)
    assert found.lines[-1].startswith("  75.000000             | TIME_WAIT 25.000 s: goes on")


def test_what_was_there_before_is_said_to_have_been():
    (found,) = drawn(OLDER)
    assert "ESTABLISHED | since before the recording" in found.lines[1]


def test_only_so_many_are_drawn_and_pairs_count_once():
    rows_ = [{**end, "conversation": place} for place in range(5) for end in (CLIENT, SERVER)]
    assert len(drawn(*rows_, CLIENT, most=3)) == 3
    assert count_connections(connections(*rows_, CLIENT)) == 6


def test_the_title_says_why_it_failed():
    (found,) = drawn({**CLIENT, "outcome": "refused", "error": "ECONNREFUSED"})
    assert ": refused (ECONNREFUSED), closed by this end" in found.title[0]


def test_no_line_is_wider_than_a_terminal():
    assert all(len(line) <= 80 for found in drawn(*PAIR, OPEN_WAIT, OLDER) for line in found.lines)


def test_steps_follow_each_other_and_end_when_it_closed():
    (row,) = rows(connections(SERVER))
    found = steps(row, START)
    assert [step.state for step in found] == [
        "SYN_RECV",
        "ESTABLISHED",
        "CLOSE_WAIT",
        "LAST_ACK",
        "CLOSED",
    ]
    assert not any(step.bound for step in found)


def test_steps_of_unseen_ends_are_lower_bounds():
    (older,) = rows(connections(OLDER))
    (going,) = rows(connections(OPEN_WAIT))
    assert [step.bound for step in steps(older, START)][:2] == [True, False]
    assert steps(going, START)[-1].goes_on


def test_every_case_is_a_mask_over_any_table():
    table = connections(*PAIR, OPEN_WAIT, OLDER)
    for mask in CASES.values():
        assert mask(table).astype(bool).index.equals(table.index)


LADDER = """
    seconds      client                                             server
   0.000000    SYN_SENT |                                         |
   0.000500             |                                         | SYN_RECV
   0.001000 ESTABLISHED | SYN_SENT 1.0 ms                         |
   0.001000             |                                         | ESTABLISHED
   0.901000  FIN_WAIT_1 | ESTABLISHED 900.0 ms                    |
   0.901000             |                    ESTABLISHED 900.0 ms | CLOSE_WAIT
   0.901500  FIN_WAIT_2 |                                         |
   0.999000             |                      CLOSE_WAIT 98.0 ms | LAST_ACK
   0.999500             |                                         | CLOSE
   1.000000   TIME_WAIT | FIN_WAIT_2 98.5 ms                      |
                      : |                                         | :
  61.800000       CLOSE | TIME_WAIT 60.800 s                      |
"""
