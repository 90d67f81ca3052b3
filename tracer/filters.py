"""Write only the wanted connections, but each of them whole.

What a connection is like is often known only after its first events: a client has no
port yet when it reports SYN_SENT, an accepted socket's owner shows when it closes. So
events wait until their connection is decided; what is never decided is written.
"""

import numpy as np

from tcptrace.tracer import judge
from tcptrace.tracer.judge import MAYBE, NO, YES
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.schema import KIND, STATE
from tcptrace.tracer.selection import Selection

#: Events held back at most: 96 MB. Beyond it the oldest are written undecided.
HELD_ROWS = 1_000_000

#: What is known of a socket address: the verdict on its latest life, and its tuple.
_KNOWN = np.dtype([("socket", "u8"), ("tuple", "u8"), ("verdict", "i1")])


class ConnectionFilter:
    """Sorts batches of records (dtype ``EVENT``) into wanted, unwanted and undecided."""

    def __init__(self, wanted: Selection, held_rows: int = HELD_ROWS) -> None:
        self._wanted = wanted
        self._by_owner = bool(wanted.pid or wanted.comm)
        self._held = np.empty(0, EVENT)
        self._held_rows = held_rows
        self._known = np.empty(0, _KNOWN)  # ascending by socket

    def push(self, events: np.ndarray) -> np.ndarray:
        """Take the next events; give those, old and new, now known to be wanted.

        Events of one socket keep their order.
        """
        rows = np.concatenate([self._held, events])
        verdict = np.empty(len(rows), np.int8)
        alone = (rows["socket"] == 0) | _is_stray_reset(rows)
        verdict[alone] = self._judge_alone(rows[alone])
        places = np.flatnonzero(~alone)
        places = places[np.argsort(rows["socket"][places], kind="stable")]
        verdict[places] = self._judge_lives(rows[places])
        undecided = np.flatnonzero(verdict == MAYBE)
        overflow = max(0, len(undecided) - self._held_rows)
        self._give_in(rows["socket"][undecided[:overflow]])
        verdict[undecided[:overflow]] = YES
        self._held = rows[undecided[overflow:]]
        wanted: np.ndarray = rows[verdict == YES]
        return wanted

    def drain(self) -> np.ndarray:
        """Give what was never decided."""
        held, self._held = self._held, np.empty(0, EVENT)
        return held

    def _give_in(self, sockets: np.ndarray) -> None:
        """Have all that is still to come of undecided connections written."""
        self._known["verdict"][np.searchsorted(self._known["socket"], sockets)] = YES

    def _judge_alone(self, rows: np.ndarray) -> np.ndarray:
        """Judge events without a socket's address, each for itself: in doubt, yes."""
        verdict = np.minimum(
            judge.by_tuple(rows, self._wanted), judge.by_holder(rows, self._wanted)
        )
        return np.where(verdict == NO, NO, YES)

    def _judge_lives(self, rows: np.ndarray) -> np.ndarray:
        """Judge events sorted by socket, by what is known of each one's whole life."""
        if not len(rows):
            return np.empty(0, np.int8)
        births = _births(rows)
        life = np.cumsum(births) - 1
        first = np.flatnonzero(births)
        count = len(first)
        kind = rows["kind"]
        timewait = (kind >= KIND["timewait_start"]) & (kind <= KIND["timewait_reused"])
        waits = timewait[first]

        verdict = _latest(judge.by_tuple(rows, self._wanted), life, count)
        if self._by_owner:
            # Whoever connected owns it, whoever closes.
            owner = _latest(judge.by_owner(rows, self._wanted)[::-1], life[::-1], count)
            owner[waits] = MAYBE
            verdict = np.minimum(verdict, owner)
        # Began in an earlier batch: decided there, or else by what has come since.
        earlier = self._look_up(rows["socket"][first])
        # A timewait socket's start says all there is to know, and may be the first of a
        # new one at an address that another namespace's had: never by what was.
        fresh = _is_birth(rows[first]) | (kind[first] == KIND["timewait_start"])
        continued = ~fresh & (earlier != MAYBE)
        verdict[continued] = earlier[continued]

        keys = np.zeros(count, np.uint64)
        complete = (rows["local_port"] != 0) & (rows["remote_port"] != 0)
        keys[life[complete]] = judge.tuple_keys(rows[complete])
        if self._by_owner:
            self._follow_connections(verdict, keys, waits & ~continued & (verdict != NO))
        over = np.zeros(count, bool)
        over[life[(kind == KIND["state"]) & (rows["new_state"] == STATE["CLOSE"])]] = True
        verdict[(over | waits) & (verdict == MAYBE)] = YES
        self._remember(rows["socket"][first], keys, verdict)
        return verdict[life]

    def _follow_connections(self, verdict: np.ndarray, keys: np.ndarray, waits: np.ndarray) -> None:
        """Give timewait sockets their connections' verdicts (fills `verdict` in place)."""
        known = np.flatnonzero((verdict != MAYBE) & ~waits)
        all_keys = np.concatenate([self._known["tuple"], keys[known]])
        all_verdicts = np.concatenate([self._known["verdict"], verdict[known]])
        # The latest connection of that tuple: the first one backwards.
        distinct, where = np.unique(all_keys[::-1], return_index=True)
        chosen = np.flatnonzero(waits)
        at = np.searchsorted(distinct, keys[chosen])
        at[at == len(distinct)] = 0
        found = (distinct[at] == keys[chosen]) if len(distinct) else np.zeros(len(at), bool)
        verdict[chosen[found]] = all_verdicts[::-1][where[at[found]]]

    def _look_up(self, sockets: np.ndarray) -> np.ndarray:
        if not len(self._known):
            return np.full(len(sockets), MAYBE)
        at = np.searchsorted(self._known["socket"], sockets)
        at[at == len(self._known)] = 0
        found = self._known["socket"][at] == sockets
        return np.where(found, self._known["verdict"][at], MAYBE)

    def _remember(self, sockets: np.ndarray, keys: np.ndarray, verdict: np.ndarray) -> None:
        """Keep the verdict on the last life of each address; sockets are ascending."""
        last = np.append(sockets[1:] != sockets[:-1], True)
        fresh = np.empty(int(last.sum()), _KNOWN)
        fresh["socket"], fresh["tuple"] = sockets[last], keys[last]
        fresh["verdict"] = verdict[last]
        kept = self._known[~np.isin(self._known["socket"], fresh["socket"])]
        merged = np.concatenate([kept, fresh])
        self._known = merged[np.argsort(merged["socket"])]


