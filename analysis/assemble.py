"""Connections put together: socket lives, the timewait sockets after them, both ends."""

import errno
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from tcptrace.analysis import outcomes as how
from tcptrace.analysis import timewait as tw
from tcptrace.analysis.columns import censored, names, nullable, spread, utc, words
from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.lives import ALWAYS, NEVER, Lives
from tcptrace.analysis.pairs import conversations
from tcptrace.analysis.snapshots import Snapshots
from tcptrace.tracer.schema import STATE, STATES

#: Columns of seconds, and the state each is about; TIME_WAIT's is apart.
STATE_SECONDS = {
    "syn_sent_s": "SYN_SENT",
    "syn_recv_s": "SYN_RECV",
    "established_s": "ESTABLISHED",
    "fin_wait_1_s": "FIN_WAIT_1",
    "fin_wait_2_s": "FIN_WAIT_2",
    "closing_s": "CLOSING",
    "close_wait_s": "CLOSE_WAIT",
    "last_ack_s": "LAST_ACK",
}
TIME_WAIT_ENDS = (*tw.ENDS[1:6], "skipped", "open", None)
_END_CODES = np.array([TIME_WAIT_ENDS.index(name) for name in tw.ENDS], np.int8)
_NO_END, _SKIPPED = TIME_WAIT_ENDS.index(None), TIME_WAIT_ENDS.index("skipped")
_ROLES = ("client", "server", "unknown")
_TIMERS = ("timer:timer_start", "timer:timer_expire_entry", "timer:timer_cancel")
_UNSEEN = -1


