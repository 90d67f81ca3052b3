"""Who owns a connection: the program that holds it, never the peer nor a bystander."""

from __future__ import annotations

import pytest

from .duo import PORT, Duo
from .lab import Lab
from .rows import Row, Rows
from .scenarios import REPEATS, abort, orderly
from .traffic import Listener, Program

ADDRESS = {4: "127.0.0.1", 6: "::1"}


class Machine:
    """One namespace: server and client talk over loopback while a third program is busy."""

    def __init__(self, lab: Lab) -> None:
        self.space = lab.namespace()
        self.server: Program = lab.program("tt-server", self.space)
        self.client: Program = lab.program("tt-client", self.space)
        self.bystander: Program = lab.program("tt-bystander", self.space)
        self.bystander.call("chatter")

    def listen(self, family: int = 4) -> Listener:
        return self.server.listen(ADDRESS[family], PORT)

    def owners(self, rows: list[Row]) -> dict[str, set[tuple[int, str]]]:
        """Who is named for each end."""
        named: dict[str, set[tuple[int, str]]] = {"server": set(), "client": set()}
        for row in rows:
            side = "server" if row["local_port"] == PORT else "client"
            named[side].add((row["pid"], row["comm"]))
        return named


@pytest.fixture
def machine(lab: Lab) -> Machine:
    return Machine(lab)


def who(program: Program) -> tuple[int, str]:
    return program.pid, program.name


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("first", ["client", "server"])
@pytest.mark.parametrize("listening", ["before", "within"])
def test_each_end_is_its_programs(
    lab: Lab, machine: Machine, family: int, first: str, listening: str
) -> None:
    listener = machine.listen(family) if listening == "before" else None
    recorder = lab.record()
    listener = listener or machine.listen(family)
    for _ in range(REPEATS):
        near = machine.client.connect(ADDRESS[family], PORT)
        far = listener.accept()
        orderly(*((near, far) if first == "client" else (far, near)))
    machine.space.wait_quiet()
    recorder.stop()
    rows = Rows(recorder.read())
    own = rows.of(machine.space)
    assert len(own) == 2 * REPEATS
    assert machine.owners(own) == {
        "server": {who(machine.server)},
        "client": {who(machine.client)},
    }
    closer = machine.client if first == "client" else machine.server
    waits = rows.time_wait(machine.space)
    assert [(wait["pid"], wait["comm"]) for wait in waits] == [who(closer)] * REPEATS


def test_forked_worker_is_named_and_not_its_parent(lab: Lab, machine: Machine) -> None:
    listener = machine.listen()
    recorder = lab.record()
    names = ["tt-worker-a", "tt-worker-b", "tt-worker-c"]
    workers = dict(zip(listener.fork(names), names, strict=True))
    served = {}
    for _ in range(REPEATS):
        near = machine.client.connect(ADDRESS[4], PORT)
        served[near.port] = int(near.read_to_end())
        near.close()
    machine.space.wait_quiet()
    recorder.stop()
    rows = [row for row in Rows(recorder.read()).of(machine.space) if row["local_port"] == PORT]
    told = {row["remote_port"]: (row["pid"], row["comm"]) for row in rows}
    assert told == {port: (pid, workers[pid]) for port, pid in served.items()}


def test_program_killed_with_its_connections_is_their_owner(lab: Lab, machine: Machine) -> None:
    listener = machine.listen()
    recorder = lab.record()
    held = machine.client.connect_many(ADDRESS[4], PORT, REPEATS)
    listener.accept_many(REPEATS)
    machine.server.kill()
    machine.client.read_to_end_many(held)
    machine.client.close_many(held)
    machine.space.wait_quiet()
    recorder.stop()
    rows = Rows(recorder.read()).of(machine.space)
    assert machine.owners(rows) == {
        "server": {who(machine.server)},
        "client": {who(machine.client)},
    }
    assert {row["closed_by"] for row in rows if row["local_port"] == PORT} == {"local"}


@pytest.mark.parametrize("aborts", ["client", "server"])
def test_reset_connection_is_never_anothers(lab: Lab, machine: Machine, aborts: str) -> None:
    listener = machine.listen()
    recorder = lab.record()
    for _ in range(REPEATS):
        near = machine.client.connect(ADDRESS[4], PORT)
        far = listener.accept()
        abort(*((near, far) if aborts == "client" else (far, near)))
    recorder.stop()
    owners = machine.owners(Rows(recorder.read()).of(machine.space))
    assert owners["client"] == {who(machine.client)}
    # Its program may have done nothing that names it; then nobody is named.
    assert owners["server"] <= {who(machine.server), (None, None)}


def test_carrier_of_the_packets_is_not_an_owner(lab: Lab) -> None:
    cable = lab.cable()
    duo = Duo(lab, cable.pair)
    recorder = lab.record()
    for near, far in duo.connect_many(REPEATS):
        orderly(near, far)
    duo.pair.wait_quiet()
    recorder.stop()
    rows = Rows(recorder.read())
    for space, program in ((duo.pair.client, duo.client), (duo.pair.server, duo.server)):
        assert {(row["pid"], row["comm"]) for row in rows.of(space)} == {who(program)}
