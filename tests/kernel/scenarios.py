"""The ways a connection can end, each told step by step, and the truth about each.

The truth here is what the programs were told to do. The tests hold tcptrace
against it, and against what a capture of the same run says.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from .net import Pair
from .traffic import Listener, Program, Socket

REPEATS = 23  # a prime: no batch size divides it


@dataclass(frozen=True)
class Stage:
    """Two programs, and the port this scenario has for itself."""

    pair: Pair
    client: Program
    server: Program
    family: int
    dual: bool
    port: int

    @property
    def address(self) -> str:
        return self.pair.address_of_server(self.family)

    @property
    def source(self) -> str:
        return self.pair.client4 if self.family == 4 else self.pair.client6

    def listen(self) -> Listener:
        address = "::" if self.dual else self.address
        return self.server.listen(address, self.port, dual=self.dual)


def connect(stage: Stage, listener: Listener) -> tuple[Socket, Socket]:
    near = stage.client.connect(stage.address, stage.port)
    return near, listener.accept()


Steps = Callable[[Socket, Socket], None]


def orderly(first: Socket, second: Socket) -> None:
    first.close()
    second.read_to_end()
    second.close()


def half_close(first: Socket, second: Socket) -> None:
    first.shut()
    second.read_to_end()
    second.send(5000)
    first.receive(5000)
    second.close()
    first.read_to_end()
    first.close()


def abort(first: Socket, second: Socket) -> None:
    first.abort()
    expect(errno.ECONNRESET, second.read_to_end)
    second.close()


def close_with_unread_data(first: Socket, second: Socket) -> None:
    second.send(100)
    first.wait_data()
    first.close()
    expect(errno.ECONNRESET, second.read_to_end)
    second.close()


def abort_after_peers_fin(first: Socket, second: Socket) -> None:
    second.shut()
    first.read_to_end()
    first.abort()
    expect(errno.ECONNRESET, second.read_to_end)
    second.close()


def data_after_close(first: Socket, second: Socket) -> None:
    """`first` closes and its socket is gone: the second's data is answered by RST."""
    first.close()
    second.read_to_end()
    second.send(100)
    second.close()


def expect(code: int, step: Callable[[], object]) -> None:
    """Take `step`, which must fail with this error number."""
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        step()
    assert caught.value.errno == code


def from_client(steps: Steps) -> Callable[[Stage], None]:
    def run(stage: Stage) -> None:
        listener = stage.listen()
        for _ in range(REPEATS):
            near, far = connect(stage, listener)
            steps(near, far)
        listener.close()

    return run


def from_server(steps: Steps) -> Callable[[Stage], None]:
    def run(stage: Stage) -> None:
        listener = stage.listen()
        for _ in range(REPEATS):
            near, far = connect(stage, listener)
            steps(far, near)
        listener.close()

    return run


def refused(stage: Stage) -> None:
    errors = stage.client.connect_all([stage.source] * REPEATS, stage.address, stage.port)
    assert errors == [errno.ECONNREFUSED] * REPEATS


def silent(stage: Stage) -> None:
    """The server's kernel drops the SYN: nobody answers."""
    address = beyond(stage, "blackhole")
    errors = stage.client.connect_all([stage.source] * REPEATS, address, stage.port)
    assert errors == [errno.ETIMEDOUT] * REPEATS


def unreachable(stage: Stage) -> None:
    """The server's kernel answers the SYN by ICMP: no way to that host."""
    address = beyond(stage, "unreachable")
    sources = [stage.source] * REPEATS
    if stage.family == 4:
        # IPv4 sends each address only so many errors a second.
        prefix = stage.pair.client4.rpartition(".")[0]
        sources = [f"{prefix}.{100 + number}" for number in range(REPEATS)]
        stage.pair.client.ip(*(f"address add {one}/24 dev tt0" for one in sources))
    errors = stage.client.connect_all(sources, address, stage.port)
    assert errors == [errno.EHOSTUNREACH if stage.family == 4 else errno.ENETUNREACH] * REPEATS


def beyond(stage: Stage, kind: str) -> str:
    """An address behind the server, to which its route is of this kind."""
    number = {"blackhole": 1, "unreachable": 2}[kind]
    prefix = stage.pair.server4.rpartition(".")[0].replace("10.", "11.", 1)
    address = f"{prefix}.{number}" if stage.family == 4 else f"fd01::{number}"
    size, flag = (32, "-4") if stage.family == 4 else (128, "-6")
    stage.pair.client.run("ip", flag, "route", "add", f"{address}/{size}", "via", stage.address)
    stage.pair.server.run("ip", flag, "route", "add", kind, f"{address}/{size}")
    return address


def vanished(stage: Stage) -> None:
    """The server's kernel can no longer answer an established connection."""
    listener = stage.listen()
    ends = [connect(stage, listener)[0] for _ in range(REPEATS)]
    flag = "-4" if stage.family == 4 else "-6"
    route = (
        "ip",
        flag,
        "route",
        "add",
        "blackhole",
        f"{stage.source}/{32 if flag == '-4' else 128}",
    )
    stage.pair.server.run(*route)
    for near in ends:
        near.set_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
        near.send(100)
    for near in ends:
        expect(errno.ETIMEDOUT, near.read_to_end)
        near.close()
    listener.close()


@dataclass(frozen=True)
class Scenario:
    """What is done, and what must be said about it."""

    run: Callable[[Stage], None]
    outcome: str
    closer: str | None  # client, server, both; None: nobody
    server_outcome: str | None = None  # if it is not the client's
    server_row: bool = True  # whether the server has a socket at all
    on_the_wire: str | None = None  # what the capture can see, if it is less

    def closed_by(self, side: str) -> str | None:
        if self.closer in (None, "both"):
            return self.closer
        return "local" if self.closer == side else "remote"


# In this order: the last one leaves the server unable to answer.
SCENARIOS = {
    "client_closes_first": Scenario(from_client(orderly), "finished", "client"),
    "server_closes_first": Scenario(from_server(orderly), "finished", "server"),
    "client_half_closes": Scenario(from_client(half_close), "finished", "client"),
    "server_half_closes": Scenario(from_server(half_close), "finished", "server"),
    "client_aborts": Scenario(from_client(abort), "reset", "client"),
    "server_aborts": Scenario(from_server(abort), "reset", "server"),
    "client_closes_with_unread_data": Scenario(
        from_client(close_with_unread_data), "reset", "client"
    ),
    "server_closes_with_unread_data": Scenario(
        from_server(close_with_unread_data), "reset", "server"
    ),
    "client_aborts_after_servers_fin": Scenario(
        from_client(abort_after_peers_fin), "reset", "client"
    ),
    "server_aborts_after_clients_fin": Scenario(
        from_server(abort_after_peers_fin), "reset", "server"
    ),
    "data_after_clients_close": Scenario(from_client(data_after_close), "reset", "client"),
    "data_after_servers_close": Scenario(from_server(data_after_close), "reset", "server"),
    "refused": Scenario(refused, "refused", None, server_row=False),
    "nobody_answers": Scenario(silent, "timed_out", None, server_row=False),
    "unreachable": Scenario(unreachable, "unreachable", None, server_row=False),
    "peer_vanishes": Scenario(
        vanished, "timed_out", None, server_outcome="open", on_the_wire="open"
    ),
}
