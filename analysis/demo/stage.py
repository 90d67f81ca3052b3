"""Where an experiment is played: two hosts, a link, programs, the recorder."""

import threading
import time
from collections.abc import Callable

from tcptrace.analysis.demo.capture import PATIENCE, Capture, ExperimentError, Side, other
from tcptrace.analysis.demo.ground import Ground
from tcptrace.analysis.demo.packet import RST, build
from tcptrace.analysis.demo.place import Place
from tcptrace.analysis.demo.programs import Calls
from tcptrace.analysis.demo.sockets import sockets, states
from tcptrace.analysis.demo.wire import Wire

#: Longer than any TIME_WAIT lives on any kernel (60 s and one turn of the timer wheel).
_TIME_WAIT_PATIENCE = 90.0


class Stage:
    """Everything an experiment uses; :meth:`close` leaves nothing of it.

    ``left`` is the client's host and ``right`` the server's, by convention.
    ``status`` says in a few words what is going on. Once ``stop`` is set, every wait
    fails.
    """

    def __init__(self, ground: Ground, stop: threading.Event) -> None:
        self.ground = ground
        self.status = "setting up"
        self.skipped: list[str] = []
        self.left, self.right = ground.hosts["left"], ground.hosts["right"]
        self._stop = stop
        self._programs: list[Calls] = []

    @property
    def link(self) -> Capture:
        """What joins the hosts; it holds the capture."""
        return self.ground.link

    @property
    def wire(self) -> Wire:
        """The link, where it is the user-space wire."""
        assert isinstance(self.link, Wire)  # noqa: S101  the experiment asked for it
        return self.link

    def host(self, side: Side) -> Place:
        """Return the host on a side."""
        return self.ground.hosts[side]

    def address(self, side: Side) -> str:
        """Return the IPv4 address of the host on a side."""
        return self.ground.addresses[side]

    def start_recorder(self) -> None:
        """Wait until the recorder sees everything."""
        self.status = "starting the recorder"
        self.ground.start_recorders(self._stop)

    def stop_recorder(self) -> None:
        """End the recording, and what the capture takes in."""
        self.status = "ending the recording"
        self.ground.stop_recorders()
        self.link.freeze()

    def program(self, name: str, side: Side) -> Calls:
        """Start a process on one host."""
        program = self.ground.program(name, side)
        self._programs.append(program)
        return program

    def connect(
        self, client: Calls, server: Calls, port: int, local_port: int, name: str = "c"
    ) -> None:
        """Join two programs by a connection both call ``name``; ``l`` is the listener."""
        server.start("accept", name=name, listener="l")
        reply = client.ask(
            "connect", name=name, address=self.address("right"), port=port, local_port=local_port
        )
        accepted = server.finish()
        for side, one in (("connect()", reply), ("accept()", accepted)):
            if one.error:
                raise ExperimentError(f"{side} on port {port} failed: {one.error}")

    def close_in_order(self, first: Calls, second: Calls, name: str = "c") -> None:
        """Close a connection, ``first`` actively; both programs hold on until the end.

        Had ``first`` let go at once, the kernel might not say when its TIME_WAIT began.
        """
        first.do("shutdown", name=name)
        second.do("close_at_end", name=name)
        first.do("close_at_end", name=name)

    def pause(self, duration: float) -> None:
        """Let time pass where time itself is what the experiment is about."""
        if self._stop.wait(duration):
            raise ExperimentError("interrupted")

    def wait_until(
        self, true: Callable[[], bool], what: str, patience: float = PATIENCE, every: float = 0.02
    ) -> None:
        """Wait for something only polling can tell."""
        deadline = time.monotonic() + patience
        while not true():
            if time.monotonic() > deadline:
                raise ExperimentError(f"{what}: not within {patience:.0f} s")
            self.pause(every)

    def wait_for_states(self, side: Side, port: int, expected: list[str]) -> None:
        """Wait until the sockets with ``port`` on a host are in just these states."""
        self.wait_until(
            lambda: states(self.host(side), port) == sorted(expected),
            f"port {port} on the {side} host in {', '.join(expected) or 'no state'}",
        )

    def wait_for_time_wait_end(self, side: Side, port: int) -> None:
        """Wait until no TIME_WAIT with ``port`` is left on a host."""

        def ended() -> bool:
            left = [s.timer_s for s in sockets(self.host(side), port) if s.state == "TIME_WAIT"]
            if left:
                self.status = f"TIME_WAIT: {max(left):.0f} s to go"
            return not left

        self.wait_until(ended, "the end of TIME_WAIT", _TIME_WAIT_PATIENCE, every=0.2)

    def kill_time_wait(self, side: Side, port: int) -> None:
        """Remove the TIME_WAIT of a local port: with ``ss -K``, or else with an RST.

        Not every kernel lets ``ss`` do it; none but those set to follow RFC 1337
        withstand an RST at the next sequence number.
        """
        host = self.host(side)
        host.run("ss", "-K", "-t", "-n", "state", "time-wait", "sport", "=", f":{port}")
        if "TIME_WAIT" not in states(host, port):
            return
        fin = self.wire.find(
            lambda one: one.segment.target_port == port and one.segment.fin and one.side != side
        )[-1].segment
        rst = build(
            *(fin.source, fin.source_port, fin.target, fin.target_port), seq=fin.end, flags=RST
        )
        before = host.sysctl("tcp_rfc1337")
        host.set_sysctl("tcp_rfc1337", 0)
        self.wire.inject(other(side), rst)
        host.set_sysctl("tcp_rfc1337", before)
        if "TIME_WAIT" in states(host, port):
            raise ExperimentError("neither ss -K nor an RST removed the TIME_WAIT")

    def cancel(self) -> None:
        """Make whatever is being waited for fail soon."""
        self.ground.cancel()
        for program in self._programs:
            program.kill()

    def close(self) -> None:
        """End every process and thread, and let the hosts go."""
        while self._programs:
            self._programs.pop().close()
        self.ground.close()
