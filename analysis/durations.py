"""How long each connection was in each state, TIME_WAIT included."""

import numpy as np

from tcptrace.analysis.assemble import Rows
from tcptrace.analysis.lives import DWELT
from tcptrace.analysis.masks import fill, one_of, where
from tcptrace.analysis.observed import ALWAYS, NEVER
from tcptrace.tracer.schema import STATE

_SECOND = 1e9

#: Columns of seconds, and the state each is about; TIME_WAIT's is apart.
STATE_SECONDS = {f"{state.lower()}_s": state for state in DWELT}


def state_seconds(rows: Rows) -> dict[str, np.ndarray]:
    """Give seconds in each state but TIME_WAIT; NaN where not in it, or unknown."""
    lives, observed = rows.lives, rows.observed
    older, going = np.flatnonzero(~lives.begins), np.flatnonzero(~lives.ends)
    until = np.minimum(rows.life_until, observed.settling)[going]
    stayed = np.maximum(until - lives.last[going], 0)
    # TIME_WAIT follows these two only: between another state and it events were lost.
    jumped = ~one_of(lives.state, STATE["FIN_WAIT_2"], STATE["CLOSING"])
    jumped &= ~lives.ends & (rows.life_until != ALWAYS)
    result = {}
    for (name, state), spent in zip(STATE_SECONDS.items(), lives.dwell, strict=True):
        code = STATE[state]
        seconds = spent.astype(np.float64)
        before = older[lives.first_old[older] == code]
        seconds[before] += lives.first[before] - observed.started
        visited = (lives.entered & 1 << code != 0) | (seconds > 0)
        visited[before] = True
        unknown = lives.gap & 1 << code != 0
        # Unless every event was recorded it may have been in another state before.
        unknown[before] |= observed.lost > 0
        unknown |= jumped & (lives.state == code)
        now = lives.state[going] == code
        seconds[going[now]] += stayed[now]
        seconds /= _SECOND
        fill(seconds, unknown | ~visited, np.nan)
        result[name] = rows.of_life(seconds, np.nan)
    _add_mini_sockets(result["fin_wait_2_s"], rows)
    for column, state in STATE_SECONDS.items():
        now = rows.state == STATE[state]
        idle = now & rows.idle
        # Nothing happened to it, so it was in this state from the start.
        since = rows.first[idle] if observed.lost else observed.started
        result[column][idle] = (observed.settling - since) / _SECOND
        result[column][now & rows.gone] = np.nan
    return result


def _add_mini_sockets(seconds: np.ndarray, rows: Rows) -> None:
    """Add FIN_WAIT_2 after the socket proper was given up for a timewait socket."""
    waits, observed = rows.waits, rows.observed
    waited = rows.of_wait(rows.events.old[waits.tuple_row] == STATE["FIN_WAIT_2"], False)
    chosen = np.flatnonzero(waited)
    alone = rows.life.take(chosen) < 0
    # One whose beginning was not seen was there all the time, unless that was lost.
    seen = rows.of_wait(waits.seen, NEVER).take(chosen)
    older = ~rows.of_wait(waits.whole, True).take(chosen) & (observed.lost == 0)
    since = rows.of_life(rows.life_until, NEVER).take(chosen)
    since = np.where(alone, np.where(older, observed.started, seen), since)
    in_time_wait = rows.in_time_wait.take(chosen)
    until = np.where(in_time_wait, rows.began.take(chosen), rows.stopped.take(chosen))
    spent = np.where(alone, 0, seconds.take(chosen)) + np.maximum(until - since, 0) / _SECOND
    unknown = (until == NEVER) | (rows.lost_sight & rows.half_closed).take(chosen)
    seconds[chosen] = np.where(unknown, np.nan, spent)


def time_wait_seconds(rows: Rows) -> np.ndarray:
    """Give seconds in TIME_WAIT; of one begun unseen, what is known at least."""
    since = rows.of_wait(rows.waits.since, NEVER)
    lived = (rows.stopped - since) / _SECOND
    return where(rows.in_time_wait, lived, np.nan)
