"""The sockets of this moment, event by event: what ``live`` shows.

Each event costs a step of Python here, unlike in ``record``: enough for some tens of
thousands of events a second.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcptrace.tracer.schema import KINDS, STATES

Tuple = tuple[int, bytes, int, bytes, int]
Event = dict[str, Any]

#: A timewait socket's timer starts microseconds before its full socket reports CLOSE,
#: and a timer that is armed anew is cancelled just before.
_SAME_MOMENT_NS = 50_000_000

#: Transitions made by the program itself, not by whatever a segment interrupted.
_BY_OWNER = frozenset(
    {
        ("CLOSE", "SYN_SENT"),
        ("CLOSE", "LISTEN"),
        ("ESTABLISHED", "FIN_WAIT_1"),
        ("CLOSE_WAIT", "LAST_ACK"),
    }
)


@dataclass(slots=True)
class Socket:
    """One end of a connection; ``time`` (monotonic, ns): when it entered ``state``.

    ``comm`` and ``pid``: the owner, None where unknown. A ``comm`` without ``pid`` is
    that of the listening socket it came from. ``older``: it was in this state before
    anyone looked.
    """

    key: Tuple
    state: str
    time: int
    comm: str | None = None
    pid: int | None = None
    older: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """A socket left ``old`` for ``new`` after ``lasted_ns`` (None: unknown)."""

    time: int
    key: Tuple
    comm: str | None
    pid: int | None
    old: str
    new: str
    lasted_ns: int | None
    note: str = ""


class LiveSockets:
    """Follows every socket; owners only from what the owners did themselves.

    ``sockets``: the full sockets by kernel address; ``waiting``: the timewait sockets
    by theirs, sub-state FIN_WAIT_2 included. ``older``: those that have not done
    anything yet since a snapshot told of them, by four-tuple.
    """

    def __init__(self) -> None:
        self.sockets: dict[int, Socket] = {}
        self.waiting: dict[int, Socket] = {}
        self.older: dict[Tuple, Socket] = {}
        self._listeners: dict[tuple[int, int], str | None] = {}
        self._last_by_key: dict[Tuple, Socket] = {}
        #: What did something before the snapshot came, which is later than its looking.
        self._known: set[Tuple] | None = set()
        self._cancelled: dict[int, tuple[int, Socket]] = {}

    def everything(self) -> Iterator[Socket]:
        """Go through all sockets known now, listening ones left out."""
        yield from self.sockets.values()
        yield from self.waiting.values()
        yield from self.older.values()

    def push(self, events: np.ndarray) -> Iterator[Transition]:
        """Take in records (dtype ``tracer.layout.EVENT``), in order."""
        names = events.dtype.names or ()
        for values in events.tolist():
            event = dict(zip(names, values, strict=True))
            kind = KINDS[event["kind"]] if event["kind"] < len(KINDS) else ""
            if kind == "state":
                yield from self._state(event)
            elif kind == "existing":
                self._existing(event)
            elif kind == "timewait_start":
                yield from self._started(event)
            elif kind == "timewait_cancel":
                if event["socket"] in self.waiting:
                    socket = self.waiting.pop(event["socket"])
                    self._cancelled[event["socket"]] = (event["time"], socket)
            elif kind in ("timewait_expire", "timewait_reused"):
                yield from self._over(event, kind.removeprefix("timewait_"))

    def snapshot_done(self) -> None:
        """Know that all rows of kind ``existing`` have come."""
        self._known = None

    def settle(self, now: int) -> Iterator[Transition]:
        """Tell of the timewait sockets that were ended before their time.

        ``now``: CLOCK_MONOTONIC, ns. A cancelled timer may mean an expiry or a new
        start: those events follow at once.
        """
        for address, (time, socket) in list(self._cancelled.items()):
            if now - time >= _SAME_MOMENT_NS:
                del self._cancelled[address]
                self._forget(socket)
                yield _moved(socket, "CLOSE", time, "ended early")

    def _state(self, event: Event) -> Iterator[Transition]:
        old, new = STATES[event["old_state"]], STATES[event["new_state"]]
        key, time = _key(event), event["time"]
        self._seen(key)
        if new == "LISTEN":
            self._listeners[key[0], key[2]] = _comm(event)
            return
        if old == "LISTEN" and new == "CLOSE":
            self._listeners.pop((key[0], key[2]), None)
            return
        socket = self.sockets.get(event["socket"])
        if socket is None or old in ("CLOSE", "LISTEN"):
            socket = self.older.pop(key, None) or Socket(key, old, 0, older=True)
            if old in ("CLOSE", "LISTEN"):
                socket = Socket(key, old, time)
                # Whoever listens is the owner's program, if not the very process.
                socket.comm = self._listeners.get((key[0], key[2])) if old == "LISTEN" else None
            self.sockets[event["socket"]] = socket
        socket.key = key
        if (old, new) in _BY_OWNER:
            socket.comm, socket.pid = _comm(event), event["pid"]
        if new != "CLOSE":
            yield _moved(socket, new, time)
            return
        del self.sockets[event["socket"]]
        waiting = self._last_by_key.get(key)
        if waiting is not None and time - waiting.time < _SAME_MOMENT_NS:
            # What the kernel calls CLOSE here is the change to a timewait socket.
            waiting.comm, waiting.pid = socket.comm, socket.pid
            if waiting.state == "TIME_WAIT":
                yield _moved(socket, "TIME_WAIT", waiting.time)
            else:
                waiting.time, waiting.older = socket.time, socket.older
            return
        yield _moved(socket, "CLOSE", time)

    def _existing(self, event: Event) -> None:
        state, key = STATES[event["new_state"]], _key(event)
        held = event["pid"] != 0
        if state == "LISTEN":
            self._listeners.setdefault((key[0], key[2]), _comm(event) if held else None)
            return
        # It may have done something since: then its address is known, and more.
        if self._known is None or key in self._known:
            return
        socket = Socket(key, state, event["time"], older=True)
        if held:
            socket.comm, socket.pid = _comm(event), event["pid"]
        self.older[key] = socket

    def _started(self, event: Event) -> Iterator[Transition]:
        key, time, address = _key(event), event["time"], event["socket"]
        state = STATES[event["new_state"]]
        self._seen(key)
        before = self._cancelled.pop(address, (0, None))[1]
        if before is not None and before.key == key:
            self.waiting[address] = before
            if before.state != state:
                yield _moved(before, state, time)
            else:
                yield _moved(before, state, time, "again: the peer's FIN came again")
            return
        self.older.pop(key, None)
        socket = Socket(key, state, time)
        self.waiting[address] = self._last_by_key[key] = socket

    def _over(self, event: Event, how: str) -> Iterator[Transition]:
        socket = self._cancelled.pop(event["socket"], (0, None))[1]
        socket = socket or self.waiting.pop(event["socket"], None)
        socket = socket or self.older.pop(_key(event), None)
        if socket is None:
            return
        self._forget(socket)
        if socket.state == "FIN_WAIT_2" and STATES[event["new_state"]] == "TIME_WAIT":
            yield _unseen(socket, event["time"])
        note = "expired" if how == "expire" else "reused by a SYN"
        yield _moved(socket, "CLOSE", event["time"], note)

    def _forget(self, socket: Socket) -> None:
        if self._last_by_key.get(socket.key) is socket:
            del self._last_by_key[socket.key]

    def _seen(self, key: Tuple) -> None:
        if self._known is not None:
            self._known.add(key)


def _moved(socket: Socket, new: str, time: int, note: str = "") -> Transition:
    """Note a change of state in the socket itself, and tell of it."""
    lasted = None if socket.older else time - socket.time
    if socket.state in ("CLOSE", "LISTEN"):
        lasted = None
    told = Transition(time, socket.key, socket.comm, socket.pid, socket.state, new, lasted, note)
    socket.state, socket.time, socket.older = new, time, False
    return told


def _unseen(socket: Socket, time: int) -> Transition:
    """Tell, at its end, of a TIME_WAIT that began without an event.

    A FIN that comes so soon after close() that the timer stays in its bucket of the
    wheel changes the state and nothing else (__mod_timer()).
    """
    socket.older = True  # since when it was what, nobody knows
    told = _moved(socket, "TIME_WAIT", time, "some time before: it made no event")
    socket.older = True
    return told


def _key(event: Event) -> Tuple:
    return (
        event["netns"],
        event["local_address"],
        event["local_port"],
        event["remote_address"],
        event["remote_port"],
    )


def _comm(event: Event) -> str:
    name: bytes = event["comm"]
    return name.decode(errors="replace")
