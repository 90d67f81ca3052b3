"""Connections put together: socket lives, the timewait sockets after them, both ends."""

from functools import cached_property
from typing import Any

import numpy as np

from tcptrace.analysis import outcomes as how
from tcptrace.analysis import timewait as tw
from tcptrace.analysis.columns import spread
from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.lives import Lives
from tcptrace.analysis.masks import fill, one_of
from tcptrace.analysis.observed import ALWAYS, NEVER, Observed
from tcptrace.analysis.order import stable_order
from tcptrace.analysis.snapshots import Snapshots
from tcptrace.tracer.schema import STATE

TIME_WAIT_ENDS = (*tw.ENDS[1:6], "skipped", "open", None)
_END_CODES = np.array([TIME_WAIT_ENDS.index(name) for name in tw.ENDS], np.int8)
_NO_END, _SKIPPED = TIME_WAIT_ENDS.index(None), TIME_WAIT_ENDS.index("skipped")
_TIMERS = ("timer:timer_start", "timer:timer_expire_entry", "timer:timer_cancel")
#: More than any event's number.
_ORPHANS_LAST = 1 << 60
#: Where a row has no life, no timewait socket or no snapshot.
UNSEEN = -1


def timers_attached(header: dict[str, Any]) -> bool:
    """Tell whether timewait sockets' timers were watched."""
    probes = header.get("probes", {})
    return all(probes.get(name, {}).get("attached") for name in _TIMERS)


