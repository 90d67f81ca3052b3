"""A machine's own network, borrowed: whatever is changed in it is put back."""

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tcptrace.analysis.demo.namespace import Namespace
from tcptrace.tracer.errors import PreflightError, TcptraceError


class OwnNetwork(Namespace):
    """The network namespace this process is in; :meth:`close` undoes what was set."""

    def __init__(self) -> None:
        self.inode = Path("/proc/self/ns/net").stat().st_ino
        self._undo: dict[str, Callable[[], object]] = {}

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Stay: every thread of this process is there."""
        yield

    def set_sysctl(self, name: str, value: object) -> None:
        """Set ``net.ipv4.NAME`` until :meth:`close`."""
        before = self.sysctl(name)
        super().set_sysctl(name, value)
        self._undo.setdefault(name, partial(super().set_sysctl, name, before))

    def route(self, address: str) -> dict[str, Any]:
        """Say how ``address`` is reached, as ``ip -json route get`` does."""
        found: dict[str, Any] = json.loads(self.run("ip", "-json", "route", "get", address))[0]
        return found

    def addresses(self) -> list[str]:
        """List the machine's own IPv4 addresses."""
        links = json.loads(self.run("ip", "-json", "-4", "address", "show"))
        return [one["local"] for link in links for one in link["addr_info"]]

    def be_patient(self, peer: str) -> None:
        """Until :meth:`close` send nothing to ``peer`` again just because a machine is busy.

        The same settings as in a namespace (:func:`tcptrace.analysis.demo.link.give_address`).
        """
        self.set_sysctl("tcp_early_retrans", 0)
        self.set_sysctl("tcp_rfc1337", 1)
        route = self.route(peer)
        via = ("via", route["gateway"]) if "gateway" in route else ()
        where = (f"{peer}/32", *via, "dev", route["dev"], "src", route["prefsrc"])
        with contextlib.suppress(PreflightError):  # somebody has a route just for it
            self.run("ip", "route", "add", *where, "rto_min", "2s")
            self._undo["route"] = partial(self.run, "ip", "route", "del", *where)

    def close(self) -> None:
        """Undo everything, the last change first; raise what failed at the end."""
        failed: TcptraceError | None = None
        while self._undo:
            _, undo = self._undo.popitem()
            try:
                undo()
            except TcptraceError as error:
                failed = error
        if failed is not None:
            raise failed
