"""The text report, to the letter, at 80 columns."""

import pandas as pd
import pytest
from rich.cells import cell_len

from tcptrace.analysis.filters import Filters
from tcptrace.analysis.findings import find
from tcptrace.analysis.summary import summarise
from tcptrace.analysis.text import layout, render

from .tables import CLIENT, SERVER, events, view

NO_WAIT = {"time_wait_began": None, "time_wait_s": None, "time_wait_end": None}
OPEN_WAIT = {
    **CLIENT,
    "local_port": 40002,
    "time_wait_began": 50.0,
    "closed": 50.0,
    "time_wait_s": 25.0,
    "time_wait_end": "open",
    "censored": "right",
}
LEAK = {
    **SERVER,
    "comm": "leaky",
    "outcome": "open",
    "state": "CLOSE_WAIT",
    "close_wait_s": 66.2,
    "last_ack_s": None,
    "closed": None,
    "censored": "right",
}
REFUSED = {
    **CLIENT,
    **NO_WAIT,
    "outcome": "refused",
    "closed_by": None,
    "established": None,
    "established_s": None,
    "fin_wait_1_s": None,
    "fin_wait_2_s": None,
    "remote_port": 81,
    "error": "ECONNREFUSED",
}

RESET = {
    **CLIENT,
    **NO_WAIT,
    "outcome": "reset",
    "closed_by": "local",
    "reset_reason": "tcp_abort_on_close",
}


def text(*rows, verbose=False, by=None, **about):
    seen = view(*rows, **about)
    found = find(seen)
    lines = render(seen, summarise(seen, found), found, by=by, verbose=verbose)
    return "\n".join(line.plain for line in lines)


def test_a_healthy_recording():
    pair = ({**CLIENT, "conversation": 0}, {**SERVER, "conversation": 0})
    assert text(*pair) == HEALTHY.strip("\n")


def test_a_recording_with_trouble():
    assert text(CLIENT, OPEN_WAIT, REFUSED, LEAK) == TROUBLE.strip("\n")


def test_a_verbose_report_with_groups():
    pair = ({**CLIENT, "conversation": 0}, {**SERVER, "conversation": 0})
    resets = ({**RESET, "local_port": 40003}, {**RESET, "local_port": 40004})
    assert text(*pair, *resets, LEAK, by="process", verbose=True) == VERBOSE.strip("\n")


def test_an_empty_recording_says_so_and_no_more():
    assert text(events=events(0)).splitlines() == [
        "tcptrace report: run.arrows",
        "web-1, Linux 6.18.0; 2026-11-20 19:00:00 UTC, 75.0 s",
        "0 events, none lost",
        "! This recording is empty: it holds no events at all.",
    ]


def test_a_file_without_even_a_header_says_so():
    told = text(
        events=events(0),
        header={},
        started=pd.NaT,
        ended=pd.NaT,
        complete=False,
        problem="the file is empty",
    )
    assert told.splitlines() == [
        "tcptrace report: run.arrows",
        "0 events, none lost, CUT OFF",
        "! This recording was cut off (the file is empty): what is there is used, what",
        "  came after is not known.",
        "! This recording is empty: it holds no events at all.",
    ]


def test_losses_and_a_missing_end_are_said_before_anything_else():
    told = text(CLIENT, lost=3, complete=False, problem="the last batch is cut off")
    assert told.splitlines()[2:6] == [
        "10 events, 3 LOST, CUT OFF",
        "! This recording was cut off (the last batch is cut off): what is there is used,",
        "  what came after is not known.",
        "! 3 events lost: counts are lower bounds.",
    ]


def test_what_was_not_followed_while_settling_is_said():
    assert text(CLIENT, settling_s=10.0).splitlines()[3:6] == [
        "All was followed for 10.0 s; in the 65.0 s after that only the TIME_WAITs begun",
        "by then (--settle). What was open then is shown as open.",
        "",
    ]


def test_filters_are_named_and_nothing_left_is_said():
    told = text(CLIENT, filters=Filters(port=(9,)))
    assert "Only: --port 9" in told
    assert "! No connection passes the filters; it holds 1 end." in told


def test_a_full_bar_fits_beside_the_longest_name():
    told = text(CLIENT)
    assert "CONNECTIONS  1 end\n" in told
    assert f"this end (active close)                1  100.0 %  {'█' * 27}\n" in told
    assert not any(line.endswith("…") for line in told.splitlines())


def test_groups_are_added_on_demand():
    told = text(CLIENT, SERVER, by="service")
    assert "BY SERVICE" in told
    assert "  10.0.0.2:80     2        1         1      0       0          1           0" in told


def test_verbose_adds_reasons_and_sources():
    assert "[close-wait-leak] RFC 9293" in text(LEAK, verbose=True)
    assert "[close-wait-leak]" not in text(LEAK)


