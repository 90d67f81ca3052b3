"""What the tables should say, the slow way: one event after the other, plain Python.

Written from what the kernel does (bpf/event.h, net/ipv4/tcp_minisocks.c), to compare the
vectorised reconstruction with. It shares no code with it.
"""

from __future__ import annotations

import errno
import ipaddress
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
UNREACHABLE = {
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.ENONET,
}


def four_tuple(row: Row) -> tuple[Any, ...]:
    names = ("netns", "local_address", "local_port", "remote_address", "remote_port")
    return tuple(row[name] for name in names)


def is_birth(row: Row) -> bool:
    old, new = row["old_state"], row["new_state"]
    return old == "CLOSE" or (old, new) == ("LISTEN", "SYN_RECV")


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
            if life is None or ((is_birth(row) or closed) and not belongs):
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


def reconstruct(
    rows: list[Row], header: dict[str, Any], observed: Any
) -> tuple[list[Row], list[Row]]:
    """Rows of the `connections` and `time_wait` tables."""
    for number, row in enumerate(rows):
        row["row"] = number
    machine = Machine()
    for row in rows:
        machine.take(row)
    machine.finish()
    _mark_reborn(machine.lives)
    by_tuple = defaultdict(list)
    for life in sorted(machine.lives, key=lambda life: life.first):
        by_tuple[four_tuple(life.place)].append(life)
    if not watched(header):
        machine.timers = [
            row
            for row in machine.timers
            if not any(life.first <= row["time"] for life in by_tuple[four_tuple(row)])
        ]
    waits = _waits(machine, by_tuple, header.get("hz"))
    idle = _match_snapshots(machine, by_tuple)
    return _tables(machine, waits, idle, header, observed)


def watched(header: dict[str, Any]) -> bool:
    """Whether timers make events."""
    return all(
        header["probes"].get(name, {}).get("attached")
        for name in ("timer:timer_start", "timer:timer_cancel", "timer:timer_expire_entry")
    )


def _mark_reborn(lives: list[Life]) -> None:
    last: dict[int, Life] = {}
    for life in lives:
        address = life.place["socket"]
        if address in last:
            last[address].reborn = life.first
        last[address] = life


def _living(lives: list[Life], time: int, late: int = 0) -> Life | None:
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


def _waits(machine: Machine, by_tuple: dict[Any, list[Life]], hz: int | None) -> list[Wait]:
    jiffy = SECOND // hz if hz else 0
    groups = defaultdict(list)
    for row in machine.timers:
        groups[four_tuple(row)].append(row)
    waits = []
    for key, timers in groups.items():
        timers.sort(key=lambda row: (row["time"], row["row"]))
        current: Wait | None = None
        for row in timers:
            kind = row["kind"]
            last = current.events[-1]["kind"] if current else None
            near = current is not None and row["time"] - current.last <= TOGETHER
            life = _living(by_tuple[key], row["time"]) if kind == "timewait_start" else None
            told_late = current is not None and row["time"] - current.last <= STALE
            if kind == "existing" and current and current.over and told_late:
                continue
            goes_on = last in ("timewait_start", "existing") and kind != "timewait_start"
            if last == "timewait_cancel" and near:
                goes_on = kind == "timewait_expire" or (kind == "timewait_start" and not life)
            if current and goes_on:
                current.events.append(row)
                continue
            if current:
                current.followed = True
            current = Wait([row], life)
            if life:
                life.wait = current
            waits.append(current)
    for wait in waits:
        _follow(wait, jiffy)
        _name_end(wait, machine, by_tuple)
    return waits