class Rows:
    """One row per connection: lives first, then timewait sockets that have no life."""

    def __init__(
        self,
        events: EventArrays,
        lives: Lives,
        waits: tw.TimeWaits,
        snapshots: Snapshots,
        header: dict[str, Any],
        observed: Observed,
    ) -> None:
        self.events, self.header, self.observed = events, header, observed
        reborn = lives.next_first <= observed.settling
        # What began while only TIME_WAITs were followed is known in part: leave it out.
        chosen = np.flatnonzero(~lives.listener & (lives.first <= observed.settling))
        chosen = chosen[stable_order(lives.row.take(chosen))]
        orphans = np.flatnonzero((waits.life == UNSEEN) & (waits.seen <= observed.settling))
        orphans = orphans[stable_order(waits.tuple_row.take(orphans))]
        wait_of_life = np.full(len(lives), UNSEEN)
        wait_of_life[waits.life[waits.life >= 0]] = np.flatnonzero(waits.life >= 0)
        silent = snapshots.idle_since <= observed.settling
        idle, idle_until = snapshots.idle[silent], snapshots.idle_until[silent]
        first = np.concatenate(
            [lives.first.take(chosen), waits.seen.take(orphans), snapshots.idle_since[silent]]
        )
        order = np.argsort(first, kind="stable")  # nearly in order: quick

        def column(*parts: np.ndarray) -> np.ndarray:
            return np.concatenate(parts).astype(np.int64)[order]

        no_wait, no_life = np.full(len(idle), UNSEEN), np.full(len(orphans), UNSEEN)
        #: Each row's life, timewait socket, and snapshot row; UNSEEN where it has none.
        self.life = column(chosen, no_life, no_wait)
        self.wait = column(wait_of_life.take(chosen), orphans, no_wait)
        self.snapshot = column(snapshots.of_life.take(chosen), no_life, idle)
        self._life_place, self._wait_place = np.maximum(self.life, 0), np.maximum(self.wait, 0)
        self._without_life = np.flatnonzero(self.life < 0)
        self._without_wait = np.flatnonzero(self.wait < 0)
        self._of_socket: dict[str, np.ndarray] = {}
        self.first = first.take(order)
        #: What orders those that came first at the same time: by kind, then by event.
        self.tie = column(
            lives.row.take(chosen),
            events.row[waits.tuple_row.take(orphans)] + _ORPHANS_LAST,
            events.row[idle] + 2 * _ORPHANS_LAST,
        )
        #: Known from snapshots alone.
        self.idle = (self.life < 0) & (self.wait < 0)
        self.lives, self.waits = lives, waits
        #: Per life: when it closed, or gave way to a timewait socket; ALWAYS if it did not.
        self.life_until = np.where(lives.ends, lives.last, spread(waits.seen, wait_of_life, ALWAYS))
        # Closed unseen, or perhaps: its address was born again, or events were lost.
        gone = (self.life_until == ALWAYS) & (reborn | (lives.last < observed.lost_until))
        last_seen = column(np.full(len(chosen), UNSEEN), no_life, idle_until)
        self.gone = self.of_life(gone, False) | (self.idle & (last_seen < observed.lost_until))
        unsure = waits.followed | (waits.last < observed.lost_until)
        unsure |= not timers_attached(header)
        unsure |= ~waits.in_time_wait & ~waits.asked
        lost = (waits.end == tw.OPEN) & unsure
        #: Timewait sockets that went on for an unknown time.
        self.lost_sight = self.of_wait(lost, False)

    def __len__(self) -> int:
        return len(self.life)

    def of_life(self, values: np.ndarray, otherwise: Any) -> np.ndarray:
        """Spread a value per life over the rows."""
        return self._spread(values, self._life_place, self._without_life, otherwise)

    def of_wait(self, values: np.ndarray, otherwise: Any) -> np.ndarray:
        """Spread a value per timewait socket over the rows."""
        return self._spread(values, self._wait_place, self._without_wait, otherwise)

    @staticmethod
    def _spread(
        values: np.ndarray, place: np.ndarray, without: np.ndarray, otherwise: Any
    ) -> np.ndarray:
        """Do as ``columns.spread`` does, which would look for the places every time."""
        dtype = np.result_type(values.dtype, type(otherwise))
        if not len(values):
            return np.full(len(place), otherwise, dtype)
        result: np.ndarray = values.take(place).astype(dtype, copy=False)
        result[without] = otherwise
        return result

    def of_socket(self, name: str) -> np.ndarray:
        """Give what a row's four-tuple or namespace is, by its name in ``EventArrays``."""
        values = self._of_socket.get(name)
        if values is None:
            values = self.of_either(getattr(self.lives, name), getattr(self.events, name))
            self._of_socket[name] = values
        return values

    def of_either(self, of_lives: np.ndarray, of_events: np.ndarray) -> np.ndarray:
        """Spread what is known of lives over the rows, and of events where there is no life."""
        values = self.of_life(of_lives, 0)
        alone = self._without_life
        told = spread(self.waits.tuple_row, self.wait.take(alone), UNSEEN)
        told = np.where(self.idle.take(alone), self.snapshot.take(alone), told)
        values[alone] = of_events.take(told)
        return values

    @cached_property
    def in_time_wait(self) -> np.ndarray:
        """Whether TIME_WAIT began."""
        return self.of_wait(self.waits.in_time_wait, False)

    @cached_property
    def half_closed(self) -> np.ndarray:
        """Whether all that is left is a socket that waits, or waited, for the FIN."""
        half_closed: np.ndarray = (self.wait >= 0) & ~self.in_time_wait
        return half_closed

    @cached_property
    def wait_end(self) -> np.ndarray:
        """How the timewait socket ended: index into ``timewait.ENDS``."""
        end = self.of_wait(self.waits.end, tw.UNKNOWN)
        end[self.lost_sight] = tw.UNKNOWN
        return end

    @cached_property
    def began(self) -> np.ndarray:
        """When TIME_WAIT began, NEVER if it did not or if unknown."""
        return self.of_wait(self.waits.began, NEVER)

    @cached_property
    def stopped(self) -> np.ndarray:
        """When the timewait socket ended, or was last there for sure."""
        ended = self.of_wait(self.waits.ended, ALWAYS)
        ended[self.lost_sight] = self.of_wait(self.waits.last, ALWAYS)[self.lost_sight]
        stopped: np.ndarray = np.minimum(ended, self.observed.ended)
        return stopped

    @cached_property
    def outcome(self) -> np.ndarray:
        """How it ended: index into ``outcomes.OUTCOMES``."""
        result = self.of_life(how.outcomes(self.lives), how.UNKNOWN)
        still = self.of_life(self.life_until, ALWAYS) == ALWAYS
        result[((self.life >= 0) | self.idle) & still & ~self.gone] = how.OPEN
        fill(result, self.in_time_wait, how.FINISHED)
        for end, outcome in (
            (tw.OPEN, how.OPEN),
            (tw.EXPIRED, how.TIMED_OUT),
            (tw.RESET, how.RESET),
            (tw.KILLED, how.UNKNOWN),
            (tw.UNKNOWN, how.UNKNOWN),
        ):
            result[self.half_closed & (self.wait_end == end)] = outcome
        return result

    @cached_property
    def closed_by(self) -> np.ndarray:
        """Who closed: index into ``outcomes.CLOSED_BY``."""
        lives = self.lives
        result = self.of_life(how.closers(lives, how.outcomes(lives)), how.NOBODY)
        # FIN_WAIT_2 was seen: this side's FIN was the first.
        waiting = self.events.old[self.waits.tuple_row] == STATE["FIN_WAIT_2"]
        result[(self.life < 0) & self.of_wait(waiting, False)] = how.LOCAL
        result[self.outcome == how.OPEN] = how.NOBODY
        return result

    @cached_property
    def skipped(self) -> np.ndarray:
        """TIME_WAIT was due, and the kernel made none (tcp_max_tw_buckets)."""
        lives = self.lives
        if self.observed.lost or not timers_attached(self.header):
            return np.zeros(len(self), bool)
        due = one_of(lives.before_close, STATE["FIN_WAIT_2"], STATE["CLOSING"])
        due &= (lives.reset_sent == NEVER) & (lives.reset_received == NEVER) & (lives.error == 0)
        return self.of_life(due, False) & (self.wait < 0)

    @cached_property
    def end_code(self) -> np.ndarray:
        """``time_wait_end``: index into TIME_WAIT_ENDS."""
        result: np.ndarray = _END_CODES[self.wait_end]
        result[self.skipped] = _SKIPPED
        # A FIN_WAIT_2 socket's end is named only where it kept TIME_WAIT from beginning.
        cut_short = (self.wait_end == tw.RESET) | (self.wait_end == tw.KILLED)
        result[self.half_closed & ~cut_short] = _NO_END
        return result

    @cached_property
    def still_waiting(self) -> np.ndarray:
        """TIME_WAIT was still running when last heard of."""
        running = self.of_wait(self.waits.end == tw.OPEN, False)
        waiting: np.ndarray = self.in_time_wait & running
        return waiting

    @cached_property
    def closed(self) -> np.ndarray:
        """When it was over but for TIME_WAIT, ns; NEVER if it is not, or if unknown."""
        at = self.of_life(self.life_until, NEVER)
        at[at == ALWAYS] = NEVER
        at = np.where(self.in_time_wait & (self.began > at), self.began, at)
        at = np.where(self.in_time_wait & (self.life < 0), self.began, at)
        ended = self.of_wait(self.waits.ended, ALWAYS)
        at = np.where(self.half_closed, np.where(ended == ALWAYS, NEVER, ended), at)
        return np.where(at < self.observed.started, NEVER, at)

    @cached_property
    def state(self) -> np.ndarray:
        """The last state known."""
        over = self.life_until != ALWAYS
        last = np.where(over, STATE["CLOSE"], self.lives.state)
        state = self.of_life(last, STATE["CLOSE"]).astype(np.int64)
        state[self.idle] = self.events.new[self.snapshot[self.idle]]
        fill(state, self.still_waiting, STATE["TIME_WAIT"])
        open_wait = self.of_wait(self.waits.end == tw.OPEN, False)
        state[self.half_closed & open_wait] = STATE["FIN_WAIT_2"]
        return state
