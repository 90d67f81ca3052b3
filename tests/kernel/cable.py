"""Two namespaces joined by a cable that holds, drops and forges packets on request."""

from __future__ import annotations

from . import net
from .net import LINK, Namespace, Pair
from .traffic import Process


class Cable(Process):
    """The running cable; end `a` is the client's, end `b` the server's."""

    def __init__(self, client: Namespace, server: Namespace) -> None:
        super().__init__("tt-cable", "cable.py", "tt-cable", LINK, client.name, server.name)
        self.pair: Pair = net.addresses(client, server)

    def hold(self, kind: str, *, source: str = "any", count: int = -1, port: int = 0) -> None:
        """Keep matching segments back until `release()`."""
        self.call("rule", action="hold", source=source, kind=kind, count=count, port=port)

    def drop(self, kind: str, *, source: str = "any", count: int = -1, port: int = 0) -> None:
        """Lose the next `count` matching segments; all if -1."""
        self.call("rule", action="drop", source=source, kind=kind, count=count, port=port)

    def clear(self) -> None:
        """Forget the rules."""
        self.call("clear")

    def wait_held(self, count: int) -> None:
        """Return once `count` segments are held."""
        self.call("wait_held", count=count)

    def release(self) -> None:
        """Deliver what is held, in order, and forget the rules."""
        self.call("release")

    def forge_reset(self, source: str, source_port: int, target_port: int) -> None:
        """Reset the other end's connection in the name of `source`."""
        self.call("forge_reset", source=source, source_port=source_port, target_port=target_port)
