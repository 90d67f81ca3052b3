"""Ports are held by connections, and by their TIME_WAITs after them."""

from tcptrace.analysis.filters import Filters
from tcptrace.analysis.ports_in_use import ports_in_use

from .tables import CLIENT, SERVER, view

#: Opened while the TIME_WAIT of CLIENT (1.0 to 61.8 s) goes on, and after it.
MEANWHILE = {**CLIENT, "local_port": 40002, "opened": 30.0, "closed": 31.0, "time_wait_began": 31.0}
AFTERWARDS = {**MEANWHILE, "opened": 70.0, "closed": 71.0, "time_wait_began": 71.0}
ELSEWHERE = {**MEANWHILE, "remote_address": "10.0.0.3"}


def peaks(*rows, **about):
    table = ports_in_use(view(*rows, **about))
    return dict(zip(table["remote_address"].astype(str), table["peak"], strict=True))


def test_a_port_is_held_until_its_time_wait_ends():
    assert peaks(SERVER, CLIENT, MEANWHILE) == {"10.0.0.2": 2}
    assert peaks(CLIENT, SERVER, AFTERWARDS) == {"10.0.0.2": 1}


def test_without_a_time_wait_it_is_free_when_the_connection_closes():
    passive = {**CLIENT, "time_wait_began": None, "time_wait_s": None, "time_wait_end": None}
    assert peaks(passive, MEANWHILE) == {"10.0.0.2": 1}


def test_filters_leave_each_time_wait_with_its_own_connection():
    hidden = {**CLIENT, "comm": "wget", "local_port": 40003}
    seen = peaks(hidden, CLIENT, ELSEWHERE, MEANWHILE, filters=Filters(comm=("curl",)))
    assert seen == {"10.0.0.2": 2, "10.0.0.3": 1}
