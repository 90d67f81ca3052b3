"""The `connections` and `time_wait` tables, from a recording's events."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tcptrace.analysis.assemble import Observed, Rows
from tcptrace.analysis.events import event_arrays
from tcptrace.analysis.lives import find_lives, split_rows
from tcptrace.analysis.snapshots import match, snapshot_rows
from tcptrace.analysis.timewait import find_time_waits, jiffy_rate
from tcptrace.analysis.tuples import tuple_ids

_SHARED = [
    "connection",
    "conversation",
    "role",
    "family",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "netns",
    "cgroup",
    "pid",
    "comm",
]


@dataclass(frozen=True)
class Tables:
    """``connections``: one row per connection's end; ``time_wait``: per TIME_WAIT begun.

    ``connections``: ``connection`` int64; ``conversation`` Int64, shared by the two
    ends; ``opened`` (SYN_SENT, or SYN_RECV of an accepted socket), ``established``,
    ``closed`` (over but for TIME_WAIT), UTC; ``role``; ``family`` (4 for IPv4-mapped),
    ``local_address``, ``local_port``, ``remote_address``, ``remote_port`` (ports Int64);
    ``netns``, ``cgroup``, ``pid`` Int64, ``comm``: the owner; ``closed_by``;
    ``outcome``; ``state``: the last one known; ``error``: errno name;
    ``reset_reason``; ``syn_sent_s`` ... ``time_wait_s``; ``time_wait_began`` UTC;
    ``time_wait_end``; ``time_wait_restarts`` Int64; ``censored``.
    Text columns are categorical. Durations of censored rows are lower bounds.

    ``time_wait``: ``connection`` ... ``comm`` as above, ``began`` (NaT: before the
    recording), ``ended`` (NaT: after it), ``lived_s``, ``end``, ``restarts``, and
    ``censored``, which is about this TIME_WAIT, not its connection.
    """

    connections: pd.DataFrame
    time_wait: pd.DataFrame


def build_tables(table: pa.Table, header: dict[str, Any], observed: Observed) -> Tables:
    """Reconstruct connections and their TIME_WAITs from events.

    ``table``: of ``tracer.schema.SCHEMA``, in the order of the recording.
    """
    events = event_arrays(table)
    rows, begins, wait_rows = split_rows(events)
    lives = find_lives(events, rows, begins)
    seen_rows, seen_waits = snapshot_rows(events)
    wait_rows = np.concatenate([wait_rows, seen_waits])
    all_rows = np.concatenate([lives.tuple_row, wait_rows, seen_rows]).astype(np.int64)
    ids = tuple_ids(
        events.netns[all_rows],
        events.local[all_rows],
        events.local_port[all_rows],
        events.remote[all_rows],
        events.remote_port[all_rows],
    )
    life_ids, wait_ids, seen_ids = np.split(ids, np.cumsum([len(lives), len(wait_rows)]))
    hz = jiffy_rate(events, header.get("hz"))
    waits = find_time_waits(events, wait_rows, wait_ids, lives, life_ids, hz)
    snapshots = match(events, seen_rows, seen_ids, lives, life_ids)
    assembled = Rows(events, lives, waits, snapshots, header, observed)
    connections = assembled.connections()
    chosen = np.flatnonzero(connections["time_wait_s"].notna())
    waited = connections.iloc[chosen]
    time_wait = waited[_SHARED].assign(
        began=waited["time_wait_began"],
        ended=assembled.time_wait_ended()[chosen],
        lived_s=waited["time_wait_s"],
        end=waited["time_wait_end"],
        restarts=waited["time_wait_restarts"],
        censored=assembled.time_wait_censored()[chosen],
    )
    return Tables(connections, time_wait.reset_index(drop=True))
