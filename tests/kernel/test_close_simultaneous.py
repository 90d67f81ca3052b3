"""FINs that cross: each side sent its own before it saw the other's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from .cable import Cable
from .lab import Lab
from .net import Pair
from .oracle import CLIENT, SERVER, Conversation
from .rows import Rows
from .scenarios import REPEATS, Stage, connect
from .traffic import Socket

PORT = 9000


@dataclass(frozen=True)
class Run:
    pair: Pair
    rows: Rows
    seen: list[Conversation]
    time_waits: dict[str, int]  # the kernel's own count, at the end

    def sides(self) -> list[tuple[Conversation, str, dict[str, object]]]:
        """Each end of each connection, with its row."""
        spaces = {CLIENT: self.pair.client, SERVER: self.pair.server}
        return [
            (one, side, self.rows.end(one, side, space))
            for one in self.seen
            for side, space in spaces.items()
        ]


def cross(cable: Cable, near: Socket, far: Socket) -> None:
    cable.hold("fin")
    near.close()
    far.close()
    cable.wait_held(2)
    cable.release()


@pytest.fixture(scope="module", params=["ipv4", "ipv6", "dual_stack"])
def run(request: pytest.FixtureRequest, make_lab: Callable[[], Lab]) -> Iterator[Run]:
    with make_lab() as lab:
        cable = lab.cable()
        pair = cable.pair
        client = lab.program("tt-client", pair.client)
        server = lab.program("tt-server", pair.server)
        capture = lab.capture(pair.client, pair.server4)
        recorder = lab.record()
        family = 6 if request.param == "ipv6" else 4
        stage = Stage(pair, client, server, family, request.param == "dual_stack", PORT)
        listener = stage.listen()
        for _ in range(REPEATS):
            cross(cable, *connect(stage, listener))
            pair.wait_quiet()
        states = {
            CLIENT: pair.client.states()["TIME_WAIT"],
            SERVER: pair.server.states()["TIME_WAIT"],
        }
        recorder.stop()
        capture.stop()
        yield Run(pair, Rows(recorder.read()), capture.conversations(), states)


def test_capture_saw_the_fins_cross_every_time(run: Run) -> None:
    assert [one.first_fin for one in run.seen] == ["both"] * REPEATS


def test_both_closed_is_said_on_both_ends(run: Run) -> None:
    told = [(side, row["role"], row["closed_by"], row["outcome"]) for _, side, row in run.sides()]
    assert told == [(CLIENT, CLIENT, "both", "finished"), (SERVER, SERVER, "both", "finished")] * (
        REPEATS
    )


def test_both_ends_were_in_closing(run: Run) -> None:
    assert all(row["closing_s"] is not None for _, _, row in run.sides())


def test_both_ends_keep_a_time_wait(run: Run) -> None:
    assert run.time_waits == {CLIENT: REPEATS, SERVER: REPEATS}
    assert all(row["time_wait_end"] == "open" for _, _, row in run.sides())
    assert all(row["time_wait_began"] is not None for _, _, row in run.sides())


def test_both_ends_share_one_conversation(run: Run) -> None:
    shared = [row["conversation"] for _, _, row in run.sides()]
    assert None not in shared
    assert shared[::2] == shared[1::2]
    assert len(set(shared)) == REPEATS
