"""Events by socket address: those of full sockets, and those of timewait sockets."""

from dataclasses import dataclass

import numpy as np

from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.marks import RESET_SENT, TIMEWAIT, WANTED
from tcptrace.analysis.order import changes, sorted_with_places
from tcptrace.tracer.schema import STATE


@dataclass(frozen=True)
class ByAddress:
    """Events of sockets sorted by address, in their order at each.

    Without a snapshot's rows and resets for no socket (address 0), and request sockets.
    ``rows``: the events. ``socket``, ``mark``: the address and the bits of each.
    ``begins``: whether it is the first at its address. ``timewait``: whether it is of a
    timewait socket. ``full``: places of the others, and ``starts``: whether each of these
    is the first of its address since a timewait socket was there: the page was given away
    and came back.
    """

    rows: np.ndarray
    socket: np.ndarray
    mark: np.ndarray
    begins: np.ndarray
    timewait: np.ndarray
    full: np.ndarray
    starts: np.ndarray


class Addresses:
    """A set of addresses that grows by many at a time."""

    def __init__(self) -> None:
        #: Sorted, each at least twice as long as the next: every address is merged seldom.
        self._parts: list[np.ndarray] = []

    def add(self, addresses: np.ndarray) -> None:
        """Take distinct addresses in."""
        if not len(addresses):
            return
        part = np.sort(addresses)
        while self._parts and len(self._parts[-1]) < 2 * len(part):
            part = np.sort(np.concatenate([self._parts.pop(), part]))
            part = part[changes(part)]
        self._parts.append(part)

    def contain(self, addresses: np.ndarray) -> np.ndarray:
        """Tell which of some addresses are in the set."""
        result = np.zeros(len(addresses), bool)
        for part in self._parts if len(addresses) else ():
            place = np.minimum(np.searchsorted(part, addresses), len(part) - 1)
            result |= part[place] == addresses
        return result


def by_address(events: EventArrays, marks: np.ndarray, timewait_before: Addresses) -> ByAddress:
    """Sort events by socket address, and tell whose they are.

    ``timewait_before``: addresses that were timewait sockets' before these events.
    """
    wanted = (marks & WANTED != 0) & (events.socket != 0)
    # take() here and wherever many rows are taken: by [] a report needs 5 % more CPU.
    if wanted.all():
        socket, rows = sorted_with_places(events.socket)
    else:
        rows = np.flatnonzero(wanted)
        socket, order = sorted_with_places(events.socket.take(rows))
        rows = rows.take(order)
    mark = marks.take(rows)
    begins = changes(socket)
    timewait = mark & TIMEWAIT != 0
    resets = np.flatnonzero(mark & RESET_SENT != 0)
    if len(resets):
        others = np.flatnonzero(mark & RESET_SENT == 0)
        state = events.old[rows[resets]]
        timewait[resets] = _of_timewait(socket, timewait, resets, others, state, timewait_before)
    full = np.flatnonzero(~timewait)
    starts = changes(socket.take(full))
    starts[1:] |= full[1:] - full[:-1] > 1
    return ByAddress(rows, socket, mark, begins, timewait, full, starts)


def _of_timewait(
    socket: np.ndarray,
    timewait: np.ndarray,
    resets: np.ndarray,
    others: np.ndarray,
    state: np.ndarray,
    timewait_before: Addresses,
) -> np.ndarray:
    """Tell the resets sent on behalf of timewait sockets.

    By what was last seen at the address or, of one older than the recording, by what
    comes next.
    """
    address = socket[resets]
    result: np.ndarray = state == STATE["TIME_WAIT"]
    if not len(others):
        result |= timewait_before.contain(address)
        return result
    next_one = np.searchsorted(others, resets)
    place = others[np.maximum(next_one - 1, 0)]
    seen = (place < resets) & (socket[place] == address)
    result |= seen & timewait[place]
    result[~seen] |= timewait_before.contain(address[~seen])
    unsure = ~seen & ~result & (state == STATE["FIN_WAIT_2"])
    if unsure.any():
        place = others[np.minimum(next_one, len(others) - 1)]
        follows = (place > resets) & (socket[place] == address)
        result |= unsure & follows & timewait[place]
    return result
