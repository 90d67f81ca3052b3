"""The ground between two machines: their own network, or a tunnel that we carry."""

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tcptrace.analysis.demo import pcapng
from tcptrace.analysis.demo.capture import Capture, ExperimentError, Side, Sighting, other
from tcptrace.analysis.demo.clocks import Ahead, apart
from tcptrace.analysis.demo.connection import Connection
from tcptrace.analysis.demo.evidence import Clocks, clock_offset
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.ground import NAMES
from tcptrace.analysis.demo.link import ADDRESS
from tcptrace.analysis.demo.packet import parse
from tcptrace.analysis.demo.programs import Calls
from tcptrace.analysis.demo.remote import (
    RemotePlace,
    RemoteProgram,
    RemoteRecorder,
    RemoteTun,
    borrow_network,
    make_namespace,
)
from tcptrace.analysis.demo.sockets import sockets
from tcptrace.analysis.demo.wire import Wire
from tcptrace.analysis.output import new_file
from tcptrace.analysis.recording import Recording

#: What the files of each side are called.
ROLES: dict[Side, str] = {"left": "client", "right": "server"}
#: The servers' ports of every experiment; ssh's is none of them.
PORTS = [*range(8000, 8020), *range(9000, 9010)]
#: Longer than any TIME_WAIT lives, seconds.
_TIME_WAIT_PATIENCE = 90.0


class _Between:
    """What both grounds have: a recorder on each machine, programs, files by role."""

    link: Capture
    where: str | None
    hosts: Mapping[Side, RemotePlace]

    def __init__(self, experiment: Experiment, folder: Path, ahead: Ahead) -> None:
        self.recordings: dict[Side, Path] = {
            side: folder / f"{experiment.name}.{role}.arrows" for side, role in ROLES.items()
        }
        self._ahead = ahead
        self._recorders: dict[Side, RemoteRecorder] = {}
        self._stack = contextlib.ExitStack()

    def _record(self, filters: list[str]) -> None:
        """Start a recorder on each machine, limited to the hosts there."""
        for side, host in self.hosts.items():
            limits = [f"--netns={host.inode}", *filters]
            self._recorders[side] = RemoteRecorder(host.machine, limits)
            self._stack.callback(self._recorders[side].close)

    def program(self, name: str, side: Side) -> Calls:
        """Start a process on one host."""
        return RemoteProgram(name, self.hosts[side])

    def start_recorders(self, stop: threading.Event) -> None:
        """Wait until both recorders see everything."""
        for recorder in self._recorders.values():
            recorder.wait()
        if stop.is_set():
            raise ExperimentError("interrupted")

    def stop_recorders(self) -> None:
        """End both recordings, and bring them here."""
        for side, recorder in self._recorders.items():
            content = recorder.stop()
            with new_file(self.recordings[side]) as stream:
                stream.write(content)

    def cancel(self) -> None:
        """Make what waits for the link fail soon."""
        self.link.abandon()

    def close(self) -> None:
        """Let both machines be as they were."""
        self._stack.close()


class Tunnel(_Between):
    """A namespace on each machine; what they send each other travels through this program."""

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        connections: Mapping[Side, Connection],
        ahead: Ahead,
    ) -> None:
        super().__init__(experiment, folder, ahead)
        self.addresses = dict(ADDRESS)
        machines = " and ".join(one.name for one in connections.values())
        self.where = (
            f"Played between namespaces on {machines}; "
            "their segments travelled through tcptrace, over ssh."
        )
        self._capture = folder / f"{experiment.name}.pcapng"
        with contextlib.ExitStack() as failing:
            failing.callback(self.close)
            hosts: dict[Side, RemotePlace] = {}
            for side, connection in connections.items():
                hosts[side] = make_namespace(connection)
                self._stack.callback(hosts[side].close)
            self.hosts = hosts
            wire = Wire(
                hosts,
                lambda side, take: RemoteTun(hosts[side], take),
                experiment.mtu,
                patient=experiment.patient,
            )
            self._stack.callback(wire.close)
            self.link = wire
            self._record([])
            failing.pop_all()
        self._offset = time.time_ns() - time.monotonic_ns()

    def clocks(self, recordings: Mapping[Side, Recording]) -> Clocks:
        """Say how both clocks relate to this machine's, which the capture has."""
        left = self._ahead["left"][0]
        difference, note = apart(self._ahead, recordings)
        return Clocks(self._offset, {"left": left, "right": left + difference}, note)

    def write_captures(self, recordings: Mapping[Side, Recording]) -> None:
        """Write the capture of both hosts into one file, on this machine's clock."""
        pcapng.write(self._capture, NAMES, self.link.sightings, self._offset)

    def captures(self) -> list[Path]:
        """Name the capture, if it was written."""
        return [self._capture] if self._capture.exists() else []


