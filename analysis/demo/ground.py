"""What an experiment is played on: two hosts, a link, and a recorder's view of them."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from tcptrace.analysis.demo import pcapng
from tcptrace.analysis.demo.capture import Capture, Side
from tcptrace.analysis.demo.evidence import Clocks, clock_offset
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.link import ADDRESS, Loop
from tcptrace.analysis.demo.namespace import Namespace
from tcptrace.analysis.demo.place import Place
from tcptrace.analysis.demo.programs import Calls, Program
from tcptrace.analysis.demo.recorder import Recorder
from tcptrace.analysis.demo.tun import Tun
from tcptrace.analysis.demo.veth import Veth
from tcptrace.analysis.demo.wire import Wire
from tcptrace.analysis.recording import Recording

#: The interfaces of a capture of both hosts.
NAMES = ("client's host", "server's host")


class Ground(Protocol):
    """Where an experiment is played; :meth:`close` leaves nothing of it but its files.

    ``left`` is the client's host and ``right`` the server's. ``addresses``: theirs.
    ``link``: what joins them; it holds the capture. ``recordings``: each host's, maybe the
    same file.
    """

    addresses: dict[Side, str]
    link: Capture
    recordings: dict[Side, Path]
    #: Where this is, if not on this machine.
    where: str | None

    @property
    def hosts(self) -> Mapping[Side, Place]:
        """Return the client's and the server's."""

    def program(self, name: str, side: Side) -> Calls:
        """Start a process on one host."""

    def start_recorders(self, stop: threading.Event) -> None:
        """Wait until everything is recorded; give up once ``stop`` is set."""

    def stop_recorders(self) -> None:
        """End the recordings; they can be read then."""

    def clocks(self, recordings: Mapping[Side, Recording]) -> Clocks:
        """Say how the hosts' clocks and the capture's relate, from what was recorded."""

    def write_captures(self, recordings: Mapping[Side, Recording]) -> None:
        """Write captures beside the recordings."""

    def captures(self) -> list[Path]:
        """Name the captures that were written."""

    def cancel(self) -> None:
        """Make what waits for the link fail soon."""

    def close(self) -> None:
        """End every process and thread, and let everything else go."""


#: Makes the ground of an experiment; its files go into the folder.
MakeGround = Callable[[Experiment, Path], Ground]


class OneMachine:
    """Two namespaces on this machine, joined by a wire of our own or by a veth pair."""

    where: str | None = None

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        recording = folder / f"{experiment.name}.arrows"
        self.recordings: dict[Side, Path] = {"left": recording, "right": recording}
        self.addresses = dict(ADDRESS)
        self._capture = recording.with_suffix(".pcapng")
        with contextlib.ExitStack() as stack:
            self._namespaces: dict[Side, Namespace] = {}
            for side in ADDRESS:
                self._namespaces[side] = Namespace()
                stack.callback(self._namespaces[side].close)
            self.hosts: Mapping[Side, Place] = self._namespaces
            self.link: Capture = self._join(experiment, stack)
            filters = [f"--netns={one.inode}" for one in self._namespaces.values()]
            self._recorder = Recorder(recording, filters)
            stack.callback(self._recorder.close)
            self._stack = stack.pop_all()

    def _join(self, experiment: Experiment, stack: contextlib.ExitStack) -> Wire | Veth:
        if not experiment.wire:
            veth = Veth(*self._namespaces.values(), patient=experiment.patient)
            stack.callback(veth.close)
            return veth
        loop = Loop("wire")
        try:
            wire = Wire(
                self.hosts,
                lambda side, take: Tun(self._namespaces[side], loop, take),
                experiment.mtu,
                patient=experiment.patient,
            )
        except BaseException:
            loop.close()
            raise
        stack.callback(wire.close)
        stack.callback(loop.close)
        loop.start()
        return wire

    def program(self, name: str, side: Side) -> Calls:
        """Start a process in a namespace."""
        return Program(name, self._namespaces[side])

    def start_recorders(self, stop: threading.Event) -> None:
        """Wait until the recorder sees everything."""
        self._recorder.wait(stop)

    def stop_recorders(self) -> None:
        """End the recording."""
        self._recorder.stop()

    def clocks(self, recordings: Mapping[Side, Recording]) -> Clocks:
        """Say how the clocks relate: they are one."""
        return Clocks(clock_offset(recordings["left"]))

    def write_captures(self, recordings: Mapping[Side, Recording]) -> None:
        """Write the capture of both hosts into one file."""
        offset = clock_offset(recordings["left"])
        pcapng.write(self._capture, NAMES, self.link.sightings, offset)

    def captures(self) -> list[Path]:
        """Name the capture, if it was written."""
        return [self._capture] if self._capture.exists() else []

    def cancel(self) -> None:
        """Make what waits for the link fail soon."""
        self.link.abandon()

    def close(self) -> None:
        """Let the namespaces go."""
        self._stack.close()
