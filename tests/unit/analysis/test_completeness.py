import pandas as pd
import pytest

from tcptrace.analysis.completeness import completeness
from tcptrace.analysis.filters import Filters

from .tables import CLIENT, HEADER, SERVER, at, view

NETNS = CLIENT["netns"]
BEFORE = {
    "Tcp": {"ActiveOpens": 100, "PassiveOpens": 50, "EstabResets": 1},
    "TcpExt": {"TW": 10, "TWKilled": 5, "TWRecycled": 0, "TCPTimeWaitOverflow": 7},
}
AFTER = {
    "Tcp": {"ActiveOpens": 101, "PassiveOpens": 51, "EstabResets": 1},
    "TcpExt": {"TW": 11, "TWKilled": 6, "TWRecycled": 0, "TCPTimeWaitOverflow": 7},
}


def timers(*rows):
    """Rows of (seconds, kind, socket)."""
    table = pd.DataFrame(rows, columns=["time", "kind", "socket"])
    return table.assign(
        time=pd.Series([at(each) for each in table["time"]], dtype="datetime64[ns, UTC]"),
        old_state="TIME_WAIT",
        new_state="TIME_WAIT",
        local_port=1,
        remote_port=2,
        netns=NETNS,
    )


def compare(events, lacks=(), **about):
    header = {**HEADER, "netns": NETNS, "mib": BEFORE, "lacks": list(lacks)}
    seen = view(CLIENT, SERVER, header=header, final={"mib": AFTER}, events=events, **about)
    return completeness(seen)


def test_recorded_and_counted_are_put_side_by_side():
    found = compare(timers((1, "timewait_start", 1), (2, "timewait_start", 2)))
    assert found["comparable"]
    assert found["counters"]["active_opens"] == {"recorded": 1, "kernel": 1}
    assert found["counters"]["passive_opens"] == {"recorded": 1, "kernel": 1}
    assert found["counters"]["timewait_sockets"] == {"recorded": 2, "kernel": 2}
    assert found["counters"]["time_wait_skipped"] == {"recorded": 0, "kernel": 0}


def test_where_the_kernel_counts_time_waits_as_they_end_they_are_not_compared():
    found = compare(timers((1, "timewait_start", 1)), lacks=["timewait_counters"])
    assert found["counters"]["timewait_sockets"] == {"recorded": 1, "kernel": None}
    assert found["counters"]["time_wait_skipped"] == {"recorded": 0, "kernel": 0}


def test_a_rearmed_timer_is_one_timewait_socket():
    found = compare(
        timers(
            (1, "timewait_start", 1),
            (5, "timewait_cancel", 1),
            (5.00001, "timewait_start", 1),
        )
    )
    assert found["counters"]["timewait_sockets"]["recorded"] == 1


def test_the_same_address_used_again_later_is_another_socket():
    found = compare(
        timers((1, "timewait_start", 1), (5, "timewait_cancel", 1), (9, "timewait_start", 1))
    )
    assert found["counters"]["timewait_sockets"]["recorded"] == 2


@pytest.mark.parametrize(
    "about",
    [
        {"header": {**HEADER, "mib": BEFORE}},
        {"header": {**HEADER, "netns": NETNS, "filters": {"port": [80]}, "mib": BEFORE}},
        {"header": {**HEADER, "netns": NETNS, "filters": {"netns": [NETNS + 1]}, "mib": BEFORE}},
    ],
)
def test_nothing_is_compared_where_the_two_do_not_cover_the_same(about):
    seen = view(CLIENT, final={"mib": AFTER}, **about)
    found = completeness(seen)
    assert not found["comparable"]
    assert all(pair["recorded"] is None for pair in found["counters"].values())


def test_a_recording_of_the_counters_namespace_alone_is_compared():
    header = {**HEADER, "netns": NETNS, "filters": {"netns": [NETNS]}, "mib": BEFORE}
    seen = view(CLIENT, SERVER, header=header, final={"mib": AFTER})
    found = completeness(seen)
    assert found["comparable"]
    assert found["counters"]["active_opens"] == {"recorded": 1, "kernel": 1}


def test_a_filtered_report_compares_nothing():
    seen = view(
        CLIENT,
        header={**HEADER, "netns": NETNS, "mib": BEFORE},
        final={"mib": AFTER},
        filters=Filters(port=(80,)),
    )
    assert completeness(seen)["filtered"]


def test_a_cut_off_recording_has_no_counters_of_its_end():
    seen = view(CLIENT, header={**HEADER, "netns": NETNS, "mib": BEFORE})
    assert all(pair["kernel"] is None for pair in completeness(seen)["counters"].values())


def test_what_came_while_settling_is_not_in_the_counters():
    events = timers((1, "timewait_start", 1), (6, "timewait_start", 2))
    assert compare(events)["counters"]["timewait_sockets"]["recorded"] == 2
    opened = CLIENT["opened"]
    for settling, opens, waits in ((opened + 2, 1, 1), (opened - 0.001, 0, 0)):
        counters = compare(events, settling_s=settling)["counters"]
        assert counters["active_opens"]["recorded"] == opens
        assert counters["timewait_sockets"]["recorded"] == waits
