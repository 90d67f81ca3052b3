"""How a connection ended, by whom, and whose it was."""

from __future__ import annotations

import errno

from .sockets import Life, Row

UNREACHABLE = {
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.ENONET,
}


def owner_of(life: Life) -> Row | None:
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


def verdict(life: Life) -> tuple[str, str | None]:
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
