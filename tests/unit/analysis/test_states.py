import pytest

from tcptrace.analysis.states import dwell, time_wait_survival

from .tables import CLIENT, SERVER, view

OPEN_WAIT = {
    **CLIENT,
    "time_wait_began": 50.0,
    "time_wait_s": 25.0,
    "time_wait_end": "open",
    "censored": "right",
}


def states(*rows):
    seen = view(*rows)
    return dwell(seen)


def test_only_visited_states_are_told():
    assert list(states(SERVER)) == ["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"]


def test_the_state_an_open_connection_is_in_is_a_lower_bound():
    leak = {**SERVER, "outcome": "open", "state": "CLOSE_WAIT", "close_wait_s": 70.0}
    found = states(leak)
    assert found["CLOSE_WAIT"].ended == 0
    assert found["ESTABLISHED"].ended == 1


def test_the_first_state_of_an_older_connection_is_a_lower_bound():
    older = {**CLIENT, "syn_sent_s": None, "censored": "left"}
    found = states(older)
    assert found["ESTABLISHED"].ended == 0
    assert found["FIN_WAIT_1"].ended == 1


def test_open_time_waits_are_at_least_as_long():
    seen = view(CLIENT, OPEN_WAIT, OPEN_WAIT)
    found = time_wait_survival(seen)
    assert (found.count, found.ended) == (3, 1)
    assert found.quantile(0.5) == pytest.approx(60.8)


def test_a_time_wait_older_than_the_recording_counts_from_its_start():
    # It ended 30.8 s in; had it ended before the recording it would not be there.
    early = {**CLIENT, "time_wait_began": 1.0, "time_wait_s": 2.0}
    older = {**CLIENT, "time_wait_began": -30.0, "time_wait_s": 60.8}
    seen = view(early, CLIENT, older, older)
    found = time_wait_survival(seen)
    assert found.alive[found.times == 2.0] == pytest.approx(0.5)
