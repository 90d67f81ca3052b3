"""The two ends of one connection, where both were recorded."""

import numpy as np
import pandas as pd

from tcptrace.analysis.observed import ALWAYS
from tcptrace.analysis.order import order_within

_LATE = 1_000_000_000  # a child is born when the handshake's last ACK arrives


def conversations(
    ids: np.ndarray,
    bits: int,
    usable: np.ndarray,
    loopback: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    role: np.ndarray,
) -> np.ndarray:
    """Pair connections whose four-tuples mirror each other at the same time.

    Arrays with one entry per connection. ``ids``, ``bits``: of their four-tuples, see
    :func:`tcptrace.analysis.tuples.tuple_ids`. ``usable``: both ends are known, and not
    the same. ``loopback``: it goes to a loopback address. ``first``, ``last``: ns.
    ``role``: 1 client, 2 server, 0 not known. First
    within a namespace; then across namespaces, but only where the addresses are
    nobody's loopback and no third connection could be meant. Gives for each
    connection the index of its other end, -1 where none was recorded.
    """
    other = np.full(len(ids), -1)
    _adjacent(other, np.flatnonzero(usable), ids, role, first, last)
    lonely = np.flatnonzero(usable & (other < 0) & ~loopback)
    anywhere = ids & ((1 << bits + 1) - 1)
    lonely = lonely[~_crowded(anywhere[lonely], first[lonely], last[lonely])]
    _adjacent(other, lonely, anywhere, role, first, last)
    return other


def _adjacent(
    other: np.ndarray,
    rows: np.ndarray,
    ids: np.ndarray,
    role: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
) -> None:
    """Pair neighbours in time whose ids differ in the last bit, the side (fills `other`)."""
    # Of the same time those of a role together. In a table they mostly are in this order.
    since = (first - first.min(initial=ALWAYS)) << 2 | role
    rows = rows.take(order_within(ids.take(rows) >> 1, since.take(rows)))
    ids, role, first, last = (values.take(rows) for values in (ids, role, first, last))
    fits = ids[1:] ^ ids[:-1] == 1
    # Two clients that live at the same time: their SYNs crossed.
    fits &= (role[1:] != role[:-1]) | (role[1:] != 2)
    accepted = (role[:-1] == 1) & (role[1:] == 2)
    fits &= first[1:] <= last[:-1] + accepted * _LATE
    # In a chain of candidates take every second one: c s c s pairs as (c s)(c s).
    place = np.arange(len(fits))
    run_start = np.maximum.accumulate(np.where(~fits, place + 1, 0)) if len(fits) else place
    chosen = fits & ((place - run_start) % 2 == 0)
    a = np.flatnonzero(chosen)
    other[rows.take(a)] = rows.take(a + 1)
    other[rows.take(a + 1)] = rows.take(a)


def _crowded(ids: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Tell those of whose ends two connections of the same side lived at the same time."""
    key = ids >> 1
    order = np.lexsort((first, ids))
    group = ids.take(order)
    frame = pd.DataFrame({"group": group, "last": last.take(order)})
    latest = frame.groupby("group")["last"].cummax().to_numpy()
    overlap = np.zeros(len(ids), bool)
    same = group[1:] == group[:-1]
    overlap[order[1:]] = same & (first.take(order)[1:] < latest[:-1])
    return np.isin(key, key[overlap])
