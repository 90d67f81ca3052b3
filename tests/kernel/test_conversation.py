"""Which two rows are the two ends of one connection."""

from __future__ import annotations

from . import net
from .duo import PORT, Duo
from .lab import Lab
from .rows import Rows
from .scenarios import REPEATS, orderly

CLIENT_PORT = 40000


def test_equal_addresses_elsewhere_are_not_the_other_end(lab: Lab) -> None:
    """Two pairs of containers with the same addresses and ports, at the same time."""
    one = lab.pair()
    spaces = lab.namespace(), lab.namespace()
    two = net.join(*spaces, like=one)
    duos = [Duo(lab, one), Duo(lab, two)]
    recorder = lab.record()
    for number in range(REPEATS):
        ends = [duo.connect(CLIENT_PORT + number) for duo in duos]
        for near, far in ends:
            orderly(near, far)
    for duo in duos:
        duo.pair.wait_quiet()
    recorder.stop()
    rows = Rows(recorder.read())
    where = [
        {row["conversation"]: index for row in rows.of(space) if row["conversation"] is not None}
        for index, duo in enumerate(duos)
        for space in (duo.pair.client, duo.pair.server)
    ]
    # Told apart or not told at all; never joined across.
    for near in where[:2]:
        for far in where[2:]:
            assert not near.keys() & far.keys()


def test_one_port_used_again_is_another_conversation(lab: Lab) -> None:
    duo = Duo(lab)
    recorder = lab.record()
    for _ in range(REPEATS):
        near, far = duo.connect(CLIENT_PORT)
        orderly(far, near)  # the server keeps the TIME_WAIT, which the next SYN ends
        duo.pair.server.wait_for(TIME_WAIT=1, FIN_WAIT_2=0)
        duo.pair.client.wait_quiet()
    recorder.stop()
    rows = Rows(recorder.read())
    near, far = (
        sorted(rows.of(space), key=lambda row: row["opened"])
        for space in (duo.pair.client, duo.pair.server)
    )
    shared = [row["conversation"] for row in near]
    assert shared == [row["conversation"] for row in far]
    assert len(set(shared)) == REPEATS
    assert None not in shared


def test_both_ends_within_one_namespace_are_paired(lab: Lab) -> None:
    space = lab.namespace()
    server, client = lab.program("tt-server", space), lab.program("tt-client", space)
    listener = server.listen("127.0.0.1", PORT)
    recorder = lab.record()
    for _ in range(REPEATS):
        near = client.connect("127.0.0.1", PORT)
        orderly(near, listener.accept())
    space.wait_quiet()
    recorder.stop()
    ends: dict[int | None, list[str]] = {}
    for row in Rows(recorder.read()).of(space):
        ends.setdefault(row["conversation"], []).append(row["role"])
    assert len(ends) == REPEATS
    assert {tuple(sorted(roles)) for roles in ends.values()} == {("client", "server")}