class _Device(Capture):
    """What passed one host's network device, on that host's clock."""

    def __init__(self, host: RemotePlace, side: Side, peer: str) -> None:
        super().__init__()
        self._machine, self._side = host.machine, side
        device = host.ask("route", peer)["dev"]
        self._number = self._machine.call(0, "sniffer", host.number, device, peer, PORTS)
        self._machine.take(self._number, self._take)
        self._machine.call(self._number, "start")

    def close(self) -> None:
        """Stop listening."""
        self.missed = self._machine.forget(self._number) or 0

    def _take(self, stamp: int, sent: bool, packet: bytes) -> None:
        segment = parse(packet)
        if segment is not None:
            side = self._side if sent else other(self._side)
            self.add(Sighting(stamp, side, segment, arrived=stamp))


class Direct(_Between):
    """The machines' own network and addresses; what is changed there is put back."""

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        connections: Mapping[Side, Connection],
        addresses: dict[Side, str],
        ahead: Ahead,
    ) -> None:
        super().__init__(experiment, folder, ahead)
        self.addresses = addresses
        ends = (f"{connections[side].name} ({addresses[side]})" for side in connections)
        self.where = f"Played between {' and '.join(ends)}, on their own network."
        self._files = {side: path.with_suffix(".pcapng") for side, path in self.recordings.items()}
        with contextlib.ExitStack() as failing:
            failing.callback(self.close)
            hosts: dict[Side, RemotePlace] = {}
            self._devices: dict[Side, _Device] = {}
            for side, connection in connections.items():
                hosts[side] = borrow_network(connection)
                self._stack.callback(hosts[side].close)
            self.hosts = hosts
            for side, host in hosts.items():
                peer = addresses[other(side)]
                self._clear(host, peer)
                if experiment.patient:
                    host.ask("be_patient", peer)
                self._devices[side] = _Device(host, side, peer)
                self._stack.callback(self._devices[side].close)
            self.link = self._devices["left"]
            self._record([f"--port={port}" for port in PORTS])
            failing.pop_all()

    def _clear(self, host: RemotePlace, peer: str) -> None:
        """Have no TIME_WAIT of an earlier run there: kill it, or wait for its end."""
        ports = f"sport >= :{PORTS[0]} and sport <= :{PORTS[-1]}"
        to_ports = f"dport >= :{PORTS[0]} and dport <= :{PORTS[-1]}"
        for which in (ports, to_ports):
            for address in (peer, "127.0.0.1"):
                words = ("state", "time-wait", "dst", address, "and", "(", *which.split(), ")")
                host.run("ss", "-K", "-t", "-n", *words)
        deadline = time.monotonic() + _TIME_WAIT_PATIENCE
        while any(
            one.state == "TIME_WAIT" and {one.local_port, one.remote_port} & set(PORTS)
            for one in sockets(host)
        ):
            if time.monotonic() > deadline:
                raise ExperimentError("a TIME_WAIT on its ports does not end")
            time.sleep(0.5)

    def clocks(self, recordings: Mapping[Side, Recording]) -> Clocks:
        """Say how far the server's clock is ahead of the client's, which the capture has."""
        offset = {side: clock_offset(recordings[side]) for side in ROLES}
        seen = {
            side: [replace(one, time=one.time + offset[side]) for one in device.sightings]
            for side, device in self._devices.items()
        }
        difference, note = apart(self._ahead, recordings, seen)
        return Clocks(offset["left"], {"left": 0, "right": difference}, note)

    def stop_recorders(self) -> None:
        """End both recordings and the server's capture."""
        super().stop_recorders()
        self._devices["right"].freeze()

    def write_captures(self, recordings: Mapping[Side, Recording]) -> None:
        """Write what each host saw, on its own clock."""
        for side, device in self._devices.items():
            offset = clock_offset(recordings[side])
            pcapng.write(self._files[side], NAMES, device.sightings, offset)

    def captures(self) -> list[Path]:
        """Name the captures that were written."""
        return [path for path in self._files.values() if path.exists()]