def _follow(wait: Wait, jiffy: int) -> None:
    """When TIME_WAIT began, and how often anew."""
    known: tuple[int, bool] | None = None  # armed when, for TIME_WAIT or not
    entered_at = -1
    silently = False
    events = wait.events
    for place, row in enumerate(events):
        kind, time, waiting = row["kind"], row["time"], row["old_state"] == "TIME_WAIT"
        telling = bool(jiffy) and row["detail"] is not None
        armed = min(time + (row["detail"] or 0) * jiffy - MINUTE, time)
        rearmed = events[place + 1 :] and events[place + 1]["kind"] == "timewait_start"
        before = events[place - 1]["kind"] if place else None
        silent = bool(
            waiting
            and kind != "timewait_start"
            and telling
            and known
            and before != "timewait_cancel"
            and armed > known[0] + (STALE if kind == "existing" else 5 * jiffy // 2)
        )
        if silent and known and known[1]:
            wait.restarts += 1
        if waiting and entered_at < 0:
            entered_at, silently = place, silent
            if kind == "timewait_start" or (place and rearmed and not silent):
                wait.began = time
            elif place and telling:
                wait.began = min(max(armed, events[place - 1]["time"]), time)
            wait.since = wait.began
            if wait.since is None:
                wait.since = time if rearmed or not telling else armed
        elif kind == "timewait_start" and waiting and place:
            # The re-arm by which TIME_WAIT began is none; one after it began unseen is.
            wait.restarts += entered_at != place - 1 or silently
        if telling and kind in ("timewait_start", "existing"):
            known = (armed, waiting)


def _name_end(wait: Wait, machine: Machine, by_tuple: dict[Any, list[Life]]) -> None:
    if not wait.over:
        return
    if wait.events[-1]["kind"] == "timewait_expire":
        wait.end = "expired"
        return
    key, at = four_tuple(wait.events[0]), wait.last
    lives = by_tuple[key]
    wait.end = "killed"
    later = [life for life in lives if life.first <= at + TOGETHER]
    if later and later[-1].server and later[-1].begins and later[-1].first >= at:
        wait.end = None
    later = [life for life in lives if life.first <= at + SECOND // 1000]
    if later and later[-1].server and later[-1].begins and later[-1].first >= at:
        wait.end = "reused_syn"
    signs = [(sign["kind"], sign["time"] - at) for sign in machine.signs if four_tuple(sign) == key]
    if any(kind == "reset_sent" and -TOGETHER <= after <= 0 for kind, after in signs):
        wait.end = "reset"
    before = [life for life in lives if life.first <= at]
    if before and before[-1] is not wait.life and before[-1].client and before[-1].begins:
        rest = before[-1].transitions[1:]
        if not rest or rest[0]["time"] >= at:
            wait.end = "reused_connect"
    if any(kind == "timewait_reused" and 0 <= after <= TOGETHER for kind, after in signs):
        wait.end = "reused_syn"


def _match_snapshots(machine: Machine, by_tuple: dict[Any, list[Life]]) -> list[list[Row]]:
    """Give snapshots' rows to lives; what is left, by four-tuple, is idle."""
    idle = defaultdict(list)
    for row in machine.snapshots:
        if row["new_state"] == "LISTEN":
            continue
        key = four_tuple(row)
        life = _living(by_tuple[key], row["time"], STALE)
        if life:
            life.snapshots.append(row)
            continue
        connecting = any(
            not life.place["local_port"]
            and life.begins
            and life.first <= row["time"]
            and (not life.closes or life.last + STALE >= row["time"])
            and (key[0], *key[3:]) == (life.place["netns"], *four_tuple(life.place)[3:])
            for life in machine.lives
        )
        if row["new_state"] != "SYN_SENT" or not connecting:
            idle[key].append(row)
    return list(idle.values())


def _tables(
    machine: Machine,
    waits: list[Wait],
    idle: list[list[Row]],
    header: dict[str, Any],
    observed: Any,
) -> tuple[list[Row], list[Row]]:
    found = [
        (life.first, _of_life(life, header, observed))
        for life in machine.lives
        if not life.listener
    ]
    found += [(wait.first, _of_wait(wait, header, observed)) for wait in waits if not wait.life]
    found += [(rows[0]["time"], _of_snapshots(rows, observed)) for rows in idle]
    # What began while only TIME_WAITs were followed is left out.
    found = [each for each in found if each[0] <= observed.settling]
    found.sort(key=lambda each: each[0])
    table = [row for _, row in found]
    for number, row in enumerate(table):
        row["connection"] = number + 1
    _pair(table)
    return table, [row.pop("wait") for row in table if row.get("wait")]


def _address(packed: bytes) -> str | None:
    if packed[:12] == bytes(10) + b"\xff\xff":
        text = str(ipaddress.IPv4Address(packed[12:]))
    else:
        text = str(ipaddress.IPv6Address(packed))
    return None if text in ("0.0.0.0", "::") else text


def _empty(place: Row) -> Row:
    row: Row = dict.fromkeys(SECONDS.values())
    row |= {
        "conversation": None,
        "opened": None,
        "established": None,
        "closed": None,
        "role": "unknown",
        "family": 4 if place["remote_address"][:12] == bytes(10) + b"\xff\xff" else 6,
        "local_address": _address(place["local_address"]),
        "local_port": place["local_port"] or None,
        "remote_address": _address(place["remote_address"]),
        "remote_port": place["remote_port"] or None,
        "netns": place["netns"] or None,
        "cgroup": None,
        "pid": None,
        "comm": None,
        "closed_by": None,
        "outcome": "unknown",
        "state": None,
        "error": None,
        "reset_reason": None,
        "time_wait_s": None,
        "time_wait_began": None,
        "time_wait_end": None,
        "time_wait_restarts": None,
        "censored": "none",
        "place": place,
    }
    return row


def _censored(left: bool, right: bool) -> str:
    return {(0, 0): "none", (1, 0): "left", (0, 1): "right", (1, 1): "both"}[int(left), int(right)]


def _own(row: Row, owner: Row | None) -> None:
    if owner and owner["pid"]:
        row |= {name: owner[name] for name in ("pid", "comm", "cgroup")}


def _owner(life: Life) -> Row | None:
    wanted = (
        lambda old, new: (old, new) == ("CLOSE", "SYN_SENT"),
        lambda old, new: new == "FIN_WAIT_1",
        lambda old, new: (old, new) == ("CLOSE_WAIT", "LAST_ACK"),
    )
    for fits in wanted:
        rows = [row for row in life.transitions if fits(row["old_state"], row["new_state"])]
        if rows:
            return rows[-1]
    if life.closes and life.sent and not life.received:
        close, sent = life.close, life.sent[-1]
        by_program = not life.error and not close["detail"] & 2
        if by_program and sent["row"] > close["row"] and sent["pid"] == close["pid"]:
            return sent
    held = [row for row in life.snapshots if row["pid"]]
    return held[-1] if held else None


def _never_up(life: Life) -> bool:
    left = life.close["old_state"] if life.closes else None
    return bool({life.state, left} & {"SYN_SENT", "SYN_RECV"})


def _verdict(life: Life) -> tuple[str, str | None]:
    """Outcome and closer as the full socket alone tells them."""
    outcome, error = "unknown", life.error
    got, sent = bool(life.received), bool(life.sent)
    was_reset = got or sent or error in (errno.ECONNRESET, errno.EPIPE)
    if life.closes:
        left = life.close["old_state"]
        fin = bool(life.close["detail"] & 1)
        if left == "LAST_ACK" or (left in ("FIN_WAIT_2", "CLOSING") and fin):
            outcome = "finished"
        if error in UNREACHABLE:
            outcome = "unreachable"
        if was_reset:
            outcome = "reset"
        if _never_up(life) and life.client and (got or error == errno.ECONNREFUSED):
            outcome = "refused"
        if error == errno.ETIMEDOUT and not got:
            outcome = "timed_out"
    closer = None
    if life.was("CLOSE_WAIT", "LAST_ACK"):
        closer = "remote"
    if life.was("FIN_WAIT_1", "FIN_WAIT_2"):
        closer = "local"
    if life.was("CLOSING"):
        closer = "both"
    if outcome == "reset":
        if got or error in (errno.ECONNRESET, errno.EPIPE):
            closer = "remote"
        if sent and (not got or life.sent[-1]["time"] > life.received[0]["time"]):
            closer = "local"
    elif _never_up(life):
        closer = None
    return outcome, closer


def _of_life(life: Life, header: dict[str, Any], observed: Any) -> Row:
    row = _empty(life.place)
    row["is_client"], row["is_server"] = life.client, life.server
    row["role"] = "client" if life.client else "server" if life.server else "unknown"
    row["paired_from"] = life.first if life.begins else observed.started
    row["paired_to"] = life.last if life.closes else FOREVER
    row["opened"] = life.first if life.begins else None
    for each in life.transitions:
        if each["new_state"] == "ESTABLISHED":
            row["established"] = each["time"]
            break
    _own(row, _owner(life))
    row["outcome"], row["closed_by"] = _verdict(life)
    if life.error:
        row["error"] = errno.errorcode.get(life.error, f"errno {life.error}")
    if life.sent and life.sent[-1]["detail"] is not None:
        reason = str(life.sent[-1]["detail"])
        row["reset_reason"] = header["reset_reasons"].get(reason, f"reason {reason}")
    gone = life.until == FOREVER and (
        life.reborn <= observed.settling or life.last < observed.lost_until
    )
    row["state"] = "CLOSE" if life.until != FOREVER else life.state
    row["closed"] = None if life.until == FOREVER else life.until
    if life.until == FOREVER and not gone:
        row["outcome"] = "open"
    _spend(row, life, gone, observed)
    due = life.closes and life.close["old_state"] in ("FIN_WAIT_2", "CLOSING")
    due = due and not (life.sent or life.received or life.error or life.wait)
    if due and watched(header) and not observed.lost:
        row["time_wait_end"] = "skipped"
    if life.wait:
        _add_wait(row, life.wait, header, observed)
    if row["outcome"] == "open":
        row["closed_by"] = None
    waiting = bool(life.wait and life.wait.waited and not life.wait.over)
    row["censored"] = _censored(not life.begins, row["outcome"] == "open" or waiting)
    return row


def _spend(row: Row, life: Life, gone: bool, observed: Any) -> None:
    """Seconds in each state of the full socket."""
    spent: dict[str, int] = defaultdict(int)
    unknown = set()
    first = life.transitions[0]
    if not life.begins:
        spent[first["old_state"]] += first["time"] - observed.started
        if observed.lost:
            unknown.add(first["old_state"])
    for before, after in zip(life.transitions, life.transitions[1:], strict=False):
        if before["new_state"] == after["old_state"]:
            spent[before["new_state"]] += after["time"] - before["time"]
        else:  # one in between was lost
            unknown |= {before["new_state"], after["old_state"]}
    if not life.closes:
        end = min(life.until, observed.settling)
        spent[life.state] += max(end - life.last, 0)
        if gone:
            unknown.add(life.state)
    for state, name in SECONDS.items():
        if state in spent and state not in unknown:
            row[name] = spent[state] / SECOND


def _of_wait(wait: Wait, header: dict[str, Any], observed: Any) -> Row:
    row = _empty(wait.events[0])
    row["state"] = "CLOSE"
    _add_wait(row, wait, header, observed)
    if wait.events[0]["old_state"] == "FIN_WAIT_2":
        row["closed_by"] = "local"
    if row["outcome"] == "open":
        row["closed_by"] = None
    waiting = wait.waited and not wait.over
    row["censored"] = _censored(True, row["outcome"] == "open" or waiting)
    return row


def _add_wait(row: Row, wait: Wait, header: dict[str, Any], observed: Any) -> None:
    """What the timewait socket adds to its connection's row."""
    lost = not wait.over and (wait.followed or wait.last < observed.lost_until)
    # The FIN may have come without an event, so FIN_WAIT_2 is known only if asked.
    asked = wait.events[-1]["kind"] == "existing"
    lost = lost or (not wait.over and not wait.waited and not asked)
    lost = lost or (not wait.over and not watched(header))
    stopped = wait.last if wait.over or lost else observed.ended
    stopped = min(stopped, observed.ended)
    end = None if lost else wait.end
    if wait.events[0]["old_state"] == "FIN_WAIT_2":
        _spend_half_closed(row, wait, stopped, lost, observed)
    if not wait.waited:
        row["closed"] = wait.last if wait.over else None
        outcomes = {"open": "open", "expired": "timed_out", "reset": "reset", "killed": "unknown"}
        row["outcome"] = outcomes.get(str(end), row["outcome"])
        row["time_wait_end"] = end if end in ("reset", "killed") else None
        if not wait.over:
            row["state"] = "FIN_WAIT_2"
        return
    row["outcome"] = "finished"
    if wait.life is None:
        row["closed"] = wait.began
    elif wait.began is not None:
        row["closed"] = max(row["closed"], wait.began)
    row["time_wait_began"] = wait.began
    row["time_wait_end"] = end
    row["time_wait_restarts"] = wait.restarts
    assert wait.since is not None
    row["time_wait_s"] = (stopped - wait.since) / SECOND
    if not wait.over:
        row["state"] = "TIME_WAIT"
    row["wait"] = {
        "began": wait.began,
        "ended": wait.last if wait.over else None,
        "lived_s": row["time_wait_s"],
        "end": end,
        "restarts": wait.restarts,
        "censored": _censored(wait.began is None, not wait.over),
    }


def _spend_half_closed(row: Row, wait: Wait, stopped: int, lost: bool, observed: Any) -> None:
    if wait.life:
        since = wait.life.until
    elif wait.events[0]["kind"] != "timewait_start" and not observed.lost:
        since = observed.started
    else:
        since = wait.first
    until = wait.began if wait.waited else stopped
    if until is None or (lost and not wait.waited):
        row["fin_wait_2_s"] = None
        return
    before = row["fin_wait_2_s"] if wait.life else 0
    if before is not None:
        row["fin_wait_2_s"] = before + max(until - since, 0) / SECOND


def _of_snapshots(rows: list[Row], observed: Any) -> Row:
    last = rows[-1]
    row = _empty(last)
    row["is_client"] = row["is_server"] = False
    row["paired_from"], row["paired_to"] = observed.started, FOREVER
    row["state"] = last["new_state"]
    gone = last["time"] < observed.lost_until
    row["outcome"] = "unknown" if gone else "open"
    _own(row, last)
    if not gone and row["state"] in SECONDS:
        since = rows[0]["time"] if observed.lost else observed.started
        row[SECONDS[row["state"]]] = (observed.settling - since) / SECOND
    row["censored"] = _censored(True, not gone)
    return row


def _pair(table: list[Row]) -> None:
    """Find the rows that are two ends of one connection."""
    usable = [row for row in table if "paired_from" in row and _near(row)[1] and _far(row)[1]]
    usable = [row for row in usable if _near(row) != _far(row)]
    pairs = _neighbours(usable, across=False)
    taken = {id(row) for pair in pairs for row in pair}
    lonely = [row for row in usable if id(row) not in taken and not _loopback(row)]
    same = defaultdict(list)
    for row in lonely:
        same[_ends(row)].append(row)
    crowded = {
        ends
        for ends, rows in same.items()
        if any(_crowd(row, other) for row in rows for other in rows)
    }
    pairs += _neighbours([row for row in lonely if _ends(row) not in crowded], across=True)
    numbers = sorted(pairs, key=lambda pair: min(row["connection"] for row in pair))
    for number, pair in enumerate(numbers, 1):
        known = [row["role"] for row in pair]
        for row, role in zip(pair, known[::-1], strict=True):
            row["conversation"] = number
            if row["role"] == "unknown" and role != "unknown":
                row["role"] = "server" if role == "client" else "client"


def _near(row: Row) -> tuple[bytes, int]:
    return row["place"]["local_address"], row["place"]["local_port"]


def _far(row: Row) -> tuple[bytes, int]:
    return row["place"]["remote_address"], row["place"]["remote_port"]


def _ends(row: Row) -> tuple[Any, ...]:
    return tuple(sorted((_near(row), _far(row))))


def _loopback(row: Row) -> bool:
    address = row["place"]["remote_address"]
    return bool(address == ipaddress.IPv6Address("::1").packed or address[10:13] == b"\xff\xff\x7f")


def _crowd(row: Row, other: Row) -> bool:
    return (
        row is not other
        and (_near(row), _far(row)) == (_near(other), _far(other))
        and row["paired_from"] < other["paired_to"]
        and other["paired_from"] < row["paired_to"]
    )


def _part(row: Row) -> int:
    if row["is_client"] != row["is_server"]:
        return 1 if row["is_client"] else 2
    return 0


def _neighbours(rows: list[Row], *, across: bool) -> list[tuple[Row, Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[_ends(row) if across else (_ends(row), row["place"]["netns"])].append(row)
    pairs = []
    for group in groups.values():
        group.sort(key=lambda row: (row["paired_from"], _part(row), row["connection"]))
        waiting: Row | None = None
        for row in group:
            if waiting is not None and _fit(waiting, row):
                pairs.append((waiting, row))
                waiting = None
            else:
                waiting = row
    return pairs


def _fit(row: Row, later: Row) -> bool:
    late = LATE if (_part(row), _part(later)) == (1, 2) else 0
    opposite = _near(row) == _far(later)
    servers = _part(row) == _part(later) == 2
    return opposite and not servers and bool(later["paired_from"] <= row["paired_to"] + late)
