"""What an event is, as bits of one number: looked up once instead of compared often."""

import numpy as np

from tcptrace.analysis.events import EventArrays
from tcptrace.tracer.schema import KIND, KINDS, STATE, STATES

#: Of a transition, bit n: it is one into state n of STATES. Above them:
IS_STATE = 1 << 16
#: Told by its states to be the first of a life: out of CLOSE, or the LISTEN->SYN_RECV
#: with which a child is cloned from its listener (net/ipv4/tcp_minisocks.c).
BIRTH = 1 << 17
LISTENER = 1 << 18
CLIENT = 1 << 19
SERVER = 1 << 20
TIMEWAIT = 1 << 21
RESET_SENT = 1 << 22
RESET_RECEIVED = 1 << 23
ERROR = 1 << 24
#: An event of some socket, full or timewait, that changed something.
WANTED = 1 << 25
#: The end of an established connection without an orderly close (TCP_MIB_ESTABRESETS).
BROKEN = 1 << 26


def _mark(kind: str, old: int, new: int) -> int:
    state, close, listen = STATE, STATE["CLOSE"], STATE["LISTEN"]
    mark = 0
    # A request socket's are not wanted. A state set again (tcp_set_state() says that,
    # too) is no transition.
    if old != state["NEW_SYN_RECV"] and not (kind == "state" and old == new):
        mark |= WANTED
    if kind.startswith("timewait"):
        mark |= TIMEWAIT
    named = {"reset_sent": RESET_SENT, "reset_received": RESET_RECEIVED, "error": ERROR}
    mark |= named.get(kind, 0)
    if kind != "state":
        return mark
    child = old == listen and new == state["SYN_RECV"]
    mark |= IS_STATE | 1 << new
    mark |= BIRTH if old == close or child else 0
    mark |= SERVER if child else 0
    mark |= CLIENT if state["SYN_SENT"] in (old, new) else 0
    mark |= LISTENER if new == listen or (old == listen and new == close) else 0
    broken = old in (state["ESTABLISHED"], state["CLOSE_WAIT"]) and new == close
    return mark | (BROKEN if broken else 0)


#: By kind (shifted by one: the unknown one is -1), old and new state.
_MARKS = np.zeros((len(KINDS) + 1, 16, 16), np.int32)
for _kind, _code in KIND.items():
    for _old in range(len(STATES)):
        for _new in range(len(STATES)):
            _MARKS[_code + 1, _old, _new] = _mark(_kind, _old, _new)
_FLAT = _MARKS.reshape(-1)


def marks(events: EventArrays) -> np.ndarray:
    """Give each event's bits, int32; 0 for one of an unknown kind."""
    place = events.kind.astype(np.int16)
    place += 1
    place <<= 4
    place |= events.old
    place <<= 4
    place |= events.new
    return _FLAT.take(place)
