"""Kernel events written by hand: sockets, timewait sockets and the clock between them.

::

    story = Story()
    client = story.socket(CLIENT_END)
    client.connect(by=CURL)
    client.close(by=CURL)
    wait = client.time_wait()
    story.after(seconds=60.8)
    wait.expire()
    row = story.connection()

Every event is 1 us after the one before, unless `after()` says more. What the kernel
does by itself is done in the name of a bystander, as in a softirq.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from tcptrace.analysis.connections import Tables, build_tables
from tcptrace.analysis.observed import NEVER, Observed
from tcptrace.tracer.schema import METADATA_KEY, SCHEMA

START = pd.Timestamp("2026-11-20 19:00:00", tz="UTC").value
MICROSECOND, SECOND = 1_000, 1_000_000_000
NETNS, OTHER_NETNS = 4026531840, 4026532999
TIMERS = ("timer:timer_start", "timer:timer_expire_entry", "timer:timer_cancel")
FIN_RECEIVED, ORPHAN = 1, 2  # `detail` of a CLOSE; from bit 8 up the error


class Task(NamedTuple):
    """Who runs when an event happens."""

    pid: int
    comm: str
    cgroup: int = 1


BYSTANDER = Task(0, "swapper/0")
CURL = Task(100, "curl", 11)
NGINX = Task(200, "nginx", 22)


class End(NamedTuple):
    """One end's four-tuple."""

    local: str
    local_port: int
    remote: str
    remote_port: int
    netns: int = NETNS

    def other(self, netns: int | None = None) -> End:
        """The same connection from its other end."""
        return End(self.remote, self.remote_port, self.local, self.local_port, netns or self.netns)


CLIENT_END = End("10.0.0.1", 40001, "10.0.0.2", 80)
SERVER_END = CLIENT_END.other()


