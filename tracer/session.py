"""The record loop: from the ring buffer to the file until something says stop."""

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from tcptrace.tracer.convert import Columns
from tcptrace.tracer.names import Names
from tcptrace.tracer.schema import KIND, STATE
from tcptrace.tracer.stop import Stop
from tcptrace.tracer.waiting import WaitingSockets

#: Between two looks at the ring, seconds: ten wake-ups a second cost 0.05 % of a core,
#: and the default buffer holds more than a second of what two busy cores make.
POLL = 0.1
#: Rows are written at least this often, seconds, and when so many have come.
FLUSH = 0.5
FLUSH_ROWS = 1 << 15
#: Rows dealt with at a time: 0.8 MB, which stays in the CPU's cache until converted.
CHUNK = 8192


class Source(Protocol):
    """What a session reads from: :class:`tcptrace.tracer.capture.Capture`."""

    clock_offset_ns: int

    def read(self) -> np.ndarray:
        """Take everything pending."""

    def lost(self) -> int:
        """Count the events lost so far."""


class Writer(Protocol):
    """What a session writes to: :class:`tcptrace.tracer.recording.RecordingWriter`."""

    @property
    def full(self) -> bool:
        """Whether nothing more can be written."""

    @property
    def due(self) -> bool:
        """Whether to be told that time passes, by an empty batch."""

    def write(self, batch: Any, seen: int, lost: int, more: dict[str, Any] | None = None) -> None:
        """Add a batch."""


class Filter(Protocol):
    """Decides which events are written: :class:`tcptrace.tracer.filters.ConnectionFilter`."""

    def push(self, events: np.ndarray) -> np.ndarray:
        """Give the events that can be decided now and are wanted."""

    def drain(self) -> np.ndarray:
        """Give those held back that were never decided."""


class Snapshot(Protocol):
    """Every socket there is: :class:`tcptrace.tracer.snapshot.SnapshotProcess`."""

    problem: str | None

    def poll(self) -> np.ndarray | None:
        """Give its rows once they are there."""

    def close(self) -> None:
        """Give it up."""


