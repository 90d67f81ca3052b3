"""The `connections` and `time_wait` tables, from a recording's events."""

import errno
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tcptrace.analysis import outcomes as how
from tcptrace.analysis.assemble import TIME_WAIT_ENDS, UNSEEN, Rows, timers_attached
from tcptrace.analysis.columns import censored, distinct, names, nullable, spread, utc, words
from tcptrace.analysis.durations import state_seconds, time_wait_seconds
from tcptrace.analysis.found import Part
from tcptrace.analysis.masks import where
from tcptrace.analysis.observed import ALWAYS, NEVER, Observed
from tcptrace.analysis.pairs import conversations
from tcptrace.analysis.reconstruct import Reconstruction
from tcptrace.analysis.snapshots import match, snapshot_rows
from tcptrace.analysis.timewait import find_time_waits, jiffy_rate
from tcptrace.analysis.tuples import last_before, tuple_ids
from tcptrace.analysis.watched import TIMEWAIT_RESETS, lacks
from tcptrace.tracer.schema import STATES

_ROLES = ("client", "server", "unknown")

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


_OF_TIME_WAIT = ["time_wait_began", "time_wait_s", "time_wait_end", "time_wait_restarts"]


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

    ``order``: (2, connections) what they are in the order of: when each was first seen,
    ns, and a number for those of the same time.
    """

    connections: pd.DataFrame
    time_wait: pd.DataFrame
    order: np.ndarray


def build_tables(table: pa.Table, header: dict[str, Any], observed: Observed) -> Tables:
    """Reconstruct connections and their TIME_WAITs from events.

    ``table``: of ``tracer.schema.SCHEMA``, in the order of the recording.
    """
    reconstruction = Reconstruction()
    for batch in table.to_batches():
        reconstruction.add(batch)
    return assemble(reconstruction.finish().gathered.whole(), header, observed)


def assemble(part: Part, header: dict[str, Any], observed: Observed) -> Tables:
    """Put socket lives, timewait sockets and snapshots together."""
    events, lives = part.events, part.lives
    seen_rows, seen_waits = snapshot_rows(events)
    wait_rows = np.concatenate([part.waits, seen_waits])
    others = np.concatenate([wait_rows, seen_rows])
    ids, bits = tuple_ids(
        *(
            np.concatenate([getattr(lives, name), getattr(events, name)[others]])
            for name in ("netns", "local", "local_port", "remote", "remote_port")
        )
    )
    life_ids, wait_ids, seen_ids = np.split(ids, np.cumsum([len(lives), len(wait_rows)]))
    event_ids = np.zeros(len(events), np.int64)
    event_ids[others] = ids[len(lives) :]
    if not timers_attached(header):
        # A snapshot's TIME_WAIT may be that of a connection in the table: leave it out.
        recorded = last_before(life_ids, lives.first, wait_ids, events.time[wait_rows]) >= 0
        wait_rows, wait_ids = wait_rows[~recorded], wait_ids[~recorded]
    hz = jiffy_rate(part.timers, header.get("hz"))
    told = not lacks(header, TIMEWAIT_RESETS)
    waits = find_time_waits(events, wait_rows, wait_ids, lives, life_ids, hz, resets_told=told)
    snapshots = match(events, seen_rows, seen_ids, lives, life_ids, part.connecting)
    assembled = Rows(events, lives, waits, snapshots, header, observed)
    other = _other_ends(assembled, assembled.of_either(life_ids, event_ids), bits)
    connections = _connections(assembled, other)
    order = np.stack([assembled.first, assembled.tie])
    return Tables(connections, _time_waits(assembled, connections), order)


def _time_waits(rows: Rows, connections: pd.DataFrame) -> pd.DataFrame:
    chosen = np.flatnonzero(rows.in_time_wait)
    waited = connections[[*_SHARED, *_OF_TIME_WAIT]].take(chosen)
    over = rows.in_time_wait & ~rows.still_waiting
    time_wait = waited[_SHARED].assign(
        began=waited["time_wait_began"],
        ended=utc(where(over.take(chosen), rows.stopped.take(chosen), NEVER)),
        lived_s=waited["time_wait_s"],
        end=waited["time_wait_end"],
        restarts=waited["time_wait_restarts"],
        censored=censored(rows.began == NEVER, rows.still_waiting)[chosen],
    )
    return time_wait.reset_index(drop=True)


def _other_ends(rows: Rows, ids: np.ndarray, bits: int) -> np.ndarray:
    """Find each row's other end: its index, -1 where there is none.

    ``ids``, ``bits``: tuple ids of the rows, see :func:`tcptrace.analysis.tuples.tuple_ids`.
    """
    events, lives = rows.events, rows.lives
    last = rows.of_life(np.where(lives.ends, lives.last, ALWAYS // 2), ALWAYS // 2)
    first = np.where(rows.of_life(lives.begins, False), rows.first, rows.observed.started)
    paired = np.flatnonzero((rows.life >= 0) | rows.idle)
    local, local_port, remote, remote_port = (
        rows.of_socket(name) for name in ("local", "local_port", "remote", "remote_port")
    )
    usable = (local_port != 0) & (remote_port != 0)
    usable &= (local != remote) | (local_port != remote_port)
    client, server = rows.of_life(lives.client, False), rows.of_life(lives.server, False)
    role = (client & ~server) + np.int8(2) * (server & ~client)
    other = conversations(
        ids.take(paired),
        bits,
        usable.take(paired),
        events.is_loopback(remote.take(paired)),
        first.take(paired),
        last.take(paired),
        role.take(paired),
    )
    result = np.full(len(rows), UNSEEN)
    result[paired] = spread(paired, other, UNSEEN)
    return result


def _roles(rows: Rows, other: np.ndarray) -> np.ndarray:
    client = rows.of_life(rows.lives.client, False)
    server = rows.of_life(rows.lives.server, False) & ~client
    role: np.ndarray = np.int8(2) - np.int8(2) * client - server
    # One end's part tells the other's.
    told = (role == 2) & (other >= 0) & (role[other] < 2)
    role[told] = 1 - role[other[told]]
    return role


def _connections(rows: Rows, other: np.ndarray) -> pd.DataFrame:
    """Give the `connections` table (:class:`Tables`); ``other``: the index of each other end."""
    events, lives = rows.events, rows.lives
    owned = rows.of_life(lives.owned, False)
    seen = np.where(owned, UNSEEN, rows.snapshot)
    owned |= seen >= 0

    def owners(name: str) -> np.ndarray:
        values = rows.of_life(getattr(lives, name).astype(np.int64), 0)
        values[seen >= 0] = getattr(events, name)[seen[seen >= 0]].astype(np.int64)
        return values

    pid = owners("pid")
    owned &= pid != 0
    pair = np.where(other >= 0, np.minimum(other, np.arange(len(rows))), -1)
    # Numbered by the first of the two.
    conversation = np.cumsum(pair == np.arange(len(rows))).take(np.maximum(pair, 0))
    local, remote = rows.of_socket("local"), rows.of_socket("remote")
    ports = rows.of_socket("local_port"), rows.of_socket("remote_port")
    netns = rows.of_socket("netns")
    old_start = ~rows.of_life(lives.begins, False)
    return pd.DataFrame(
        {
            "connection": np.arange(1, len(rows) + 1),
            "conversation": nullable(conversation, pair >= 0),
            "opened": utc(np.where(old_start, NEVER, rows.first)),
            "established": utc(rows.of_life(lives.established, NEVER)),
            "closed": utc(rows.closed),
            "role": words(_roles(rows, other), _ROLES),
            # The local address may not be known yet.
            "family": np.where(remote >> 32 > 0, 6, 4).astype(np.int8),
            "local_address": events.address_texts(local, ~events.is_unspecified(local)),
            "local_port": nullable(ports[0], ports[0] != 0),
            "remote_address": events.address_texts(remote, ~events.is_unspecified(remote)),
            "remote_port": nullable(ports[1], ports[1] != 0),
            "netns": nullable(netns, netns != 0),
            "cgroup": nullable(owners("cgroup"), owned),
            "pid": nullable(pid, owned),
            "comm": names(owners("comm"), owned, events.comms),
            "closed_by": words(rows.closed_by, how.CLOSED_BY),
            "outcome": words(rows.outcome, how.OUTCOMES),
            "state": words(rows.state, STATES),
            "error": _errors(rows),
            "reset_reason": _reset_reasons(rows),
            **state_seconds(rows),
            "time_wait_s": time_wait_seconds(rows),
            "time_wait_began": utc(rows.began),
            "time_wait_end": words(rows.end_code, TIME_WAIT_ENDS),
            "time_wait_restarts": nullable(rows.of_wait(rows.waits.restarts, 0), rows.in_time_wait),
            "censored": censored(old_start, (rows.outcome == how.OPEN) | rows.still_waiting),
        },
        copy=False,
    )


def _errors(rows: Rows) -> pd.Categorical:
    number = rows.of_life(rows.lives.error, 0)
    values, code = distinct(number, number != 0)
    errors = [errno.errorcode.get(int(value), f"errno {value}") for value in values]
    return names(code, number != 0, errors)


def _reset_reasons(rows: Rows) -> pd.Categorical:
    number = rows.of_life(rows.lives.reset_reason, NEVER)
    values, code = distinct(number, number != NEVER)
    named = rows.header.get("reset_reasons", {})
    reasons = [str(named.get(str(value), f"reason {value}")) for value in values]
    return names(code, number != NEVER, reasons)