@dataclass(frozen=True)
class Observed:
    """What was watched, ns since 1970: from ``started`` to ``ended``; ``lost`` events,
    the last of them not after ``lost_until`` (NEVER if none was lost).
    """  # noqa: D205

    started: int
    ended: int
    lost: int
    lost_until: int


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
        address = events.socket[lives.tuple_row]
        reborn = np.zeros(len(lives), bool)
        reborn[:-1] = address[1:] == address[:-1]
        chosen = np.flatnonzero(~lives.listener)
        orphans = np.flatnonzero(waits.life == _UNSEEN)
        wait_of_life = np.full(len(lives), _UNSEEN)
        wait_of_life[waits.life[waits.life >= 0]] = np.flatnonzero(waits.life >= 0)
        idle = snapshots.idle
        first = np.concatenate([lives.first[chosen], waits.seen[orphans], snapshots.idle_since])
        order = np.argsort(first, kind="stable")

        def column(*parts: np.ndarray) -> np.ndarray:
            return np.concatenate(parts).astype(np.int64)[order]

        no_wait, no_life = np.full(len(idle), _UNSEEN), np.full(len(orphans), _UNSEEN)
        #: Each row's life, timewait socket, and snapshot row; _UNSEEN where it has none.
        self.life = column(chosen, no_life, no_wait)
        self.wait = column(wait_of_life[chosen], orphans, no_wait)
        self.snapshot = column(snapshots.of_life[chosen], no_life, idle)
        self.first = first[order]
        #: Known from snapshots alone.
        self.idle = (self.life < 0) & (self.wait < 0)
        self._lives, self._waits = lives, waits
        # Closed unseen, or perhaps: its address was born again, or events were lost.
        gone = ~lives.ends & (reborn | (lives.last < observed.lost_until))
        last_seen = column(np.full(len(chosen), _UNSEEN), no_life, snapshots.idle_until)
        self.gone = self.of_life(gone, False) | (self.idle & (last_seen < observed.lost_until))
        self.ends = self.of_life(lives.ends, False)

    def __len__(self) -> int:
        return len(self.life)

    def of_life(self, values: np.ndarray, otherwise: Any) -> np.ndarray:
        """Spread a value per life over the rows."""
        return spread(values, self.life, otherwise)

    def of_wait(self, values: np.ndarray, otherwise: Any) -> np.ndarray:
        """Spread a value per timewait socket over the rows."""
        return spread(values, self.wait, otherwise)

    @cached_property
    def in_time_wait(self) -> np.ndarray:
        """Whether TIME_WAIT began."""
        return self.of_wait(self._waits.in_time_wait, False)

    @cached_property
    def half_closed(self) -> np.ndarray:
        """Whether all that is left is a socket that waits, or waited, for the FIN."""
        return (self.wait >= 0) & ~self.in_time_wait

    @cached_property
    def wait_end(self) -> np.ndarray:
        """How the timewait socket ended: index into ``timewait.ENDS``."""
        return self.of_wait(self._waits.end, tw.UNKNOWN)

    @cached_property
    def began(self) -> np.ndarray:
        """When TIME_WAIT began, NEVER if it did not or if unknown."""
        return self.of_wait(self._waits.began, NEVER)

    @cached_property
    def stopped(self) -> np.ndarray:
        """When the timewait socket ended, or the recording."""
        ended = self.of_wait(self._waits.ended, ALWAYS)
        return np.minimum(ended, self.observed.ended)

    @cached_property
    def outcome(self) -> np.ndarray:
        """How it ended: index into ``outcomes.OUTCOMES``."""
        result = self.of_life(how.outcomes(self._lives), how.UNKNOWN)
        result[((self.life >= 0) | self.idle) & ~self.ends & ~self.gone] = how.OPEN
        result[self.in_time_wait] = how.FINISHED
        for end, outcome in (
            (tw.OPEN, how.OPEN),
            (tw.EXPIRED, how.TIMED_OUT),
            (tw.RESET, how.RESET),
            (tw.KILLED, how.UNKNOWN),
        ):
            result[self.half_closed & (self.wait_end == end)] = outcome
        return result

    @cached_property
    def closed_by(self) -> np.ndarray:
        """Who closed: index into ``outcomes.CLOSED_BY``."""
        lives = self._lives
        result = self.of_life(how.closers(lives, how.outcomes(lives)), how.NOBODY)
        # FIN_WAIT_2 was seen: this side's FIN was the first.
        waiting = self.events.old[self._waits.tuple_row] == STATE["FIN_WAIT_2"]
        result[(self.life < 0) & self.of_wait(waiting, False)] = how.LOCAL
        result[self.outcome == how.OPEN] = how.NOBODY
        return result

    @cached_property
    def skipped(self) -> np.ndarray:
        """TIME_WAIT was due, and the kernel made none (tcp_max_tw_buckets)."""
        lives, probes = self._lives, self.header.get("probes", {})
        if self.observed.lost or not all(probes.get(name, {}).get("attached") for name in _TIMERS):
            return np.zeros(len(self), bool)
        due = np.isin(lives.before_close, (STATE["FIN_WAIT_2"], STATE["CLOSING"]))
        due &= (lives.reset_sent == NEVER) & (lives.reset_received == NEVER) & (lives.error == 0)
        return self.of_life(due, False) & (self.wait < 0)

    @cached_property
    def end_code(self) -> np.ndarray:
        """``time_wait_end``: index into TIME_WAIT_ENDS."""
        result = _END_CODES[self.wait_end]
        result[self.skipped] = _SKIPPED
        # A FIN_WAIT_2 socket's end is named only where it kept TIME_WAIT from beginning.
        cut_short = (self.wait_end == tw.RESET) | (self.wait_end == tw.KILLED)
        result[self.half_closed & ~cut_short] = _NO_END
        return result

    @cached_property
    def still_waiting(self) -> np.ndarray:
        """TIME_WAIT was still running at the end of the recording."""
        return self.in_time_wait & (self.wait_end == tw.OPEN)

    def _closed(self) -> np.ndarray:
        at = self.of_life(np.where(self._lives.ends, self._lives.last, NEVER), NEVER)
        at = np.where(self.in_time_wait & (self.began > at), self.began, at)
        at = np.where(self.in_time_wait & (self.life < 0), self.began, at)
        half_open = self.half_closed & (self.wait_end == tw.OPEN)
        at = np.where(self.half_closed, np.where(half_open, NEVER, self.stopped), at)
        return np.where(at < self.observed.started, NEVER, at)

    def _state(self) -> np.ndarray:
        state = self.of_life(self._lives.state, STATE["CLOSE"]).astype(np.int64)
        state[self.idle] = self.events.new[self.snapshot[self.idle]]
        state[self.still_waiting] = STATE["TIME_WAIT"]
        state[self.half_closed & (self.wait_end == tw.OPEN)] = STATE["FIN_WAIT_2"]
        return state

    def _seconds(self) -> dict[str, np.ndarray]:
        """Seconds in each state but TIME_WAIT; NaN where not in it, or unknown."""
        lives, observed = self._lives, self.observed
        spent = lives.dwell.copy()
        unknown = lives.gap.copy()
        index = np.arange(len(lives))
        older = ~lives.begins
        before = (index[older], lives.first_old[older])
        spent[before] += lives.first[older] - observed.started
        # Unless every event was recorded it may have been in another state before.
        unknown[before] |= observed.lost > 0
        visited = (lives.entered != NEVER) | (spent > 0)
        visited[before] = True
        going = ~lives.ends
        spent[index[going], lives.state[going]] += observed.ended - lives.last[going]
        spent[unknown | ~visited] = np.nan
        result = {
            name: self.of_life(spent[:, STATE[state]], np.nan) / 1e9
            for name, state in STATE_SECONDS.items()
        }
        result["fin_wait_2_s"] = result["fin_wait_2_s"] + self._mini_socket_seconds()
        for column, state in STATE_SECONDS.items():
            now = self._state() == STATE[state]
            result[column][now & self.idle] = (observed.ended - self.first[now & self.idle]) / 1e9
            result[column][now & self.gone] = np.nan
        return result

    def _mini_socket_seconds(self) -> np.ndarray:
        """FIN_WAIT_2 after the socket proper was given up for a timewait socket."""
        closed = self.of_life(self._lives.last, NEVER)
        until = np.where(self.in_time_wait, self.began, self.stopped)
        known = (self.wait >= 0) & (closed != NEVER) & (until > closed)
        return np.where(known, until - closed, 0) / 1e9

    @cached_property
    def time_wait_seconds(self) -> np.ndarray:
        """Seconds in TIME_WAIT; of one begun unseen, what is known at least."""
        armed = self.of_wait(self._waits.armed, NEVER)
        since = np.where(self.began != NEVER, self.began, armed)
        since = np.where(since != NEVER, since, self.observed.started)
        return np.where(self.in_time_wait, (self.stopped - since) / 1e9, np.nan)

    def time_wait_ended(self) -> pd.DatetimeIndex:
        """When TIME_WAIT ended; NaT while it runs."""
        return utc(np.where(self.in_time_wait & ~self.still_waiting, self.stopped, NEVER))

    def time_wait_censored(self) -> pd.Categorical:
        """Which end of TIME_WAIT lies outside the recording."""
        return censored(self.began == NEVER, self.still_waiting)

    def _pairs(self, tuple_row: np.ndarray) -> np.ndarray:
        """Find each row's other end: its index, -1 where there is none."""
        events, lives = self.events, self._lives
        last = self.of_life(np.where(lives.ends, lives.last, ALWAYS // 2), ALWAYS // 2)
        first = np.where(self.of_life(lives.begins, False), self.first, self.observed.started)
        paired = np.flatnonzero((self.life >= 0) | self.idle)
        rows = tuple_row[paired]
        other = conversations(
            events.netns[rows],
            events.local[rows],
            events.local_port[rows],
            events.remote[rows],
            events.remote_port[rows],
            events.is_loopback(events.remote[rows]),
            first[paired],
            last[paired],
            self.of_life(lives.client, False)[paired],
            self.of_life(lives.server, False)[paired],
        )
        result = np.full(len(self), _UNSEEN)
        result[paired] = np.where(other >= 0, paired[other], _UNSEEN)
        return result

    def _roles(self, other: np.ndarray) -> np.ndarray:
        client = self.of_life(self._lives.client, False)
        server = self.of_life(self._lives.server, False) & ~client
        role = np.where(client, 0, np.where(server, 1, 2))
        # One end's part tells the other's.
        told = (role == 2) & (other >= 0) & (role[other] < 2)
        role[told] = 1 - role[other[told]]
        return role

    def connections(self) -> pd.DataFrame:
        """Give the `connections` table (:class:`tcptrace.analysis.connections.Tables`)."""
        events, lives = self.events, self._lives
        tuple_row = np.where(
            self.life >= 0,
            self.of_life(lives.tuple_row, 0),
            np.where(self.idle, self.snapshot, self.of_wait(self._waits.tuple_row, 0)),
        )
        owner = self.of_life(lives.owner_row, _UNSEEN)
        owner = np.where(owner >= 0, owner, self.snapshot)
        owned = (owner >= 0) & (events.pid[owner] != 0) if len(events) else owner >= 0
        other = self._pairs(tuple_row)
        pair = np.where(other >= 0, np.minimum(other, np.arange(len(self))), -1)
        number = pd.factorize(pair[pair >= 0])[0]
        conversation = np.full(len(self), 0)
        conversation[pair >= 0] = number + 1
        local, remote = events.local[tuple_row], events.remote[tuple_row]
        ports = events.local_port[tuple_row], events.remote_port[tuple_row]
        netns = events.netns[tuple_row]
        old_start = ~self.of_life(lives.begins, False)
        return pd.DataFrame(
            {
                "connection": np.arange(1, len(self) + 1),
                "conversation": nullable(conversation, pair >= 0),
                "opened": utc(np.where(old_start, NEVER, self.first)),
                "established": utc(self.of_life(lives.entered[:, STATE["ESTABLISHED"]], NEVER)),
                "closed": utc(self._closed()),
                "role": words(self._roles(other), _ROLES),
                "family": np.where((local >> 32 > 0) | (remote >> 32 > 0), 6, 4).astype(np.int8),
                "local_address": events.address_texts(local),
                "local_port": nullable(ports[0], ports[0] != 0),
                "remote_address": events.address_texts(remote),
                "remote_port": nullable(ports[1], ports[1] != 0),
                "netns": nullable(netns, netns != 0),
                "cgroup": nullable(events.cgroup[owner], owned),
                "pid": nullable(events.pid[owner], owned),
                "comm": names(events.comm[owner], owned, events.comms),
                "closed_by": words(self.closed_by, how.CLOSED_BY),
                "outcome": words(self.outcome, how.OUTCOMES),
                "state": words(self._state(), STATES),
                "error": self._errors(),
                "reset_reason": self._reset_reasons(),
                **self._seconds(),
                "time_wait_s": self.time_wait_seconds,
                "time_wait_began": utc(self.began),
                "time_wait_end": words(self.end_code, TIME_WAIT_ENDS),
                "time_wait_restarts": nullable(
                    self.of_wait(self._waits.restarts, 0), self.in_time_wait
                ),
                "censored": censored(old_start, (self.outcome == how.OPEN) | self.still_waiting),
            }
        )

    def _errors(self) -> pd.Categorical:
        number = self.of_life(self._lives.error, 0)
        distinct, code = np.unique(number, return_inverse=True)
        errors = [errno.errorcode.get(int(value), f"errno {value}") for value in distinct]
        return names(code, number != 0, errors)

    def _reset_reasons(self) -> pd.Categorical:
        row = self.of_life(self._lives.reset_row, _UNSEEN)
        known = (row >= 0) & self.events.has_detail[row] if len(self.events) else row >= 0
        number = np.where(known, self.events.detail[row] if len(self.events) else 0, -1)
        distinct, code = np.unique(number, return_inverse=True)
        named = self.header.get("reset_reasons", {})
        reasons = [str(named.get(str(value), f"reason {value}")) for value in distinct]
        return names(code, known, reasons)