def _is_stray_reset(rows: np.ndarray) -> np.ndarray:
    """Mark resets that answer a segment in a listener's name, or a half-open connection's."""
    return (rows["kind"] != KIND["state"]) & np.isin(
        rows["old_state"], (STATE["LISTEN"], STATE["NEW_SYN_RECV"])
    )


def _is_birth(rows: np.ndarray) -> np.ndarray:
    """Mark events that begin a socket's life, whatever came before."""
    state = rows["kind"] == KIND["state"]
    old, new = rows["old_state"], rows["new_state"]
    return state & (
        ((old == STATE["CLOSE"]) & (new != STATE["CLOSE"]))
        | ((old == STATE["LISTEN"]) & (new == STATE["SYN_RECV"]))
    )


def _births(rows: np.ndarray) -> np.ndarray:
    """Mark the first event of each life in a batch sorted by socket."""
    births = _is_birth(rows)
    births[:1] = True
    births[1:] |= rows["socket"][1:] != rows["socket"][:-1]
    # A timewait socket's start is a re-arm only right after its own cancel.
    starts = np.flatnonzero(rows["kind"][1:] == KIND["timewait_start"]) + 1
    own = judge.tuple_keys(rows[starts]) == judge.tuple_keys(rows[starts - 1])
    births[starts] |= ~own | (rows["kind"][starts - 1] != KIND["timewait_cancel"])
    return births


def _latest(verdicts: np.ndarray, life: np.ndarray, count: int) -> np.ndarray:
    """Give each life its last event's verdict that is one; MAYBE if there is none."""
    result = np.full(count, MAYBE)
    decided = verdicts != MAYBE
    result[life[decided]] = verdicts[decided]
    return result
