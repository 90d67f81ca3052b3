"""Timewait sockets from timers and snapshots; snapshots' rows given to sockets."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .sockets import MINUTE, SECOND, STALE, TOGETHER, Life, Machine, Row, Wait, four_tuple, living


def find_waits(machine: Machine, by_tuple: dict[Any, list[Life]], hz: int | None) -> list[Wait]:
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
            life = living(by_tuple[key], row["time"]) if kind == "timewait_start" else None
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


def match_snapshots(machine: Machine, by_tuple: dict[Any, list[Life]]) -> list[list[Row]]:
    """Give snapshots' rows to lives; what is left, by four-tuple, is idle."""
    idle = defaultdict(list)
    for row in machine.snapshots:
        if row["new_state"] == "LISTEN":
            continue
        key = four_tuple(row)
        life = living(by_tuple[key], row["time"], STALE)
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
