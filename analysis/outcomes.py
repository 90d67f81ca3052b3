"""How each connection ended, and who ended it (RFC 9293 section 3.6)."""

import errno

import numpy as np

from tcptrace.analysis.lives import Lives
from tcptrace.analysis.masks import fill, one_of
from tcptrace.analysis.observed import NEVER
from tcptrace.tracer.schema import STATE

CLOSED_BY = ("local", "remote", "both", None)
LOCAL, REMOTE, BOTH, NOBODY = range(len(CLOSED_BY))

OUTCOMES = ("finished", "reset", "refused", "timed_out", "unreachable", "open", "unknown")
FINISHED, RESET, REFUSED, TIMED_OUT, UNREACHABLE, OPEN, UNKNOWN = range(len(OUTCOMES))

_UNREACHABLE = (
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.ENONET,
)
#: What tcp_reset() sets in the state it finds.
_RESET_ERRORS = (errno.ECONNRESET, errno.EPIPE)


def synchronised(lives: Lives) -> np.ndarray:
    """Tell which connections were ever established, as far as their states show."""
    never = one_of(lives.state, STATE["SYN_SENT"], STATE["SYN_RECV"])
    never |= one_of(lives.before_close, STATE["SYN_SENT"], STATE["SYN_RECV"])
    return ~never


def outcomes(lives: Lives) -> np.ndarray:
    """Name how each connection ended; codes are indices into OUTCOMES.

    An orphan still waiting in FIN_WAIT_2, or one that waited in vain, is for the
    timewait sockets to tell: here it is ``finished`` only if the FIN had come.
    """
    was_up = synchronised(lives)
    left = lives.before_close
    got_reset = lives.reset_received != NEVER
    result = np.full(len(lives), UNKNOWN)
    # LAST_ACK -> CLOSE is the last ACK; both FINs are through before TIME_WAIT.
    orderly = (left == STATE["LAST_ACK"]) | (
        one_of(left, STATE["FIN_WAIT_2"], STATE["CLOSING"]) & lives.fin_received
    )
    fill(result, orderly & was_up, FINISHED)
    result[one_of(lives.error, *_UNREACHABLE)] = UNREACHABLE
    result[lives.error == errno.ETIMEDOUT] = TIMED_OUT
    was_reset = got_reset | (lives.reset_sent != NEVER) | one_of(lives.error, *_RESET_ERRORS)
    fill(result, was_reset, RESET)
    refused = ~was_up & lives.client & (got_reset | (lives.error == errno.ECONNREFUSED))
    result[refused] = REFUSED
    # A reset sent with the timeout (tcp_out_of_resources) does not hide the timeout.
    result[(lives.error == errno.ETIMEDOUT) & ~got_reset] = TIMED_OUT
    result[~lives.ends] = UNKNOWN
    return result


def closers(lives: Lives, outcome: np.ndarray) -> np.ndarray:
    """Name who closed; codes are indices into CLOSED_BY.

    The side of the first FIN: FIN_WAIT_1 is local, CLOSE_WAIT remote, CLOSING both
    (the FINs crossed). Of a reset connection: whoever sent the reset.
    """
    been = lives.entered | np.left_shift(1, lives.first_old, dtype=np.int16)

    def was_in(*names: str) -> np.ndarray:
        found: np.ndarray = been & sum(1 << STATE[name] for name in names) != 0
        return found

    result = np.full(len(lives), NOBODY)
    fill(result, was_in("CLOSE_WAIT", "LAST_ACK"), REMOTE)
    fill(result, was_in("FIN_WAIT_1", "FIN_WAIT_2"), LOCAL)
    fill(result, was_in("CLOSING"), BOTH)
    got, sent = lives.reset_received, lives.reset_sent
    reset = outcome == RESET
    by_peer = (got != NEVER) | one_of(lives.error, *_RESET_ERRORS)
    result[reset & by_peer] = REMOTE
    # To answer a segment the kernel calls tcp_reset() on the socket, then sends its own:
    # a reset received is never answered. One sent before did not close.
    result[reset & (sent != NEVER) & (sent > got)] = LOCAL
    never = ~synchronised(lives) & (outcome != RESET)
    result[never | (outcome == REFUSED)] = NOBODY
    return result
