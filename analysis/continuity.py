"""Which transitions at one address cannot be of the same socket, whatever was lost between."""

import numpy as np

from tcptrace.analysis.events import EventArrays
from tcptrace.tracer.schema import STATE, STATES

#: What a connection can be in later than in a state (RFC 9293 section 3.3.2).
_CLOSING = ("FIN_WAIT_1", "FIN_WAIT_2", "CLOSING", "CLOSE_WAIT", "LAST_ACK")
_LATER = {
    "SYN_SENT": ("SYN_RECV", "ESTABLISHED", *_CLOSING),
    "SYN_RECV": ("ESTABLISHED", *_CLOSING),
    "ESTABLISHED": _CLOSING,
    "FIN_WAIT_1": ("FIN_WAIT_2", "CLOSING"),
    "CLOSE_WAIT": ("LAST_ACK",),
}
#: [a state, another]: a socket in the one may next be heard of in the other.
_POSSIBLE = np.eye(len(STATES), dtype=bool)
for _state, _later in _LATER.items():
    _POSSIBLE[STATE[_state], [STATE[_name] for _name in _later]] = True


def another_socket(events: EventArrays, rows: np.ndarray) -> np.ndarray:
    """Tell which transition is of another socket than the one before it, by what they say.

    ``rows``: transitions at one address after the other. Where none was lost each begins
    in the state in which the one before ended, and has its ports and peer, as far as
    these were known yet.
    """
    old, new = events.old.take(rows), events.new.take(rows)
    result = np.zeros(len(rows), bool)
    pair = new[:-1].astype(np.int16)
    pair *= len(STATES)
    pair += old[1:]
    np.logical_not(_POSSIBLE.take(pair), out=result[1:])
    for names in (("local_port",), ("remote_port", "remote", "netns")):
        port = getattr(events, names[0]).take(rows)
        differs = port[1:] != port[:-1]
        for name in names[1:]:
            values = getattr(events, name).take(rows)
            differs |= values[1:] != values[:-1]
        places = np.flatnonzero(differs) + 1
        result[places[(port[places] != 0) & (port[places - 1] != 0)]] = True
    return result