@pytest.mark.parametrize(
    "name", ["\x1b]0;owned\x07", "a\nb", "\u202egnp.exe", "\u6f22" * 5, "x" * 200]
)
def test_no_name_breaks_the_width_or_reaches_the_terminal_raw(name):
    hostile = {"comm": name, "remote_address": "2001:db8:1111:2222:3333:4444:5555:6666"}
    told = text(
        {**CLIENT, **hostile},
        {**LEAK, **hostile},
        {**REFUSED, **hostile},
        by="process",
        verbose=True,
    )
    assert all(cell_len(line) <= 80 for line in told.split("\n"))
    assert not any(mark in told for mark in ("\x1b", "\x07", "\u202e"))


def test_long_tables_say_what_they_leave_out():
    rows = [{**CLIENT, "remote_port": port} for port in range(80, 90)]
    assert "... and 5 more groups (-v shows more)" in text(*rows)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0.0, "0 us"),
        (0.0000354, "35 us"),
        (0.00098, "980 us"),
        (0.0012, "1.20 ms"),
        (0.0985, "98.5 ms"),
        (0.9996, "1.00 s"),
        (61.34, "61.3 s"),
        (100.0, "100 s"),
        (86400.0, "86,400 s"),
    ],
)
def test_durations_are_written_in_the_unit_that_suits(seconds, shown):
    assert layout.duration(seconds) == shown


def test_bars_show_the_share_and_never_hide_something():
    assert layout.bar(1, 2, 4) == "\u2588\u2588"
    assert layout.bar(1, 10_000, 4) == "\u258f"
    assert layout.bar(0, 5, 4) == ""
    assert layout.bar(0, 0, 4) == ""


def test_sparklines_reach_from_nothing_to_the_top():
    assert layout.sparkline([0, 1, 4, 8]) == " \u2582\u2585\u2588"
    assert layout.sparkline([]) == ""


HEALTHY = """
tcptrace report: run.arrows
web-1, Linux 6.18.0; 2026-11-20 19:00:00 UTC, 75.0 s
10 events, none lost

CONNECTIONS  2 ends
  each end is a row: of 1 connection both ends were seen
  finished           2  100.0 %  ██████████████████████████████
  open               0    0.0 %

WHO CLOSED  2 ends
  this end (active close)                1   50.0 %  █████████████▌
  the other end (passive close)          1   50.0 %  █████████████▌

FINDINGS
  none

ACTIVE CLOSERS  who closed first (or reset)
  program  role    remote service  closes  TIME_WAIT
  curl     client  10.0.0.2:80          1          1

WHICH SIDE CLOSED  per pair of programs; a connection counts once
  client  server  service      connections  by client  by server  by both
  curl    nginx   10.0.0.2:80            1          1          0        0

TIME_WAIT  1 begun
  ended     expired 1, open 0
  lifetime  min 60.8 s, median 60.8 s, p95 60.8 s, max 60.8 s
  at once   at most 1
  limit     8,192 (tcp_max_tw_buckets of the namespace recorded from)
  ports     at most 1 of 28,232 at once held towards 10.0.0.2:80

CLOSE_WAIT  0 now
  longest seen 98.0 ms; leaks 0

TIME IN EACH STATE  -: most were still in it at the end
  state        ends   median      p95  longest seen
  SYN_SENT        1  1.00 ms  1.00 ms       1.00 ms
  SYN_RECV        1   500 us   500 us        500 us
  ESTABLISHED     2   900 ms   900 ms        900 ms
  FIN_WAIT_1      1   500 us   500 us        500 us
  FIN_WAIT_2      1  98.5 ms  98.5 ms       98.5 ms
  CLOSE_WAIT      1  98.0 ms  98.0 ms       98.0 ms
  LAST_ACK        1   500 us   500 us        500 us
  TIME_WAIT       1   60.8 s   60.8 s        60.8 s

COMPLETENESS  recorded here, and counted by the kernel meanwhile
  cannot be compared: netns not recorded
"""

