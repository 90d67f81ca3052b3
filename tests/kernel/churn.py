"""Connections opened and closed, many at a time, on the loopback of one namespace."""

from __future__ import annotations

from .duo import PORT
from .lab import Lab
from .net import Namespace
from .record_run import Run


class Churn:
    """`closed`: how many were opened and closed so far, `each` at a time."""

    def __init__(self, lab: Lab, space: Namespace, each: int) -> None:
        self._server = lab.program("tt-server", space)
        self._client = lab.program("tt-client", space)
        self._listener = self._server.listen("127.0.0.1", PORT, backlog=4096)
        self._each = each
        self.closed = 0

    def once(self) -> None:
        near = self._client.connect_many("127.0.0.1", PORT, self._each)
        far = self._listener.accept_many(self._each)
        self._client.close_many(near)
        self._server.close_many(far)
        self.closed += self._each

    def until_it_ends(self, run: Run) -> None:
        while run.process.poll() is None:
            self.once()

    def open(self, count: int) -> None:
        """Open connections that stay open."""
        self._client.connect_many("127.0.0.1", PORT, count)
        self._listener.accept_many(count)
