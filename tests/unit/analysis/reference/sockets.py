"""Sockets and timewait sockets, each event given to the one it is about."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
FOREVER = 2**62
TOGETHER, STALE, LATE = SECOND // 10, SECOND, SECOND

Row = dict[str, Any]
SECONDS = {
    "SYN_SENT": "syn_sent_s",
    "SYN_RECV": "syn_recv_s",
    "ESTABLISHED": "established_s",
    "FIN_WAIT_1": "fin_wait_1_s",
    "FIN_WAIT_2": "fin_wait_2_s",
    "CLOSING": "closing_s",
    "CLOSE_WAIT": "close_wait_s",
    "LAST_ACK": "last_ack_s",
}
TIMER_KINDS = ("timewait_start", "timewait_cancel", "timewait_expire")


def four_tuple(row: Row) -> tuple[Any, ...]:
    names = ("netns", "local_address", "local_port", "remote_address", "remote_port")
    return tuple(row[name] for name in names)


def is_birth(row: Row) -> bool:
    old, new = row["old_state"], row["new_state"]
    return old == "CLOSE" or (old, new) == ("LISTEN", "SYN_RECV")


CLOSING = {"FIN_WAIT_1", "FIN_WAIT_2", "CLOSING", "CLOSE_WAIT", "LAST_ACK"}
LATER = {
    "SYN_SENT": {"SYN_RECV", "ESTABLISHED"} | CLOSING,
    "SYN_RECV": {"ESTABLISHED"} | CLOSING,
    "ESTABLISHED": CLOSING,
    "FIN_WAIT_1": {"FIN_WAIT_2", "CLOSING"},
    "CLOSE_WAIT": {"LAST_ACK"},
}


def is_another(life: Life, row: Row) -> bool:
    """Whether a transition cannot be of the socket that was there: events were lost."""
    if not life.transitions or life.closes:
        return False
    before = life.transitions[-1]
    if row["old_state"] not in LATER.get(life.state, set()) | {life.state}:
        return True
    for port, *names in (("local_port",), ("remote_port", "remote_address", "netns")):
        if before[port] and row[port] and any(before[n] != row[n] for n in (port, *names)):
            return True
    return False


@dataclass
class Life:
    """A full socket from its birth, or the first that was seen, to its CLOSE."""

    transitions: list[Row] = field(default_factory=list)
    received: list[Row] = field(default_factory=list)
    sent: list[Row] = field(default_factory=list)
    wait: Wait | None = None
    snapshots: list[Row] = field(default_factory=list)
    reborn: int = FOREVER  # when its address was born again

    @property
    def first(self) -> int:
        return int(self.transitions[0]["time"])

    @property
    def last(self) -> int:
        return int(self.transitions[-1]["time"])

    @property
    def begins(self) -> bool:
        return is_birth(self.transitions[0])

    @property
    def state(self) -> str:
        return str(self.transitions[-1]["new_state"])

    @property
    def closes(self) -> bool:
        return self.state == "CLOSE"

    @property
    def close(self) -> Row:
        return self.transitions[-1]

    @property
    def until(self) -> int:
        """When it closed or gave way to a timewait socket."""
        if self.closes:
            return self.last
        return self.wait.first if self.wait else FOREVER

    @property
    def place(self) -> Row:
        """The event whose four-tuple is its own."""
        for row in reversed(self.transitions):
            if row["local_port"] and row["remote_port"]:
                return row
        return self.transitions[-1]

    def was(self, *states: str) -> bool:
        """Whether it was ever in one of these states."""
        seen = {row["new_state"] for row in self.transitions}
        return bool((seen | {self.transitions[0]["old_state"]}) & set(states))

    @property
    def listener(self) -> bool:
        return any(
            row["new_state"] == "LISTEN"
            or (row["old_state"], row["new_state"]) == ("LISTEN", "CLOSE")
            for row in self.transitions
        )

    @property
    def client(self) -> bool:
        return any("SYN_SENT" in (row["old_state"], row["new_state"]) for row in self.transitions)

    @property
    def server(self) -> bool:
        return any(
            (row["old_state"], row["new_state"]) == ("LISTEN", "SYN_RECV")
            for row in self.transitions
        )

    @property
    def error(self) -> int:
        return self.close["detail"] >> 8 if self.closes else 0


@dataclass
class Wait:
    """A timewait socket."""

    events: list[Row]
    life: Life | None = None
    began: int | None = None
    since: int | None = None  # in TIME_WAIT for sure
    restarts: int = 0
    end: str | None = "open"
    followed: bool = False

    @property
    def first(self) -> int:
        return int(self.events[0]["time"])

    @property
    def last(self) -> int:
        return int(self.events[-1]["time"])

    @property
    def over(self) -> bool:
        return self.events[-1]["kind"] in ("timewait_cancel", "timewait_expire")

    @property
    def waited(self) -> bool:
        """Whether it was ever in TIME_WAIT."""
        return any(row["old_state"] == "TIME_WAIT" for row in self.events)


class Machine:
    """Takes events in order."""

    def __init__(self) -> None:
        self.lives: list[Life] = []
        self.timers: list[Row] = []
        self.signs: list[Row] = []
        self.snapshots: list[Row] = []
        self._current: dict[int, Life] = {}
        self._previous: dict[int, str] = {}
        self._by_reset: dict[int, Life] = {}
        self._timewait: dict[int, bool] = {}
        self._unsure: dict[int, list[Row]] = defaultdict(list)

    def take(self, row: Row) -> None:
        kind, address = row["kind"], row["socket"]
        if kind == "existing":
            waits = row["detail"] is not None or row["new_state"] == "TIME_WAIT"
            (self.timers if waits else self.snapshots).append(row)
            return
        same = kind == "state" and row["old_state"] == row["new_state"]
        if not address or row["old_state"] == "NEW_SYN_RECV" or same:
            return
        if kind == "reset_sent":
            if address not in self._timewait and row["old_state"] == "FIN_WAIT_2":
                self._unsure[address].append(row)
                return
            if self._timewait.get(address) or row["old_state"] == "TIME_WAIT":
                self._give_up(address)
                self.signs.append(row)
                return
        unsure = self._unsure.pop(address, [])
        if kind.startswith("timewait"):
            self.signs += unsure
            self._give_up(address)
            self._timewait[address] = True
            (self.timers if kind in TIMER_KINDS else self.signs).append(row)
            return
        for early in unsure:
            self._full(early)
        if kind != "reset_sent":
            self._timewait[address] = False
        self._full(row)

    def finish(self) -> None:
        for rows in self._unsure.values():
            for row in rows:
                self._full(row)
        self.lives = [life for life in self.lives if life.transitions]

    def _give_up(self, address: int) -> None:
        self._current.pop(address, None)
        self._previous.pop(address, None)
        self._by_reset.pop(address, None)

    def _born(self, address: int, time: int) -> Life:
        life = self._current[address] = Life()
        self.lives.append(life)
        return life

    def _full(self, row: Row) -> None:
        kind, address = row["kind"], row["socket"]
        life = self._current.get(address)
        closed = self._previous.get(address) == "CLOSE"
        by_reset = self._by_reset.pop(address, None)
        if kind == "state":
            belongs = by_reset is not None and not is_birth(row)
            another = life is not None and is_another(life, row)
            if life is None or another or ((is_birth(row) or closed) and not belongs):
                life = self._born(address, row["time"])
            life.transitions.append(row)
            self._previous[address] = row["new_state"]
        elif kind == "reset_received":
            if life is None or closed:
                life = self._born(address, row["time"])
                if closed:
                    self._by_reset[address] = life
            life.received.append(row)
        else:
            life = life or self._born(address, row["time"])
            if kind == "reset_sent":
                life.sent.append(row)


def watched(header: dict[str, Any]) -> bool:
    """Whether timers make events."""
    return all(
        header["probes"].get(name, {}).get("attached")
        for name in ("timer:timer_start", "timer:timer_cancel", "timer:timer_expire_entry")
    )


def mark_reborn(lives: list[Life]) -> None:
    last: dict[int, Life] = {}
    for life in lives:
        address = life.place["socket"]
        if address in last:
            last[address].reborn = life.first
        last[address] = life


def living(lives: list[Life], time: int, late: int = 0) -> Life | None:
    """Which of the lives of one four-tuple, in order, was there."""
    found = None
    before = -FOREVER
    for life in lives:
        since = life.first if life.begins else min(before + 1, life.first)
        if since <= time:
            found = life
        before = life.last
    if found and (not found.closes or found.last + late >= time):
        return found
    return None
