"""What was not watched is unknown, and never counted as none."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tcptrace.analysis import read
from tcptrace.analysis.completeness import completeness
from tcptrace.analysis.filters import Filters
from tcptrace.analysis.groups import active_closers, grouped_by
from tcptrace.analysis.html import render_html
from tcptrace.analysis.summary import summarise
from tcptrace.analysis.view import View, choose
from tcptrace.analysis.watched import time_wait_watched
from tcptrace.tracer.cli import cli

from .scenario import CLIENT_END, CURL, NETNS, TIMERS, Story
from .test_load import write


def unwatched(folder: Path) -> Path:
    """An active close whose TIME_WAIT nobody could watch."""
    told = Story(timers=False)
    told.socket(CLIENT_END).connect().close(CURL).gone(fin=True)
    header = told.header | {"netns": NETNS, "mib": {"TcpExt": {"TW": 1, "TWKilled": 0}}}
    final = {"final": True, "mib": {"TcpExt": {"TW": 2, "TWKilled": 0}}}
    return write(folder / "unwatched.arrows", header, [(told.table, final)])


@pytest.fixture
def view(tmp_path: Path) -> View:
    return choose(read(unwatched(tmp_path)), Filters())


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [value]


def test_time_waits_are_not_zero(view: View) -> None:
    summary = summarise(view)
    assert set(leaves(summary["time_wait"])) == {None}
    assert summary["connections"]["total"] == 1
    assert active_closers(view)[0]["time_wait"] is None
    (group,) = grouped_by(view, "process")
    assert group["time_wait"] is None
    assert group["closed_local"] == 1


def test_completeness_compares_what_was_watched(view: View) -> None:
    counters = completeness(view)["counters"]
    assert counters["timewait_sockets"] == {"recorded": None, "kernel": 1}
    assert counters["time_wait_skipped"]["recorded"] is None
    assert counters["active_opens"]["recorded"] == 1


def test_reports_say_that_it_is_not_known(view: View, tmp_path: Path) -> None:
    path = str(unwatched(tmp_path))
    shown = CliRunner().invoke(cli, ["report", path, "--by", "process"]).stdout
    assert "not known: it was not watched" in shown
    assert "probes not attached" in shown
    assert "it was not watched" in render_html(view, summarise(view), [])


def test_only_a_header_that_says_so_makes_it_unknown() -> None:
    attached, missing = {"attached": True}, {"attached": False}
    assert time_wait_watched({})
    assert time_wait_watched({"probes": dict.fromkeys(TIMERS, attached)})
    for name in TIMERS:
        assert not time_wait_watched({"probes": dict.fromkeys(TIMERS, attached) | {name: missing}})