TROUBLE = """
tcptrace report: run.arrows
web-1, Linux 6.18.0; 2026-11-20 19:00:00 UTC, 75.0 s
10 events, none lost

CONNECTIONS  4 ends
  finished           2   50.0 %  ███████████████
  refused            1   25.0 %  ███████▌
  open               1   25.0 %  ███████▌

WHO CLOSED  3 ends
  this end (active close)                2   66.7 %  ██████████████████
  the other end (passive close)          1   33.3 %  █████████

FINDINGS  2
  PROBLEM: 1 connection left in CLOSE_WAIT, the longest for 66.2 s
    - comm leaky, pid 200, peer 10.0.0.1, connections 1, still open 1, longest
      66.2 s
    > Close the socket when read() returns 0 (see `ss -tpn state close-wait`);
      if the program still sends on purpose (half-close), nothing is wrong.
  INFO: 1 connect to 10.0.0.2:81 refused
    - comm curl, remote 10.0.0.2:81, connects 1, error ECONNREFUSED
    > Check that the service runs and listens on that address and port
      (`ss -tln`).

ACTIVE CLOSERS  who closed first (or reset)
  program  role    remote service  closes  TIME_WAIT
  curl     client  10.0.0.2:80          2          2

WHICH SIDE CLOSED  per pair of programs; a connection counts once
  client  server  service      connections  by client  by server  by both
  curl    ?       10.0.0.2:80            2          2          0        0
  curl    ?       10.0.0.2:81            1          0          0        0
  ?       leaky   10.0.0.2:80            1          1          0        0

TIME_WAIT  2 begun
  ended     expired 1, open 1
  lifetime  min 60.8 s, median 60.8 s, p95 60.8 s, max 60.8 s *
            * open ones count as "at least so long" (Kaplan-Meier)
  at once   at most 2  ▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅████████▅▅▅▅▅▅▅▅
  limit     8,192 (tcp_max_tw_buckets of the namespace recorded from)
  ports     at most 2 of 28,232 at once held towards 10.0.0.2:80

CLOSE_WAIT  1 now
  longest seen 66.2 s; leaks 1
  program  pid  local        peer               age
  leaky    200  10.0.0.2:80  10.0.0.1:40001  66.2 s

TIME IN EACH STATE  -: most were still in it at the end
  state        ends   median      p95  longest seen
  SYN_SENT        3  1.00 ms  1.00 ms       1.00 ms
  SYN_RECV        1   500 us   500 us        500 us
  ESTABLISHED     3   900 ms   900 ms        900 ms
  FIN_WAIT_1      2   500 us   500 us        500 us
  FIN_WAIT_2      2  98.5 ms  98.5 ms       98.5 ms
  CLOSE_WAIT      1        -        -        66.2 s
  TIME_WAIT       2   60.8 s   60.8 s        60.8 s

FAILED
  outcome          program  destination  error         times
  connect refused  curl     10.0.0.2:81  ECONNREFUSED      1

COMPLETENESS  recorded here, and counted by the kernel meanwhile
  cannot be compared: netns not recorded
"""

VERBOSE = """
tcptrace report: run.arrows
web-1, Linux 6.18.0; 2026-11-20 19:00:00 UTC, 75.0 s
10 events, none lost

CONNECTIONS  5 ends
  each end is a row: of 1 connection both ends were seen
  finished           2   40.0 %  ████████████
  reset              2   40.0 %  ████████████
  open               1   20.0 %  ██████

WHO CLOSED  5 ends
  this end (active close)                3   60.0 %  ████████████████▎
  the other end (passive close)          2   40.0 %  ██████████▊

FINDINGS  1
  PROBLEM: 1 connection left in CLOSE_WAIT, the longest for 66.2 s
    - comm leaky, pid 200, peer 10.0.0.1, connections 1, still open 1, longest
      66.2 s
    The peer has closed; nothing but this program's own close() ends CLOSE_WAIT.
    Each one keeps a file descriptor and its buffers for ever.
    > Close the socket when read() returns 0 (see `ss -tpn state close-wait`);
      if the program still sends on purpose (half-close), nothing is wrong.
    [close-wait-leak] RFC 9293 sections 3.3.2 and 3.6

BY PROCESS  closed by this or the other end; CLOSE_WAIT: now
  process  ends  by this  by other  reset  failed  TIME_WAIT  CLOSE_WAIT
  curl        3        3         0      2       0          1           0
  leaky       1        0         1      0       0          0           1
  nginx       1        0         1      0       0          0           0

ACTIVE CLOSERS  who closed first (or reset)
  program  role    remote service  closes  TIME_WAIT
  curl     client  10.0.0.2:80          3          1

WHICH SIDE CLOSED  per pair of programs; a connection counts once
  client  server  service      connections  by client  by server  by both
  curl    ?       10.0.0.2:80            2          2          0        0
  curl    nginx   10.0.0.2:80            1          1          0        0
  ?       leaky   10.0.0.2:80            1          1          0        0

TIME_WAIT  1 begun
  ended     expired 1, open 0
  lifetime  min 60.8 s, median 60.8 s, p95 60.8 s, max 60.8 s
  at once   at most 1
  limit     8,192 (tcp_max_tw_buckets of the namespace recorded from)
  ports     at most 3 of 28,232 at once held towards 10.0.0.2:80

CLOSE_WAIT  1 now
  longest seen 66.2 s; leaks 1
  program  pid  local        peer               age
  leaky    200  10.0.0.2:80  10.0.0.1:40001  66.2 s

TIME IN EACH STATE  -: most were still in it at the end
  state        ends   median      p95  longest seen
  SYN_SENT        3  1.00 ms  1.00 ms       1.00 ms
  SYN_RECV        2   500 us   500 us        500 us
  ESTABLISHED     5   900 ms   900 ms        900 ms
  FIN_WAIT_1      3   500 us   500 us        500 us
  FIN_WAIT_2      3  98.5 ms  98.5 ms       98.5 ms
  CLOSE_WAIT      2  98.0 ms        -        66.2 s
  LAST_ACK        1   500 us   500 us        500 us
  TIME_WAIT       1   60.8 s   60.8 s        60.8 s

RESETS
  sent by   program  role    reason              resets
  this end  curl     client  tcp abort on close       2

COMPLETENESS  recorded here, and counted by the kernel meanwhile
  cannot be compared: netns not recorded
"""
