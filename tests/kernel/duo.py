"""A client and a server, each a program in a namespace of its own."""

from __future__ import annotations

from .lab import Lab
from .net import Pair
from .traffic import Listener, Program, Socket

PORT = 9000


class Duo:
    """The server already listens on PORT; `dual`: on :: for both families."""

    def __init__(
        self, lab: Lab, pair: Pair | None = None, *, family: int = 4, dual: bool = False
    ) -> None:
        self.pair = pair or lab.pair()
        self.address = self.pair.address_of_server(family)
        self.client: Program = lab.program("tt-client", self.pair.client)
        self.server: Program = lab.program("tt-server", self.pair.server)
        self.listener: Listener = self.server.listen(
            "::" if dual else self.address, PORT, dual=dual
        )

    def connect(self, source_port: int = 0) -> tuple[Socket, Socket]:
        """Both ends of a new connection: the client's, the server's."""
        near = self.client.connect(self.address, PORT, source_port=source_port)
        return near, self.listener.accept()

    def connect_many(self, count: int) -> list[tuple[Socket, Socket]]:
        near = self.client.connect_many(self.address, PORT, count)
        far = {one.port: one for one in self.listener.accept_many(count)}
        return [(one, far[one.port]) for one in near]
