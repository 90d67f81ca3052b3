"""Who closed, how it ended and which end was which: told right, on both ends, every time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from .lab import Lab
from .net import Pair
from .oracle import CLIENT, SERVER, Conversation
from .rows import Rows
from .scenarios import REPEATS, SCENARIOS, Stage

FAMILIES = ["ipv4", "ipv6", "dual_stack"]
FIRST_PORT = 9000
PORTS = {name: FIRST_PORT + number for number, name in enumerate(SCENARIOS)}


@dataclass
class Run:
    """Everything that happened, seen by tcptrace and by the capture."""

    pair: Pair
    rows: Rows
    seen: dict[int, list[Conversation]]
    errors: dict[str, Exception] = field(default_factory=dict)


@pytest.fixture(scope="module", params=FAMILIES)
def run(request: pytest.FixtureRequest, make_lab: Callable[[], Lab]) -> Iterator[Run]:
    """Play every scenario of one family in one recording and one capture."""
    with make_lab() as lab:
        pair = lab.pair()
        pair.client.sysctl(tcp_syn_retries=1)
        pair.server.sysctl(ip_forward=1, icmp_ratelimit=0)
        pair.server.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        pair.server.run("sysctl", "-qw", "net.ipv6.icmp.ratelimit=0")
        client = lab.program("tt-client", pair.client)
        server = lab.program("tt-server", pair.server)
        capture = lab.capture(pair.client, pair.server4)
        recorder = lab.record()
        errors: dict[str, Exception] = {}
        for name, scenario in SCENARIOS.items():
            family = 6 if request.param == "ipv6" else 4
            dual = request.param == "dual_stack"
            stage = Stage(pair, client, server, family, dual, PORTS[name])
            try:
                scenario.run(stage)
            except Exception as error:
                errors[name] = error
        pair.wait_quiet()
        recorder.stop()
        capture.stop()
        seen: dict[int, list[Conversation]] = {}
        for one in capture.conversations():
            seen.setdefault(one.server[1], []).append(one)
        yield Run(pair, Rows(recorder.read()), seen, errors)


def facts(row: Any) -> tuple[Any, ...]:
    return row["role"], row["outcome"], row["closed_by"]


def untold(run: Run, name: str, row: Any) -> bool:
    """Whether a timewait socket's reset ended it, on a kernel that does not tell of those."""
    lacks = run.rows.recording.header["lacks"]
    return (
        "timewait_resets" in lacks
        and name.startswith("data_after")
        and facts(row)[1:] == ("unknown", "local")
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_ends_are_told_as_they_were(run: Run, name: str) -> None:
    if name in run.errors:
        raise run.errors[name]
    scenario = SCENARIOS[name]
    ends = {CLIENT: run.pair.client, SERVER: run.pair.server}
    expected = {
        CLIENT: (CLIENT, scenario.outcome, scenario.closed_by(CLIENT)),
        SERVER: (
            SERVER,
            scenario.server_outcome or scenario.outcome,
            scenario.closed_by(SERVER),
        ),
    }
    wrong = []
    conversations = run.seen[PORTS[name]]
    assert len(conversations) == REPEATS
    for seen in conversations:
        for side in (CLIENT, SERVER) if scenario.server_row else (CLIENT,):
            row = run.rows.end(seen, side, ends[side])
            if facts(row) != expected[side] and not untold(run, name, row):
                wrong.append((side, facts(row), expected[side], run.rows.story(row)))
    assert not wrong, f"{len(wrong)} of {len(conversations)} told wrong, such as {wrong[0]}"
    if not scenario.server_row:
        assert not run.rows.at(run.pair.server, PORTS[name])


@pytest.mark.parametrize("name", SCENARIOS)
def test_rows_say_what_the_capture_says(run: Run, name: str) -> None:
    scenario = SCENARIOS[name]
    wrong = []
    for seen in run.seen[PORTS[name]]:
        assert seen.outcome == (scenario.on_the_wire or scenario.outcome)
        for side, space in ((CLIENT, run.pair.client), (SERVER, run.pair.server)):
            if side == SERVER and not scenario.server_row:
                continue
            row = run.rows.end(seen, side, space)
            told = (row["closed_by"], row["outcome"])
            if scenario.on_the_wire and side == CLIENT:
                told = (row["closed_by"], scenario.on_the_wire)
            if told != (seen.closed_by(side), seen.outcome) and not untold(run, name, row):
                wrong.append((side, told, seen.closed_by(side), seen.outcome))
    assert not wrong, f"{len(wrong)} differ from the capture, such as {wrong[0]}"


@pytest.mark.parametrize("name", [name for name, one in SCENARIOS.items() if one.server_row])
def test_both_ends_share_one_conversation(run: Run, name: str) -> None:
    shared = set()
    for seen in run.seen[PORTS[name]]:
        near = run.rows.end(seen, CLIENT, run.pair.client)["conversation"]
        far = run.rows.end(seen, SERVER, run.pair.server)["conversation"]
        assert near is not None
        assert near == far
        shared.add(near)
    assert len(shared) == REPEATS


def test_nothing_is_told_that_did_not_happen(run: Run) -> None:
    expected = sum(REPEATS * (1 + one.server_row) for one in SCENARIOS.values())
    assert len(run.rows.of(run.pair.client)) + len(run.rows.of(run.pair.server)) == expected


def test_no_event_was_lost(run: Run) -> None:
    assert run.rows.recording.lost == 0
    assert run.rows.recording.complete
    assert not re.search("cut off", str(run.rows.recording.problem))
