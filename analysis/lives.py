"""Socket lives: which events belong to the same life of the same socket.

The kernel reuses a socket's address within microseconds, so an address is an
identity only between two births (:data:`tcptrace.analysis.marks.BIRTH`).
"""

from dataclasses import dataclass, fields

import numpy as np

from tcptrace.analysis.addresses import ByAddress
from tcptrace.analysis.columns import spread
from tcptrace.analysis.continuity import another_socket
from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.marks import BIRTH, IS_STATE, RESET_RECEIVED
from tcptrace.analysis.observed import ALWAYS, NEVER
from tcptrace.analysis.order import changes, numbered, order_within
from tcptrace.analysis.tuples import last_before
from tcptrace.tracer.schema import STATE

#: States whose time is told, TIME_WAIT's apart; index = row of ``Lives.dwell``.
DWELT = (
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "CLOSING",
    "CLOSE_WAIT",
    "LAST_ACK",
)


@dataclass(frozen=True)
class Lives:
    """Lives of full sockets, listeners included; one entry per life.

    ``row``: number of its first transition. ``first``, ``second``, ``last``: times of
    transitions, ns. ``next_first``: when another life began at its address, ALWAYS if
    none did. ``begins``, ``ends``: whether its birth and its CLOSE were recorded.
    ``first_old``: the state before its first transition. ``state``: the last state.
    ``before_close``: the state it left for CLOSE, 0 if it did not close.
    ``fin_received``, ``error``: as CLOSE reported. ``established``: time, NEVER if it
    was not. ``entered``, ``gap``: bit n: it went into state n of STATES; a transition
    into or out of it was lost. ``dwell``: (DWELT, lives) ns, as recorded between two
    transitions. ``reset_received``, ``reset_sent``: time of the first and of the last,
    NEVER if none. ``reset_reason``: of the last sent, NEVER if none or not told.
    ``listener``, ``client``, ``server``: what its transitions say it is.
    ``netns``, ``local``, ``local_port``, ``remote``, ``remote_port``: the last complete
    four-tuple. ``owned``, ``cgroup``, ``pid``, ``comm``: the owner, where known.
    """

    row: np.ndarray
    first: np.ndarray
    second: np.ndarray
    last: np.ndarray
    next_first: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    first_old: np.ndarray
    state: np.ndarray
    before_close: np.ndarray
    fin_received: np.ndarray
    error: np.ndarray
    established: np.ndarray
    entered: np.ndarray
    gap: np.ndarray
    dwell: np.ndarray
    reset_received: np.ndarray
    reset_sent: np.ndarray
    reset_reason: np.ndarray
    listener: np.ndarray
    client: np.ndarray
    server: np.ndarray
    netns: np.ndarray
    local: np.ndarray
    local_port: np.ndarray
    remote: np.ndarray
    remote_port: np.ndarray
    owned: np.ndarray
    cgroup: np.ndarray
    pid: np.ndarray
    comm: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    @property
    def portless(self) -> np.ndarray:
        """Those that connect, and of which no event told a local port."""
        portless: np.ndarray = self.client & self.begins & (self.local_port == 0)
        return portless

    def columns(self) -> dict[str, np.ndarray]:
        """Give the fields by name."""
        return {name: getattr(self, name) for name in _NAMES}

    def take(self, chosen: np.ndarray) -> "Lives":
        """Give some of them."""
        return Lives(**{name: values.take(chosen, -1) for name, values in self.columns().items()})

    @classmethod
    def concatenate(cls, parts: list["Lives"]) -> "Lives":
        """Put lives one behind the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            **{name: np.concatenate([getattr(p, name) for p in parts], -1) for name in _NAMES}
        )


_NAMES = [field.name for field in fields(Lives)]


@dataclass(frozen=True)
class Grouping:
    """Which events of full sockets make which life; places are those of ``ByAddress``.

    ``states``: places of the transitions of all lives; ``rows``: their events; ``mark``,
    ``old``, ``new``, ``life``: of each its bits, its states, and its life.
    ``begin``, ``end``: of each life, its first and last in ``states``. ``start``: place
    of each life's first event. ``resets``, ``reset_life``: other events of lives.
    """

    states: np.ndarray
    rows: np.ndarray
    mark: np.ndarray
    old: np.ndarray
    new: np.ndarray
    life: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    start: np.ndarray
    others: np.ndarray
    other_life: np.ndarray


def group(events: EventArrays, found: ByAddress) -> Grouping:
    """Part the events of full sockets into lives."""
    full, starts = found.full, found.starts
    mark = found.mark.take(full)
    is_state = mark & IS_STATE != 0
    states = np.flatnonzero(is_state)
    state_places = full.take(states)
    rows = found.rows.take(state_places)
    state_mark, old, new = mark.take(states), events.old.take(rows), events.new.take(rows)
    births = _births(mark, starts, states, state_mark)
    # Where events were lost, the end of one life and the birth of the next may be among them.
    births[states[another_socket(events, rows, old, new)]] = True
    part = numbered(births)
    # A life is made of transitions; errors and resets alone make none.
    state_part = part.take(states)
    first = changes(state_part)
    begin = np.flatnonzero(first)
    end = np.append(begin[1:], len(states)) - 1 if len(begin) else begin
    parts = state_part[begin]
    others = np.flatnonzero(~is_state)
    place = np.searchsorted(parts, part[others])
    if len(parts):
        belongs = parts[np.minimum(place, len(parts) - 1)] == part[others]
    else:
        belongs = np.zeros(len(others), bool)
    return Grouping(
        states=state_places,
        rows=rows,
        mark=state_mark,
        old=old,
        new=new,
        life=numbered(first),
        begin=begin,
        end=end,
        start=full[np.flatnonzero(births)[parts]],
        others=full[others[belongs]],
        other_life=place[belongs],
    )


def _births(
    mark: np.ndarray, starts: np.ndarray, states: np.ndarray, state_mark: np.ndarray
) -> np.ndarray:
    """Mark the first event of every life of a full socket.

    ``mark``, ``starts``: of its events; ``states``: which are transitions; ``state_mark``:
    of these.
    """
    births: np.ndarray = starts | (mark & BIRTH != 0)
    # After CLOSE only a birth can follow: if it was not recorded, this is another life.
    page = numbered(starts)
    closes = state_mark & 1 << STATE["CLOSE"] != 0
    closed = np.flatnonzero(closes[:-1])
    following = states.take(closed + 1)
    births[following[page.take(following) == page.take(states.take(closed))]] = True
    # A reset is received before its socket closes, so after CLOSE it is another life's.
    resets = np.flatnonzero(mark & RESET_RECEIVED != 0)
    if len(resets) and len(states):
        place = np.searchsorted(states, resets) - 1
        before = states[np.maximum(place, 0)]
        resets = resets[(place >= 0) & closes[place] & (page[before] == page[resets])]
        births[resets] = True
        following = resets[resets + 1 < len(mark)] + 1
        following = following[(mark[following] & (IS_STATE | BIRTH) == IS_STATE)]
        births[following[~starts[following]]] = False
    return births


def living(
    lives: Lives, life_ids: np.ndarray, ids: np.ndarray, times: np.ndarray, late: int = 0
) -> np.ndarray:
    """For each (tuple id, time) find the life that had the four-tuple then; -1 if none.

    ``life_ids``: tuple ids of ``lives``. A life whose birth was not recorded may have
    been there ever since the one before it. ``late``: how much later than true a time
    may be, ns.
    """
    since = lives.first
    if not lives.begins.all():
        order = order_within(life_ids, lives.first)
        since = np.full(len(lives), NEVER)
        same = life_ids[order[1:]] == life_ids[order[:-1]]
        since[order[1:][same]] = lives.last[order[:-1][same]] + 1
        since = np.where(lives.begins, lives.first, np.minimum(since, lives.first))
    found = last_before(life_ids, since, ids, times)
    until = np.where(lives.ends, lives.last + late, ALWAYS)
    return np.where(spread(until, found, NEVER) >= times, found, -1)
