"""What the recorder saw by asking the kernel (kind `existing`), at start and end.

These rows come from sock_diag: they have no socket address, but the owner by its file
descriptor, and of a timewait socket the time it has left.
"""

from dataclasses import dataclass

import numpy as np

from tcptrace.analysis.columns import spread
from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.lives import Lives, living
from tcptrace.analysis.observed import ALWAYS, NEVER, STALE
from tcptrace.analysis.order import stable_order
from tcptrace.analysis.tuples import last_before, tuple_ids
from tcptrace.tracer.schema import KIND, STATE


@dataclass(frozen=True)
class Snapshots:
    """``of_life``: per life, an event that tells its owner, -1 if none.
    ``idle``: events, one for each connection that made no event of its own;
    ``idle_since``: when each was first seen, ns; ``idle_until``: last seen.
    """  # noqa: D205

    of_life: np.ndarray
    idle: np.ndarray
    idle_since: np.ndarray
    idle_until: np.ndarray


def snapshot_rows(events: EventArrays) -> tuple[np.ndarray, np.ndarray]:
    """Give the snapshots' rows of connections and of timewait sockets."""
    existing = events.kind == KIND["existing"]
    # Without HZ the time left is not told, but the state is.
    timewait = existing & (events.has_detail | (events.new == STATE["TIME_WAIT"]))
    full = existing & ~timewait & (events.new != STATE["LISTEN"])
    return np.flatnonzero(full), np.flatnonzero(timewait)


def match(
    events: EventArrays,
    rows: np.ndarray,
    ids: np.ndarray,
    lives: Lives,
    life_ids: np.ndarray,
    connecting: np.ndarray,
) -> Snapshots:
    """Find each snapshot row's life by its four-tuple; keep those that have none.

    ``ids``, ``life_ids``: tuple ids of ``rows`` and of ``lives``, in one numbering.
    ``connecting``: numbers of rows that are of some life whose port is not known.
    """
    time = events.time.take(rows)
    life = living(lives, life_ids, ids, time, STALE)
    found = (life >= 0) | np.isin(events.row.take(rows), connecting)
    of_life = np.full(len(lives), -1)
    owned = (life >= 0) & (events.pid.take(rows) != 0)
    of_life[life[owned]] = rows[owned]
    idle = np.flatnonzero(~found)
    _, first = np.unique(ids[idle], return_index=True)
    reverse_ids = ids[idle][::-1]
    _, last = np.unique(reverse_ids, return_index=True)
    last = len(idle) - 1 - last
    in_order = stable_order(rows[idle[last]])
    first, last = first[in_order], last[in_order]
    return Snapshots(of_life, rows[idle[last]], time[idle[first]], time[idle[last]])


def asked_before_port(events: EventArrays) -> np.ndarray:
    """Choose a snapshot's rows of sockets in SYN_SENT: no event may have told their port."""
    full, _ = snapshot_rows(events)
    chosen: np.ndarray = full[events.new[full] == STATE["SYN_SENT"]]
    return chosen


def connecting(waiting: EventArrays, portless: Lives) -> np.ndarray:
    """Tell which rows of sockets in SYN_SENT are of lives whose port no event told.

    They are told by where they connect to: which of them is which life does not matter.
    Gives the events' numbers (``row``).
    """

    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(portless, name), getattr(waiting, name)])

    nothing = np.zeros(len(portless) + len(waiting), np.int64)
    ids, _ = tuple_ids(both("netns"), nothing, nothing, both("remote"), both("remote_port"))
    told, seen = ids[: len(portless)], ids[len(portless) :]
    place = last_before(told, portless.first, seen, waiting.time)
    until = np.where(portless.ends, portless.last + STALE, ALWAYS)
    rows: np.ndarray = waiting.row[spread(until, place, NEVER) >= waiting.time]
    return rows
