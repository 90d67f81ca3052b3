"""Rows of the tables, one socket at a time."""

from __future__ import annotations

import errno
import ipaddress
from collections import defaultdict
from typing import Any

from .pairs import pair
from .sockets import FOREVER, SECOND, SECONDS, Life, Machine, Row, Wait, watched
from .verdict import owner_of, verdict


def tables(
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
    pair(table)
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
    _own(row, owner_of(life))
    row["outcome"], row["closed_by"] = verdict(life)
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
        jumped = life.wait and life.state not in ("FIN_WAIT_2", "CLOSING")
        if gone or jumped:
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
