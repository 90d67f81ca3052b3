"""The two ends of one connection, where both were recorded."""

import numpy as np
import pandas as pd

from tcptrace.analysis.order import alike, order_within, stable_order

_LATE = 1_000_000_000  # a child is born when the handshake's last ACK arrives


def conversations(
    netns: np.ndarray,
    local: np.ndarray,
    local_port: np.ndarray,
    remote: np.ndarray,
    remote_port: np.ndarray,
    loopback: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    client: np.ndarray,
    server: np.ndarray,
) -> np.ndarray:
    """Pair connections whose four-tuples mirror each other at the same time.

    Arrays with one entry per connection: addresses as codes, times in ns. First
    within a namespace; then across namespaces, but only where the addresses are
    nobody's loopback and no third connection could be meant. Gives for each
    connection the index of its other end, -1 where none was recorded.
    """
    here = local << 16 | local_port.astype(np.int64)
    there = remote << 16 | remote_port.astype(np.int64)
    usable = (local_port != 0) & (remote_port != 0) & (here != there)
    low, high = np.minimum(here, there), np.maximum(here, there)
    side = here > there
    key = alike(low, high)
    role = np.where(client & ~server, 1, np.where(server & ~client, 2, 0))
    other = np.full(len(netns), -1)

    inside = alike(netns) << 32 | key
    _adjacent(other, np.flatnonzero(usable), inside, side, role, first, last)
    lonely = np.flatnonzero(usable & (other < 0) & ~loopback)
    lonely = lonely[~_crowded(key[lonely], side[lonely], first[lonely], last[lonely])]
    _adjacent(other, lonely, key, side, role, first, last)
    return other


def _adjacent(
    other: np.ndarray,
    rows: np.ndarray,
    key: np.ndarray,
    side: np.ndarray,
    role: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
) -> None:
    """Pair neighbours in time of the same key and opposite sides (fills `other`)."""
    rows = rows.take(stable_order(role.take(rows)))
    rows = rows.take(order_within(key.take(rows), first.take(rows)))
    a, b = rows[:-1], rows[1:]
    fits = (key[a] == key[b]) & (side[a] != side[b])
    # Two clients that live at the same time: their SYNs crossed.
    fits &= (role[a] != role[b]) | (role[a] != 2)
    fits &= first[b] <= last[a] + np.where((role[a] == 1) & (role[b] == 2), _LATE, 0)
    # In a chain of candidates take every second one: c s c s pairs as (c s)(c s).
    place = np.arange(len(fits))
    run_start = np.maximum.accumulate(np.where(~fits, place + 1, 0)) if len(fits) else place
    chosen = fits & ((place - run_start) % 2 == 0)
    other[a[chosen]] = b[chosen]
    other[b[chosen]] = a[chosen]


def _crowded(key: np.ndarray, side: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Tell keys under which two connections of the same side lived at the same time."""
    group = key << 1 | side
    order = np.lexsort((first, group))
    frame = pd.DataFrame({"group": group.take(order), "last": last.take(order)})
    latest = frame.groupby("group")["last"].cummax().to_numpy()
    overlap = np.zeros(len(key), bool)
    same = group.take(order)[1:] == group.take(order)[:-1]
    overlap[order[1:]] = same & (first.take(order)[1:] < latest[:-1])
    return np.isin(key, key[overlap])
