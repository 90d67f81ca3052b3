"""Two machines to play on: reached, compared, and the ground between them."""

import contextlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tcptrace.analysis.demo.between import Direct, Tunnel
from tcptrace.analysis.demo.capture import Side
from tcptrace.analysis.demo.connection import Connection
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.ground import Ground
from tcptrace.analysis.demo.machine import PROTOCOL
from tcptrace.analysis.demo.remote import borrow_network
from tcptrace.tracer.errors import PreflightError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: How often a clock is asked for; the quickest answer counts.
_CLOCK_TRIES = 20


class Machines:
    """The client's machine and the server's.

    ``addresses``: of theirs, those they reach each other by. ``ahead``: how far each clock is
    ahead of this machine's, ns, and how wrong that may be.
    """

    def __init__(self, client: str, server: str) -> None:
        self.names: dict[Side, str] = {"left": client, "right": server}
        self.connections: dict[Side, Connection] = {}
        try:
            for side, name in self.names.items():
                self.connections[side] = Connection(name)
            self._hosts = self._greet()
            self.addresses = self._find_addresses()
            self.ahead = {side: self._compare(side) for side in self.names}
        except BaseException:
            self.close()
            raise

    def ground(self, experiment: Experiment, folder: Path) -> Ground:
        """Make an experiment's ground."""
        if experiment.wire:
            return Tunnel(experiment, folder, self.connections, self.ahead)
        return Direct(experiment, folder, self.connections, self.addresses, self.ahead)

    def takes_turns(self, experiment: Experiment) -> bool:
        """Say whether it uses the machines' own ports and settings, which are there once."""
        return not experiment.wire

    def close(self) -> None:
        """Let both machines be as they were."""
        threads = [
            threading.Thread(target=connection.close) for connection in self.connections.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _greet(self) -> dict[Side, dict[str, Any]]:
        hosts: dict[Side, dict[str, Any]] = {
            side: connection.call(0, "hello") for side, connection in self.connections.items()
        }
        for side, host in hosts.items():
            if host["protocol"] != PROTOCOL:
                raise PreflightError(f"{self.names[side]}: another version of tcptrace than here")
        one, other = hosts.values()
        if (one["boot_id"], one["netns"]) == (other["boot_id"], other["netns"]):
            raise PreflightError(
                f"{' and '.join(self.names.values())} are one machine: leave --hosts out"
            )
        return hosts

    def _find_addresses(self) -> dict[Side, str]:
        """Ask the client's machine how it reaches the server's, and from where."""
        name = self.names["right"].rpartition("@")[2]
        server = self.connections["left"].call(0, "resolve", name)
        with contextlib.ExitStack() as stack:
            own = {}
            for side, connection in self.connections.items():
                own[side] = borrow_network(connection)
                stack.callback(own[side].close)
            if server not in own["right"].ask("addresses"):
                raise PreflightError(
                    f"{self.names['left']} takes {name} for {server}, which is none of its own "
                    f"addresses: check /etc/hosts of {self.names['left']}"
                )
            route = own["left"].ask("route", server)
            if route["dev"] == "lo":
                raise PreflightError(f"{server} is an address of {self.names['left']} itself")
            return {"left": route["prefsrc"], "right": server}

    def _compare(self, side: Side) -> tuple[int, int]:
        """Compare a machine's clock with this one's."""
        if self._hosts[side]["boot_id"] == _BOOT_ID.read_text().strip():
            return 0, 0
        best = (0, 1 << 62)
        for _ in range(_CLOCK_TRIES):
            asked = time.time_ns()
            there = self.connections[side].call(0, "clock")
            answered = time.time_ns()
            error = (answered - asked) // 2
            if error < best[1]:
                best = (there - (asked + answered) // 2, error)
        return best


def described(machines: Machines) -> Mapping[str, str]:
    """Name the machines and their addresses, for people and programs."""
    return {machines.names[side]: machines.addresses[side] for side in machines.names}
