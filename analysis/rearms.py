"""When TIME_WAIT began, and how often anew, from its timer.

A re-arm that stays within one bucket of the timer wheel makes no event
(``__mod_timer()``): only the jiffies left, seen later, tell of it.
"""

import numpy as np

from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.observed import NEVER
from tcptrace.tracer.schema import KIND, STATE, TIMEWAIT_SECONDS

SECOND = 1_000_000_000
_LENGTH = TIMEWAIT_SECONDS * SECOND


def is_timer(kind: np.ndarray) -> np.ndarray:
    """Tell the events of timers from resets and snapshots."""
    return (kind >= KIND["timewait_start"]) & (kind <= KIND["timewait_cancel"])


def beginnings(
    events: EventArrays, rows: np.ndarray, group: np.ndarray, count: int, hz: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find when TIME_WAIT began, when it was last armed, and how often anew."""
    kind = events.kind[rows]
    timer = np.flatnonzero(is_timer(kind) | (kind == KIND["existing"]))
    kind, where, group = kind[timer], rows[timer], group[timer]
    time = events.time[where]
    in_time_wait = events.old[where] == STATE["TIME_WAIT"]
    starts = kind == KIND["timewait_start"]
    jiffy = SECOND // hz if hz else SECOND
    # When the running timer was armed for TIME_WAIT, told by the time it has left.
    # Without HZ it cannot be told, and no silent re-arm can be seen.
    implied = time + events.detail[where] * jiffy - _LENGTH if hz else time
    tolerance = 5 * jiffy // 2

    previous_start = np.where(starts, np.arange(len(timer)), -1)
    previous_start = np.maximum.accumulate(previous_start) if len(timer) else previous_start
    previous_start[1:] = previous_start[:-1].copy()
    previous_start[:1] = -1
    has_previous = (previous_start >= 0) & (group[previous_start] == group)
    # Every end, expiry included, reports a cancel first: count there only. A snapshot
    # tells of a silent re-arm just as well; the end then would tell it again.
    known = has_previous & in_time_wait & ~starts & (kind != KIND["timewait_expire"])
    silent = known & (implied > implied[previous_start] + tolerance) if hz else known & False

    # A cancel with a start of the same timewait socket right behind is a re-arm.
    rearm = np.zeros(len(timer), bool)
    if len(timer):
        rearm[:-1] = (group[1:] == group[:-1]) & (kind[:-1] == KIND["timewait_cancel"]) & starts[1:]

    began = np.full(count, NEVER)
    entered = np.zeros(count, bool)
    entered[group[in_time_wait]] = True
    first = np.full(count, -1)
    places = np.flatnonzero(in_time_wait)
    first[group[places][::-1]] = places[::-1]
    first = first[entered]
    was_start = starts[first]
    from_wait = has_previous[first]
    at = np.where(was_start, time[first], NEVER)
    # FIN_WAIT_2 before: either the FIN is what re-arms the timer here and now ...
    fin_now = ~was_start & from_wait & ~silent[first] & rearm[first]
    at = np.where(fin_now, time[first], at)
    # ... or it came unseen, and the time left says when.
    if hz:
        fin_before = ~was_start & from_wait & ~fin_now
        floor = np.where(from_wait, time[previous_start[first]], NEVER)
        at = np.where(fin_before, np.maximum(implied[first], floor), at)
    began[entered] = at

    armed = np.full(count, NEVER)
    final = np.full(count, -1)
    final[group] = np.arange(len(timer))
    chosen = (final >= 0) & entered
    armed[chosen] = np.where(starts[final[chosen]], time[final[chosen]], implied[final[chosen]])

    later = starts & in_time_wait & (time > began[group]) & (began[group] != NEVER)
    # The start that begins TIME_WAIT comes a moment after the cancel that says so.
    begins_it = np.zeros(len(timer), bool)
    opening = first[fin_now]
    begins_it[opening + 1] = True
    later &= ~begins_it
    again = silent & (events.old[where[previous_start]] == STATE["TIME_WAIT"])
    again[1:] &= ~((kind[:-1] == KIND["existing"]) & silent[:-1] & (group[1:] == group[:-1]))
    # A TIME_WAIT that began silently and was silently restarted shows only the last.
    restarts = np.bincount(group[later], minlength=count) + np.bincount(
        group[again], minlength=count
    )
    return began, entered, armed, restarts[:count]
