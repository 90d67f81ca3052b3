"""Write only the wanted connections, but each of them whole.

What a connection is like is often known only after its first events: a client has no
port yet when it reports SYN_SENT, an accepted socket's owner shows when it closes. So
events wait until their connection is decided; what is never decided is written.
"""

import numpy as np

from tcptrace.tracer import judge
from tcptrace.tracer.held import HeldRows
from tcptrace.tracer.judge import MAYBE, NO, YES
from tcptrace.tracer.known import KnownSockets
from tcptrace.tracer.schema import KIND, STATE
from tcptrace.tracer.selection import Selection

#: Events held back at most: 48 MB, and as much room again. Beyond it the oldest are written
#: undecided.
HELD_ROWS = 500_000


class ConnectionFilter:
    """Sorts batches of records (dtype ``EVENT``) into wanted, unwanted and undecided."""

    def __init__(self, wanted: Selection, held_rows: int = HELD_ROWS) -> None:
        self._wanted = wanted
        self._by_owner = bool(wanted.pid or wanted.comm)
        self._held = HeldRows()
        self._held_rows = held_rows
        self._known = KnownSockets()

    def push(self, events: np.ndarray) -> np.ndarray:
        """Take the next events; give those, old and new, now known to be wanted.

        Events of one socket keep their order.
        """
        if self._wanted.netns:
            events = events[np.isin(events["netns"], (0, *self._wanted.netns))]
        if not self._wanted.only_netns:
            events = self._decide(events)
        return events

    def drain(self) -> np.ndarray:
        """Give what was never decided."""
        return self._held.take_oldest(len(self._held))

    def _decide(self, events: np.ndarray) -> np.ndarray:
        rows = events
        if len(self._held):
            rows = np.concatenate([self._held.take(np.unique(events["socket"])), events])
        alone = (rows["socket"] == 0) | _is_stray_reset(rows)
        verdict = np.empty(len(rows), np.int8)
        places = np.flatnonzero(~alone)
        places = places[np.argsort(rows["socket"][places], kind="stable")]
        if len(places):
            verdict[places] = self._judge_lives(rows, places)
        verdict[alone] = self._judge_alone(rows[alone])
        self._held.put(rows[verdict == MAYBE])
        wanted: np.ndarray = rows[verdict == YES]
        # All that is still to come of what is written undecided is written too.
        given_up = self._held.take_oldest(len(self._held) - self._held_rows)
        self._known.decide(given_up["socket"], YES)
        return np.concatenate([given_up, wanted]) if len(given_up) else wanted

    def _judge_alone(self, rows: np.ndarray) -> np.ndarray:
        """Judge events without a life of their own, each for itself: in doubt, yes."""
        verdict = np.minimum(
            judge.by_tuple(rows, self._wanted), judge.by_holder(rows, self._wanted)
        )
        doubtful = np.flatnonzero(verdict == MAYBE)
        if len(doubtful):
            # A snapshot's TIME_WAIT has no owner of its own: its connection had one.
            keys = judge.tuple_keys(rows[doubtful])
            verdict[doubtful] = self._known.verdicts_by_key(keys)
        return np.where(verdict == NO, NO, YES)

    def _judge_lives(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Judge rows by what is known of each one's whole life.

        ``places``: the rows to judge, sorted by socket; the verdicts are in that order.
        """
        socket, kind, old, new = (
            np.ascontiguousarray(rows[name])[places]
            for name in ("socket", "kind", "old_state", "new_state")
        )
        birth = _is_birth(kind, old, new)
        begins = _begins(socket, kind, birth)
        begins[_fresh_starts(rows, places, kind, begins)] = True
        life = np.cumsum(begins) - 1
        first = np.flatnonzero(begins)
        count = len(first)
        sockets = socket[first]
        waits = (kind[first] >= KIND["timewait_start"]) & (kind[first] <= KIND["timewait_reused"])

        verdict = _latest(judge.by_tuple(rows, self._wanted)[places], life, count)
        if self._by_owner:
            # Whoever connected owns it, whoever closes.
            by_owner = judge.by_owner(rows, self._wanted)[places]
            owner = _latest(by_owner[::-1], life[::-1], count)
            owner[waits] = MAYBE
            verdict = np.minimum(verdict, owner)
        # Began in an earlier batch: decided there, or else by what has come since.
        earlier, earlier_keys = self._known.look_up(sockets)
        keys = np.zeros(count, np.uint64)
        if self._by_owner:
            complete = ((rows["local_port"] != 0) & (rows["remote_port"] != 0))[places]
            keys[life[complete]] = judge.tuple_keys(rows)[places][complete]
        # A timewait socket's start is a re-arm if its tuple was there before, else a new
        # one at an address that another, perhaps another namespace's, had.
        rearmed = (earlier_keys == keys) & (keys != 0)
        fresh = birth[first] | ((kind[first] == KIND["timewait_start"]) & ~rearmed)
        continued = ~fresh & (earlier != MAYBE)
        verdict[continued] = earlier[continued]
        if self._by_owner:
            self._follow_connections(verdict, keys, waits & ~continued & (verdict != NO), ~waits)
        over = np.zeros(count, bool)
        over[life[(kind == KIND["state"]) & (new == STATE["CLOSE"])]] = True
        verdict[(over | waits) & (verdict == MAYBE)] = YES
        last = np.append(sockets[1:] != sockets[:-1], True)
        self._known.remember(sockets[last], keys[last], verdict[last])
        of_rows: np.ndarray = verdict[life]
        return of_rows

    def _follow_connections(
        self, verdict: np.ndarray, keys: np.ndarray, waits: np.ndarray, connections: np.ndarray
    ) -> None:
        """Give timewait sockets their connections' verdicts (fills `verdict` in place).

        A connection says CLOSE a moment after its timewait socket's start, so it is
        nearly always in the same batch.
        """
        chosen = np.flatnonzero(waits)
        here = KnownSockets()
        known = np.flatnonzero(connections & (verdict != MAYBE))
        # The latest connection of that tuple: the first one backwards.
        distinct, where = np.unique(keys[known][::-1], return_index=True)
        here.remember(distinct, distinct, verdict[known][::-1][where])
        found, _ = here.look_up(keys[chosen])
        missing = found == MAYBE
        if missing.any():
            found[missing] = self._known.verdicts_by_key(keys[chosen[missing]])
        decided = found != MAYBE
        verdict[chosen[decided]] = found[decided]


def _is_stray_reset(rows: np.ndarray) -> np.ndarray:
    """Mark resets that answer a segment in a listener's name, or a half-open connection's."""
    unconnected = np.isin(rows["old_state"], (STATE["LISTEN"], STATE["NEW_SYN_RECV"]))
    stray: np.ndarray = unconnected & (rows["kind"] != KIND["state"])
    return stray


def _is_birth(kind: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Mark transitions that begin a socket's life, whatever came before."""
    opened = (old == STATE["CLOSE"]) & (new != STATE["CLOSE"])
    accepted = (old == STATE["LISTEN"]) & (new == STATE["SYN_RECV"])
    birth: np.ndarray = (kind == KIND["state"]) & (opened | accepted)
    return birth


def _begins(socket: np.ndarray, kind: np.ndarray, birth: np.ndarray) -> np.ndarray:
    """Mark the first event of each life; columns sorted by socket."""
    begins = birth.copy()
    begins[:1] = True
    begins[1:] |= socket[1:] != socket[:-1]
    return begins


def _fresh_starts(
    rows: np.ndarray, places: np.ndarray, kind: np.ndarray, begins: np.ndarray
) -> np.ndarray:
    """Find timewait sockets' starts that are no re-arm: not right after their own cancel."""
    starts = np.flatnonzero((kind == KIND["timewait_start"]) & ~begins)
    here, before = (judge.tuple_keys(rows[places[at]]) for at in (starts, starts - 1))
    fresh: np.ndarray = starts[(kind[starts - 1] != KIND["timewait_cancel"]) | (here != before)]
    return fresh


def _latest(verdicts: np.ndarray, life: np.ndarray, count: int) -> np.ndarray:
    """Give each life its last event's verdict that is one; MAYBE if there is none."""
    result = np.full(count, MAYBE)
    decided = verdicts != MAYBE
    result[life[decided]] = verdicts[decided]
    return result
