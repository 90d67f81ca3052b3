"""When TIME_WAIT began, and how often anew, from its timer.

A re-arm that stays within one bucket of the timer wheel makes no event
(``__mod_timer()``): only the jiffies left, seen later, tell of it.
"""

from dataclasses import dataclass

import numpy as np

from tcptrace.analysis.events import EventArrays
from tcptrace.analysis.observed import NEVER, STALE
from tcptrace.tracer.schema import KIND, STATE, TIMEWAIT_SECONDS

SECOND = 1_000_000_000
_LENGTH = TIMEWAIT_SECONDS * SECOND


@dataclass(frozen=True)
class Beginnings:
    """Per timewait socket: ``in_time_wait``: whether it ever was in TIME_WAIT, not only
    in FIN_WAIT_2. ``began``: when, NEVER if it was not or if that is not known.
    ``since``: the earliest time at which it was in TIME_WAIT for sure, NEVER if at none.
    ``restarts``: how often TIME_WAIT was started anew, at least.
    """  # noqa: D205

    in_time_wait: np.ndarray
    began: np.ndarray
    since: np.ndarray
    restarts: np.ndarray


def _last_place(chosen: np.ndarray, first: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Give at each row the last chosen row before it in the same group, else -1."""
    places = np.where(chosen, np.arange(len(chosen)), -1)
    before = np.full(len(chosen), -1)
    before[1:] = np.maximum.accumulate(places)[:-1]
    return np.where(before >= first.take(group), before, -1)


def beginnings(
    events: EventArrays, rows: np.ndarray, first: np.ndarray, group: np.ndarray, hz: int | None
) -> Beginnings:
    """Find when each TIME_WAIT began.

    ``rows``: events of timers and snapshots, sorted by timewait socket and time;
    ``group``: the timewait socket of each; ``first``: where each one's rows begin.
    """
    kind, time = events.kind.take(rows), events.time.take(rows)
    waiting = events.old.take(rows) == STATE["TIME_WAIT"]
    starts = kind == KIND["timewait_start"]
    index = np.arange(len(rows))
    jiffy = SECOND // hz if hz else 0
    # When the timer was armed, if for TIME_WAIT, told by the time it has left.
    telling = events.has_detail.take(rows) & bool(hz)
    armed = np.minimum(time + events.detail.take(rows) * jiffy - _LENGTH, time)

    rearmed = np.zeros(len(rows), bool)  # a cancel with a start right behind
    rearmed[:-1] = (group[1:] == group[:-1]) & starts[1:]
    snapshot = kind == KIND["existing"]
    known = _last_place((starts | snapshot) & telling, first, group)
    # An expiry comes with a cancel, which has told already.
    after_cancel = np.zeros(len(rows), bool)
    after_cancel[1:] = kind[:-1] == KIND["timewait_cancel"]
    silent = waiting & ~starts & telling & (known >= 0) & ~after_cancel
    silent &= armed > armed.take(known) + np.where(snapshot, STALE, 5 * jiffy // 2)
    # Due and not yet run, as the timer wheel has it: a snapshot says 0 for any time past.
    silent &= ~(snapshot & (events.detail.take(rows) == 0))

    entering = waiting & (_last_place(waiting, first, group) < 0)
    earlier = index > first.take(group)  # seen before, in FIN_WAIT_2
    fin_now = entering & earlier & rearmed
    fin_before = entering & earlier & (~rearmed | silent)
    began_here = np.where(fin_now | (entering & starts), time, NEVER)
    floor = np.maximum(armed, time[np.maximum(index - 1, 0)])
    began_here = np.where(fin_before & telling, np.minimum(floor, time), began_here)
    # A cancel and a start, first of all: a restart, or the FIN an orphan waited for.
    since_here = np.where(rearmed | ~telling, time, armed)
    since_here = np.where(began_here != NEVER, began_here, since_here)

    restarted = starts & waiting & earlier
    restarted[1:] &= ~(entering[:-1] & ~silent[:-1])
    again = silent & waiting.take(known)

    enters = np.flatnonzero(entering)
    entered_by = group.take(enters)

    def each(values: np.ndarray) -> np.ndarray:
        result = np.full(len(first), NEVER)
        result[entered_by] = values.take(enters)
        return result

    entered = np.zeros(len(first), bool)
    entered[entered_by] = True
    counts = np.bincount(group, restarted.astype(float) + again, len(first))
    return Beginnings(entered, each(began_here), each(since_here), counts.astype(np.int64))
