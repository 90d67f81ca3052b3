"""Hand-made tables of the documented columns, and a recording around them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tcptrace.analysis.filters import Filters
from tcptrace.analysis.found import Found, Part
from tcptrace.analysis.observed import Observed
from tcptrace.analysis.reconstruct import Reconstruction
from tcptrace.analysis.view import View, choose
from tcptrace.tracer.schema import SCHEMA

START = pd.Timestamp("2026-11-20 19:00:00", tz="UTC")

_TIMES = ("opened", "established", "closed", "time_wait_began")
_SECONDS = (
    "syn_sent_s",
    "syn_recv_s",
    "established_s",
    "fin_wait_1_s",
    "fin_wait_2_s",
    "closing_s",
    "close_wait_s",
    "last_ack_s",
    "time_wait_s",
)
_NULLABLE = (
    "conversation",
    "pid",
    "netns",
    "cgroup",
    "time_wait_restarts",
    "local_port",
    "remote_port",
    "family",
)
_TEXTS = (
    "role",
    "local_address",
    "remote_address",
    "comm",
    "closed_by",
    "outcome",
    "time_wait_end",
    "censored",
    "state",
    "error",
    "reset_reason",
)

#: A client that finished, closed by itself, its TIME_WAIT over after 60.8 s.
CLIENT = {
    "opened": 0.0,
    "established": 0.001,
    "closed": 1.0,
    "role": "client",
    "family": 4,
    "local_address": "10.0.0.1",
    "local_port": 40001,
    "remote_address": "10.0.0.2",
    "remote_port": 80,
    "netns": 4026531840,
    "cgroup": 1,
    "pid": 100,
    "comm": "curl",
    "closed_by": "local",
    "outcome": "finished",
    "syn_sent_s": 0.001,
    "established_s": 0.9,
    "fin_wait_1_s": 0.0005,
    "fin_wait_2_s": 0.0985,
    "time_wait_s": 60.8,
    "time_wait_began": 1.0,
    "time_wait_end": "expired",
    "time_wait_restarts": 0,
    "censored": "none",
    "state": "CLOSE",
}

#: The other end of it.
SERVER = {
    "opened": 0.0005,
    "established": 0.001,
    "closed": 1.0,
    "role": "server",
    "family": 4,
    "local_address": "10.0.0.2",
    "local_port": 80,
    "remote_address": "10.0.0.1",
    "remote_port": 40001,
    "netns": 4026531840,
    "cgroup": 1,
    "pid": 200,
    "comm": "nginx",
    "closed_by": "remote",
    "outcome": "finished",
    "syn_recv_s": 0.0005,
    "established_s": 0.9,
    "close_wait_s": 0.098,
    "last_ack_s": 0.0005,
    "censored": "none",
    "state": "CLOSE",
}

#: A connect() of unknown owner that failed before it had a port.
REFUSED_PORTLESS = {
    "opened": 2.0,
    "closed": 2.0,
    "role": "client",
    "family": 4,
    "remote_address": "10.0.0.2",
    "remote_port": 80,
    "outcome": "unknown",
    "censored": "none",
    "state": "CLOSE",
}


def at(seconds: float | None) -> pd.Timestamp:
    """Give the time so many seconds into the recording."""
    return pd.NaT if seconds is None else START + pd.Timedelta(seconds, "s")


def connections(*rows: dict[str, Any]) -> pd.DataFrame:
    """Make the connections table; times in seconds into the recording, ids counted up."""
    columns: dict[str, Any] = {
        "connection": pd.Series(
            [row.get("connection", place) for place, row in enumerate(rows)], dtype="int64"
        )
    }
    for names, dtype in ((_NULLABLE, "Int64"), (_SECONDS, "float64")):
        for name in names:
            columns[name] = pd.Series([row.get(name) for row in rows], dtype=dtype)
    for name in _TEXTS:
        columns[name] = pd.Series([row.get(name) for row in rows], dtype="object").astype(
            "category"
        )
    for name in _TIMES:
        columns[name] = _times([row.get(name) for row in rows])
    return pd.DataFrame(columns)


def time_wait(table: pd.DataFrame) -> pd.DataFrame:
    """Make the TIME_WAIT table that belongs to a connections table."""
    rows = table[table["time_wait_began"].notna() & (table["time_wait_end"] != "skipped")]
    is_open = rows["time_wait_end"] == "open"
    lived = pd.to_timedelta(rows["time_wait_s"], unit="s")
    before = rows["time_wait_began"] < START
    owner = [
        "connection",
        "conversation",
        "role",
        "netns",
        "cgroup",
        "pid",
        "comm",
        "family",
        "local_address",
        "local_port",
        "remote_address",
        "remote_port",
    ]
    return rows[owner].assign(
        began=rows["time_wait_began"],
        ended=(rows["time_wait_began"] + lived).where(~is_open).dt.as_unit("ns"),
        lived_s=rows["time_wait_s"],
        end=rows["time_wait_end"],
        restarts=rows["time_wait_restarts"],
        censored=pd.Series("none", index=rows.index)
        .mask(is_open, "right")
        .mask(before, "left")
        .astype("category"),
    )


def _times(seconds: list[float | None]) -> pd.Series:
    return pd.Series([at(each) for each in seconds], dtype="datetime64[ns, UTC]")


def events(count: int = 0) -> pd.DataFrame:
    """Make an events table of so many rows, none of which means anything."""
    return pd.DataFrame(
        {
            "time": pd.Series([START] * count, dtype="datetime64[ns, UTC]"),
            "kind": pd.Series(["error"] * count, dtype="category"),
            "socket": pd.Series([1] * count, dtype="uint64"),
            "old_state": pd.Series(["CLOSE"] * count, dtype="category"),
            "new_state": pd.Series(["CLOSE"] * count, dtype="category"),
            "local_port": pd.Series([1] * count, dtype="uint16"),
            "remote_port": pd.Series([1] * count, dtype="uint16"),
            "netns": pd.Series([1] * count, dtype="uint32"),
        }
    )


@dataclass
class FakeRecording:
    """Stands in for analysis.Recording with tables of one's own."""

    connections: pd.DataFrame
    time_wait: pd.DataFrame
    header: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)
    events: pd.DataFrame = field(default_factory=events)
    lost: int = 0
    complete: bool = True
    problem: str | None = None
    path: Path = Path("run.arrows")
    started: pd.Timestamp = START
    ended: pd.Timestamp = START + pd.Timedelta(75, "s")

    settling_s: float | None = None

    @property
    def observed(self) -> Observed:
        """What was watched, as the recording knows it."""
        settling = self.ended if self.settling_s is None else at(self.settling_s)
        times = [
            0 if pd.isna(time) else time.value for time in (self.started, settling, self.ended)
        ]
        return Observed(*times, self.lost, 0)

    @property
    def count(self) -> int:
        """How many events there are."""
        return len(self.events)

    @property
    def made(self) -> int | None:
        """How many events the kernel made."""
        return len(self.events) + self.lost if self.complete else None

    several = False

    @property
    def whole(self) -> Part:
        """What the events tell."""
        return self.found.gathered.whole()

    @property
    def found(self) -> Found:
        """What the events tell; columns that were not given are 0."""
        reconstruction = Reconstruction()
        given = self.events.to_dict("records")
        nothing = {"family": 4, "comm": "", "cgroup": 0, "pid": 0, "detail": None}
        nothing |= {"local_address": bytes(16), "remote_address": bytes(16)}
        rows = [{**nothing, **row} for row in given]
        reconstruction.add(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
        return reconstruction.finish()


HEADER = {
    "host": "web-1",
    "kernel": "6.18.0",
    "sysctl": {
        "ip_local_port_range": "32768 60999",
        "tcp_max_tw_buckets": 8192,
        "tcp_fin_timeout": 60,
    },
}


def recording(*rows: dict[str, Any], **about: Any) -> FakeRecording:
    """Make a recording that holds these connections."""
    table = connections(*rows)
    made = FakeRecording(table, time_wait(table), dict(HEADER), events=events(10))
    for name, value in about.items():
        setattr(made, name, value)
    return made


def view(*rows: dict[str, Any], filters: Filters | None = None, **about: Any) -> View:
    """Make what a report looks at."""
    return choose(recording(*rows, **about), filters or Filters())  # type: ignore[arg-type]