def packed(address: str) -> bytes:
    """16 bytes, IPv4 mapped."""
    parsed = ipaddress.ip_address(address)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def table_of(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Rows as the recorder would store them."""
    rows = list(rows)
    columns = []
    for column in SCHEMA:
        values = [row[column.name] for row in rows]
        if pa.types.is_dictionary(column.type):
            array = pa.array(values, pa.string()).dictionary_encode().cast(column.type)
        else:
            array = pa.array(values, column.type)
        columns.append(array)
    return pa.Table.from_arrays(columns, schema=SCHEMA)


@dataclass
class Story:
    """Events in order, the clock, and what the recording says about itself."""

    hz: int | None = 250
    timers: bool = True
    lost: int = 0
    lost_until: int = NEVER
    settling: int | None = None
    now: int = START
    rows: list[dict[str, Any]] = field(default_factory=list)
    next_address: int = 0xFFFF888000000000
    reset_reasons: dict[str, str] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)

    @property
    def jiffy(self) -> int:
        return SECOND // (self.hz or 250)

    def after(self, seconds: float = 0, *, us: float = 0) -> Story:
        """Let time pass."""
        self.now += round(seconds * SECOND + us * MICROSECOND)
        return self

    def lose(self, count: int = 1) -> Story:
        """Say that events were lost up to now."""
        self.lost += count
        self.lost_until = self.now
        return self

    def emit(
        self,
        kind: str,
        address: int,
        old: str,
        new: str,
        end: End,
        *,
        by: Task = BYSTANDER,
        detail: int | None = 0,
    ) -> None:
        """Write one event, 1 us later."""
        self.now += MICROSECOND
        self.rows.append(
            {
                "time": self.now,
                "kind": kind,
                "socket": address,
                "old_state": old,
                "new_state": new,
                "family": 6 if ":" in end.local or ":" in end.remote else 4,
                "local_address": packed(end.local),
                "local_port": end.local_port,
                "remote_address": packed(end.remote),
                "remote_port": end.remote_port,
                "netns": end.netns,
                "cgroup": by.cgroup,
                "pid": by.pid,
                "comm": by.comm,
                "detail": detail,
            }
        )

    def new_address(self) -> int:
        self.next_address += 0x940
        return self.next_address

    def socket(self, end: End, state: str = "CLOSE", address: int | None = None) -> Socket:
        """Make a socket in some state; its address is a new one unless given."""
        return Socket(self, end, state, address or self.new_address())

    def timewait(self, end: End, substate: str = "TIME_WAIT", *, left: float = 60) -> TimeWait:
        """Make a timewait socket older than the recording, so many seconds from its expiry."""
        expires = self.now + round(left * SECOND)
        return TimeWait(self, end, self.new_address(), substate, expires)

    def existing(
        self, end: End, state: str, *, by: Task = BYSTANDER, left: float | None = None
    ) -> None:
        """Write a snapshot's row; `left`: seconds, of a timewait socket."""
        detail = None if left is None or not self.hz else round(left * self.hz)
        self.emit("existing", 0, state, state, end, by=by, detail=detail)

    @property
    def header(self) -> dict[str, Any]:
        probe = {"attached": self.timers, "reason": None}
        return {
            "format": 1,
            "host": "here",
            "hz": self.hz,
            "started": pd.Timestamp(START, tz="UTC").isoformat(),
            "probes": dict.fromkeys(TIMERS, probe),
            "reset_reasons": self.reset_reasons,
            "lacks": self.lacks,
        }

    @property
    def observed(self) -> Observed:
        settling = self.now if self.settling is None else self.settling
        return Observed(START, settling, self.now, self.lost, self.lost_until)

    @property
    def table(self) -> pa.Table:
        return table_of(self.rows)

    def tables(self) -> Tables:
        """Reconstruct what was written so far."""
        return build_tables(self.table, self.header, self.observed)

    def connections(self) -> list[dict[str, Any]]:
        """The `connections` table's rows; null is None."""
        return plain(self.tables().connections)

    def connection(self, end: End | None = None) -> dict[str, Any]:
        """The only row, or the only one of this end."""
        rows = [row for row in self.connections() if end is None or of_end(row, end)]
        assert len(rows) == 1, f"{len(rows)} rows"
        return rows[0]

    def time_waits(self) -> list[dict[str, Any]]:
        """The `time_wait` table's rows; null is None."""
        return plain(self.tables().time_wait)

    def save(self, path: Path, *, final: bool = True, batch: int = 4) -> Path:
        """Write a recording's file."""
        schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(self.header)})
        table = self.table
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            events = 0
            for part in table.to_batches(max_chunksize=batch):
                events += len(part)
                totals = {"events": events, "lost": self.lost}
                writer.write_batch(part, custom_metadata=_encoded(totals))
            if final:
                ended = pd.Timestamp(self.now, tz="UTC").isoformat()
                totals = {"events": events, "lost": self.lost, "final": True, "ended": ended}
                empty = pa.RecordBatch.from_pylist([], schema=SCHEMA)
                writer.write_batch(empty, custom_metadata=_encoded(totals))
        return path


