"""`tcptrace live`: real transitions, each with its owner, and the table of programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import Lab
from .live_run import Piped, Terminal
from .net import Namespace, wait_until
from .scenarios import REPEATS, half_close
from .traffic import Listener, Program

PORT = 9000
ADDRESS = "127.0.0.1"
LEAKS = 5

LINE = re.compile(
    r"\d\d:\d\d:\d\d\.\d{6}  (?P<owner>\S+) +(?P<local>\S+) (?P<remote>\S+)  "
    r"(?P<old>\w+) -> (?P<new>\w+)(  after (?P<lasted>[\d.,]+ (us|ms|s)))?(  \((?P<note>.+)\))?"
)


class Machine:
    """Over loopback, where the peer is the bystander of nearly every transition."""

    def __init__(self, lab: Lab) -> None:
        self.space: Namespace = lab.namespace()
        self.server: Program = lab.program("tt-server", self.space)
        self.client: Program = lab.program("tt-client", self.space)
        self.only = ("--netns", str(self.space.inode))

    def connect_and_close(self, listener: Listener, first: str) -> None:
        """Close by halves: a FIN that finds the socket closed already may make no event."""
        for _ in range(REPEATS):
            near, far = self.client.connect(ADDRESS, PORT), listener.accept()
            half_close(*((near, far) if first == "client" else (far, near)))
        self.space.wait_quiet()

    def leak(self, lab: Lab) -> None:
        """Let a server ignore that its clients have closed."""
        leaky = lab.program("tt-leaky", self.space)
        listener = leaky.listen(ADDRESS, PORT + 1)
        near = self.client.connect_many(ADDRESS, PORT + 1, LEAKS)
        listener.accept_many(LEAKS)
        self.client.close_many(near)
        self.space.wait_for(CLOSE_WAIT=LEAKS)


@pytest.fixture
def machine(lab: Lab) -> Machine:
    return Machine(lab)


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[list[Piped]]:
    started: list[Piped] = []
    yield started
    for each in started:
        each.kill()


@pytest.mark.parametrize("first", ["client", "server"])
def test_transitions_are_told_with_their_owner_and_not_with_the_peer(
    machine: Machine, piped: list[Piped], tmp_path: Path, first: str
) -> None:
    live = Piped(tmp_path, *machine.only)
    piped.append(live)
    live.wait_for("Watching")
    machine.connect_and_close(machine.server.listen(ADDRESS, PORT), first)
    wait_until(
        lambda: live.printed.count("-> TIME_WAIT") == REPEATS,
        what=lambda: f"{REPEATS} TIME_WAITs in {live.printed}",
    )
    assert live.end() == 0
    lines = [LINE.fullmatch(line) for line in live.printed.splitlines()]
    assert lines
    assert all(lines), live.printed
    told = [line.groupdict() for line in lines if line]
    moves = Counter((each["old"], each["new"]) for each in told)
    assert moves == dict.fromkeys(
        [
            ("CLOSE", "SYN_SENT"),
            ("SYN_SENT", "ESTABLISHED"),
            ("LISTEN", "SYN_RECV"),
            ("SYN_RECV", "ESTABLISHED"),
            ("ESTABLISHED", "FIN_WAIT_1"),
            ("FIN_WAIT_1", "FIN_WAIT_2"),
            ("FIN_WAIT_2", "TIME_WAIT"),
            ("ESTABLISHED", "CLOSE_WAIT"),
            ("CLOSE_WAIT", "LAST_ACK"),
            ("LAST_ACK", "CLOSE"),
        ],
        REPEATS,
    )
    client = f"tt-client[{machine.client.pid}]"
    server = f"tt-server[{machine.server.pid}]"
    for each in told:
        of_server = each["local"] == f"{ADDRESS}:{PORT}"
        # Until it does something, it is known only who listened.
        assert each["owner"] in ({server, "(tt-server)"} if of_server else {client}), each
    acted = [each for each in told if each["new"] in ("FIN_WAIT_1", "LAST_ACK", "TIME_WAIT")]
    assert {each["owner"] for each in acted} == {client, server}
    closer = [each["local"] for each in told if each["new"] == "TIME_WAIT"]
    assert all((local == f"{ADDRESS}:{PORT}") == (first == "server") for local in closer)


def test_a_table_into_a_pipe_has_no_escapes_and_names_the_programs(
    machine: Machine, piped: list[Piped], lab: Lab, tmp_path: Path
) -> None:
    live = Piped(tmp_path, "--top", *machine.only)
    piped.append(live)
    live.wait_for("CLOSE_WAIT")
    machine.leak(lab)
    live.wait_for(f"{LEAKS} CLOSE_WAIT")
    live.wait_for("tt-leaky")
    wait_until(  # what happens in other namespaces is not counted
        lambda: re.findall(r"^(.+) events/s", live.printed, re.MULTILINE)[-1] == "0",
        what=lambda: f"a quiet moment at the end of {live.printed}",
    )
    assert live.end() == 0
    assert live.printed.isascii()
    assert "\x1b" not in live.printed
    assert all(len(line) <= 80 for line in live.printed.splitlines())
    tables = re.findall(r"^program ", live.printed, re.MULTILINE)
    row = re.search(rf"^tt-leaky +0 +0 +{LEAKS} +[\d.]+ (ms|s) +0$", live.printed, re.MULTILINE)
    assert len(tables) >= 2
    assert row, live.printed


def test_keys_sort_resizing_fits_and_q_quits(machine: Machine, lab: Lab, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "--top", *machine.only)
    try:
        terminal.wait_for("program", "q quits", "[t TIME_WAIT]")
        machine.connect_and_close(machine.server.listen(ADDRESS, PORT), "server")
        machine.leak(lab)
        found = terminal.wait_for("tt-leaky", f"{REPEATS} TIME_WAIT, {LEAKS} CLOSE_WAIT")
        assert programs(found)[0] == "tt-server"
        for key, most in (("c CLOSE_WAIT", "tt-leaky"), ("a closes", "tt-server")):
            terminal.press(key[0])
            assert programs(terminal.wait_for(f"[{key}]"))[0] == most
        terminal.press("x")  # means nothing
        terminal.resize(50, 7)
        small = terminal.wait_for("... and 2 more programs")
        assert len(small) <= 7
        assert all(len(line) <= 50 for line in small)
        terminal.resize(100, 30)
        large = terminal.wait_for("[a closes]")
        assert set(programs(large)) == {"tt-client", "tt-leaky", "tt-server"}
        terminal.press("q")
        ended = terminal.wait_for("ended with 0")
        assert not programs(ended)  # the screen is as it was
    finally:
        terminal.stop()


def programs(screen: list[str]) -> list[str]:
    """The programs in the order of the table."""
    return [line.split()[0] for line in screen if line.startswith("tt-")]