class Session:
    """One recording in progress."""

    def __init__(
        self,
        source: Source,
        writer: Writer,
        keep: Filter | None,
        stop: Stop,
        names: Names | None = None,
    ) -> None:
        #: The TIME_WAITs that run now, of those that are recorded.
        self.waiting = WaitingSockets()
        #: Events read so far, wanted or not; ends of connections seen opening.
        self.seen = 0
        self.opened = 0
        #: The snapshots asked for, and what each lacks, if anything.
        self.snapshots: dict[str, str | None] = {}
        self._asked: tuple[str, Snapshot] | None = None
        self._stop = stop
        self._source, self._writer, self._keep = source, writer, keep
        #: What the namespaces and control groups recorded are called.
        self.names = Names() if names is None else names
        self._columns = Columns(FLUSH_ROWS)
        #: Lost by the last look at the rings, as far as all that was found then is taken in.
        self._told = 0
        self._flushed = time.monotonic()
        self._settling: str | None = None

    @property
    def lost(self) -> int:
        """Events that no ring had room for, or that no program was run for."""
        return self._source.lost()

    def run(self, until: Callable[[], str | None], show: Callable[["Session"], None]) -> str:
        """Record until ``until`` gives a reason; give that."""
        while True:
            reason = until()
            self.poll()
            show(self)
            if reason is not None:
                return reason
            self._stop.wait(POLL)

    def settle(
        self,
        until: Callable[[], str | None],
        since: str,
        show: Callable[["Session"], None],
    ) -> None:
        """Follow only the TIME_WAITs already begun, until none runs or ``until`` says so.

        ``since``: the time now, for the recording to say from when on nothing else
        was written. Handshakes are kept: one may reuse a TIME_WAIT's four-tuple.
        """
        self.poll()
        self.flush()
        self._settling = since
        self.run(lambda: until() if self.waiting else "none runs", show)

    def poll(self) -> None:
        """Read what is pending; write it if it is time."""
        events = self._source.read()
        # Only a ring that holds events loses any.
        lost = self._source.lost() if len(events) else self._told
        for start in range(0, len(events), CHUNK):
            if self._writer.full:
                return
            self._take(events[start : start + CHUNK])
        # A ring that is full loses what comes after what it holds: no batch of that may
        # tell of it, or a reader takes what follows for complete.
        self._told = lost
        self._take_snapshot()
        if time.monotonic() - self._flushed >= FLUSH:
            self.flush()

    def _take(self, events: np.ndarray) -> None:
        self.seen += len(events)
        if self._settling is None:
            born = (events["kind"] == KIND["state"]) & np.isin(
                events["new_state"], (STATE["SYN_SENT"], STATE["SYN_RECV"])
            )
            self.opened += int(np.count_nonzero(born))
        else:
            events = self._settling_only(events)
        if self._keep is not None:
            events = self._keep.push(events)
        if self._settling is None:
            self.waiting.update(events)
        self.add(events)

    def _settling_only(self, events: np.ndarray) -> np.ndarray:
        """Keep what is about TIME_WAITs begun before, and handshakes."""
        handshake = (events["kind"] == KIND["state"]) & (
            np.isin(events["new_state"], (STATE["SYN_SENT"], STATE["SYN_RECV"]))
            | (events["old_state"] == STATE["SYN_SENT"])
        )
        known = self.waiting.known(events)
        self.waiting.update(events[known])
        followed: np.ndarray = events[known | handshake]
        return followed

    def ask(self, when: str, snapshot: Snapshot) -> None:
        """Have a snapshot's rows written once they are there.

        ``when``: start, end or settled. While one is under way there must be no other:
        :meth:`complete` it first.
        """
        self._asked = when, snapshot

    def complete(self, until: Callable[[], str | None]) -> None:
        """Record until the snapshot asked for is there, or ``until`` gives a reason."""
        nothing: Callable[[Session], None] = lambda _: None  # noqa: E731
        reason = self.run(lambda: until() if self._asked else "it is there", nothing)
        self.abandon(reason)

    @property
    def asking(self) -> bool:
        """Whether a snapshot is under way."""
        return self._asked is not None

    def abandon(self, reason: str) -> None:
        """Give up the snapshot under way, if there is one."""
        if self._asked is not None:
            when, snapshot = self._asked
            snapshot.close()
            self.snapshots[when] = f"sockets that made no event are not known: {reason}"
            self._asked = None

    def _take_snapshot(self) -> None:
        """Write the rows of the snapshot under way, if they are there."""
        if self._asked is None:
            return
        when, snapshot = self._asked
        rows = snapshot.poll()
        if rows is None:
            return
        self.snapshots[when], self._asked = snapshot.problem, None
        if self._settling is not None:
            rows = rows[rows["detail"] >= 0]  # timewait sockets
        if self._keep is not None:
            rows = self._keep.push(rows)
        found = rows[rows["kind"] == KIND["existing"]]
        self.waiting.include(found, every=snapshot.problem is None)
        self.add(rows)

    def add(self, events: np.ndarray) -> None:
        """Have rows written with the next flush."""
        self.names.notice(events)
        while len(events) and not self._writer.full:
            fitting = events[: self._columns.room]
            self._columns.add(fitting)
            if not self._columns.room:
                self.flush()
            events = events[len(fitting) :]

    def flush(self, *, last: bool = False) -> None:
        """Write what is pending; ``last``: names that were to wait, too."""
        names = self.names.new(at_once=last)
        if (self._columns.rows or names or self._writer.due) and not self._writer.full:
            batch = self._columns.take(self._source.clock_offset_ns)
            self._writer.write(batch, self.seen, self._told, self.settling | names)
        self._flushed = time.monotonic()

    @property
    def settling(self) -> dict[str, Any]:
        """What a batch says of it: ``settling``, since when; empty before."""
        return {} if self._settling is None else {"settling": self._settling}

    def finish(self) -> None:
        """Write everything that is left, undecided events included."""
        self.poll()
        if self._keep is not None:
            self.add(self._keep.drain())
        self.flush(last=True)
