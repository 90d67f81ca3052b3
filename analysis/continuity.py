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


def another_socket(
    events: EventArrays, rows: np.ndarray, old: np.ndarray, new: np.ndarray
) -> np.ndarray:
    """Tell which transition is of another socket than the one before it, by what they say.

    ``rows``: transitions at one address after the other; ``old``, ``new``: their states.
    Where none was lost each begins in the state in which the one before ended, and has its
    ports and peer, as far as these were known yet.
    """
    result = np.zeros(len(rows), bool)
    pair = new[:-1].astype(np.int16)
    pair *= len(STATES)
    pair += old[1:]
    np.logical_not(_POSSIBLE.take(pair), out=result[1:])
    # Together they are one number, which is taken once.
    peer = (events.remote << 16 | events.remote_port).take(rows)
    differs = peer[1:] != peer[:-1]
    if len(events) and bool((events.netns != events.netns[0]).any()):
        netns = events.netns.take(rows)
        differs |= netns[1:] != netns[:-1]
    local = events.local_port.take(rows)
    for changed, port in ((differs, peer & 0xFFFF), (local[1:] != local[:-1], local)):
        places = np.flatnonzero(changed) + 1
        result[places[(port[places] != 0) & (port[places - 1] != 0)]] = True
    return result
