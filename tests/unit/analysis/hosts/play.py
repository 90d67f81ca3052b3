"""Connections between two hosts as they truly were, and what a recording of each shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tcptrace.analysis.hosts import Ends, ends_of
from tcptrace.analysis.view import View

from ..tables import CLIENT, SERVER, at, view

ONE, TWO = "10.0.0.1", "10.0.0.2"
#: From one host to the other, s.
WAY = 0.0002


@dataclass(frozen=True)
class Life:
    """A connection in true time, s; `client` is on the first host unless `swapped`."""

    begins: float
    port: int = 40001
    service: int = 80
    lasts: float = 0.5
    #: Who closes: client, server, both; None: it stays open.
    closer: str | None = "client"
    swapped: bool = False
    way: float = WAY
    #: Until the passive side closes, too.
    pause: float = 0.1

    def rows(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The client's row and the server's, both in true time."""
        way, began = self.way, self.begins
        client = self._row(CLIENT, "client") | {"opened": began, "syn_sent_s": 2 * way}
        server = self._row(SERVER, "server") | {"opened": began + 3 * way, "syn_recv_s": 1e-6}
        client["established"], server["established"] = began + 2 * way, began + 3 * way + 1e-6
        if self.closer is None:
            return client, server
        sends, gets = (client, server) if self.closer != "server" else (server, client)
        fin = began + 3 * way + self.lasts
        sends["established_s"] = fin - sends["established"]
        if self.closer == "both":
            gets["established_s"] = fin + way / 2 - gets["established"]
            for row in (sends, gets):
                row |= {"closed_by": "both", "fin_wait_1_s": way, "closing_s": way}
                row |= {"closed": fin + 3 * way, "time_wait_began": fin + 2 * way}
            return client, server
        gets["established_s"] = fin + way - gets["established"]
        sends |= {"closed_by": "local", "fin_wait_1_s": 2 * way, "fin_wait_2_s": self.pause}
        gets |= {"closed_by": "remote", "close_wait_s": self.pause, "last_ack_s": 2 * way}
        ended = fin + 2 * way + self.pause
        sends |= {"closed": ended, "time_wait_began": ended, "time_wait_s": 60.5}
        gets["closed"] = ended + way
        return client, server

    def _row(self, like: dict[str, Any], role: str) -> dict[str, Any]:
        server, client = (ONE, TWO) if self.swapped else (TWO, ONE)
        near, far = (client, self.port), (server, self.service)
        if role == "server":
            near, far = far, near
        kept = {name: like[name] for name in ("family", "netns", "cgroup", "pid", "comm")}
        ends = dict(
            zip(
                ("local_address", "local_port", "remote_address", "remote_port"),
                (*near, *far),
                strict=True,
            )
        )
        return kept | ends | {"role": role, "outcome": "open", "censored": "none"}


def seen(rows: list[dict[str, Any]], host: str, ahead: float, until: float = 100.0) -> View:
    """What a host's recording shows whose clock is so far ahead of the true time."""
    times = ("opened", "established", "closed", "time_wait_began")
    shifted = [
        {name: value + ahead if name in times else value for name, value in row.items()}
        for row in rows
    ]
    made = view(*shifted, started=at(ahead), ended=at(until + ahead))
    made.recording.header.update(host=host, boot_id=f"boot of {host}")
    return made


def views(
    lives: list[Life],
    ahead: float = 0.0,
    *,
    lost_on_one: tuple[int, ...] = (),
    lost_on_two: tuple[int, ...] = (),
) -> tuple[View, View]:
    """What two recordings show; `lost`: places of lives that one of them misses.

    `connection` is the life's place on both hosts.
    """
    here, there = [], []
    for place, life in enumerate(lives):
        client, server = life.rows()
        one, two = (server, client) if life.swapped else (client, server)
        if place not in lost_on_one:
            here.append(one | {"connection": place})
        if place not in lost_on_two:
            there.append(two | {"connection": place})
    return seen(here, "one", 0.0), seen(there, "two", ahead)


def both(
    lives: list[Life],
    ahead: float = 0.0,
    *,
    lost_on_one: tuple[int, ...] = (),
    lost_on_two: tuple[int, ...] = (),
) -> tuple[Ends, Ends]:
    """Both hosts' ends of them."""
    one, two = views(lives, ahead, lost_on_one=lost_on_one, lost_on_two=lost_on_two)
    return ends_of(one), ends_of(two)