def _encoded(totals: dict[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in totals.items()}


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries; null is None, times are ns since 1970."""
    objects = {}
    for name in frame:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            values = [None if pd.isna(value) else value.value for value in column]
        else:
            values = [None if pd.isna(value) else value for value in column.astype(object)]
        objects[name] = values
    return [dict(zip(objects, row, strict=True)) for row in zip(*objects.values(), strict=True)]


def of_end(row: dict[str, Any], end: End) -> bool:
    names = ("local_address", "local_port", "remote_address", "remote_port", "netns")
    return tuple(row[name] for name in names) == tuple(end)


@dataclass
class Socket:
    """A full socket; its methods are what happens to it."""

    story: Story
    end: End
    state: str
    address: int

    def to(
        self,
        *states: str,
        by: Task = BYSTANDER,
        detail: int = 0,
        end: End | None = None,
    ) -> Socket:
        """Change state, once or several times in a row."""
        for state in states:
            self.story.emit(
                "state", self.address, self.state, state, end or self.end, by=by, detail=detail
            )
            self.state = state
        return self

    def syn(self, by: Task = CURL) -> Socket:
        """connect() before it has chosen a port."""
        return self.to("SYN_SENT", by=by, end=self.end._replace(local_port=0))

    def connect(self, by: Task = CURL) -> Socket:
        """The whole handshake, by the client."""
        return self.syn(by).to("ESTABLISHED")

    def arrive(self) -> Socket:
        """LISTEN -> SYN_RECV: the child is cloned from its listener."""
        self.state = "LISTEN"
        return self.to("SYN_RECV")

    def accept(self) -> Socket:
        """The whole handshake, by the server."""
        return self.arrive().to("ESTABLISHED")

    def close(self, by: Task) -> Socket:
        """Send the first FIN and have it acknowledged."""
        return self.to("FIN_WAIT_1", by=by).to("FIN_WAIT_2")

    def closed_by_peer(self, by: Task) -> Socket:
        """Get the first FIN, answer with the second, have that acknowledged."""
        return self.to("CLOSE_WAIT").to("LAST_ACK", by=by).gone(fin=True)

    def gone(
        self, *, fin: bool = False, orphan: bool = False, error: int = 0, by: Task = BYSTANDER
    ) -> Socket:
        """-> CLOSE, with what the kernel knows of it."""
        detail = fin * FIN_RECEIVED | orphan * ORPHAN | error << 8
        return self.to("CLOSE", by=by, detail=detail)

    def time_wait(self, substate: str = "TIME_WAIT", *, seconds: float = 60) -> TimeWait:
        """Give way to a timewait socket: its timer starts, then this one is gone."""
        story = self.story
        wait = TimeWait(story, self.end, story.new_address(), substate, 0)
        wait.start(seconds)
        self.gone(fin=substate == "TIME_WAIT", orphan=substate == "FIN_WAIT_2")
        return wait

    def reset_received(self) -> Socket:
        self.story.emit("reset_received", self.address, self.state, self.state, self.end)
        return self

    def reset_sent(self, reason: int | None = 0, by: Task = BYSTANDER) -> Socket:
        self.story.emit(
            "reset_sent", self.address, self.state, self.state, self.end, by=by, detail=reason
        )
        return self


@dataclass
class TimeWait:
    """A timewait socket and its timer."""

    story: Story
    end: End
    address: int
    substate: str
    expires: int

    def _emit(self, kind: str, by: Task = BYSTANDER) -> None:
        story = self.story
        # The kernel counts whole jiffies: of the expiry as of now.
        left = self.expires // story.jiffy - (story.now + MICROSECOND) // story.jiffy
        story.emit(kind, self.address, self.substate, self.substate, self.end, by=by, detail=left)

    def start(self, seconds: float = 60) -> TimeWait:
        """Arm the timer."""
        self._arm(seconds)
        self._emit("timewait_start")
        return self

    def _arm(self, seconds: float) -> None:
        jiffy = self.story.jiffy
        now = (self.story.now + MICROSECOND) // jiffy * jiffy
        self.expires = now + round(seconds * SECOND)

    def rearm(self, *, silent: bool = False) -> TimeWait:
        """The peer's FIN, or its repetition: 60 s from now. Silent if the wheel's bucket stays."""
        self.substate = "TIME_WAIT"
        if silent:
            self._arm(60)
            return self
        self._emit("timewait_cancel")
        return self.start()

    def expire(self) -> None:
        self._emit("timewait_cancel")
        self._emit("timewait_expire")

    def cancel(self, by: Task = BYSTANDER) -> None:
        """End early: connect(), a SYN, a RST, ss -K."""
        self._emit("timewait_cancel", by)

    def reused_by_syn(self) -> None:
        """The witness: a request socket took its place."""
        self.story.emit("timewait_reused", self.address, "TIME_WAIT", "NEW_SYN_RECV", self.end)

    def reset_sent(self) -> None:
        """Data came for a closed connection."""
        self.story.emit("reset_sent", self.address, self.substate, self.substate, self.end)

    def snapshot(self) -> None:
        """Seen by sock_diag."""
        left = self.expires // self.story.jiffy - (self.story.now + MICROSECOND) // self.story.jiffy
        self.story.emit(
            "existing",
            0,
            self.substate,
            self.substate,
            self.end,
            detail=left if self.story.hz else None,
        )
