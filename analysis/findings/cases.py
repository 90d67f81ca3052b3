"""Which connections a finding is about: one mask per finding id."""

from collections.abc import Callable

import pandas as pd

from tcptrace.analysis.close_wait import LEAK_SECONDS
from tcptrace.analysis.counts import had_time_wait

#: As long as a leak in CLOSE_WAIT: it is the other end of the same thing.
FIN_WAIT_2_SECONDS = LEAK_SECONDS

#: The first SYN is sent again after 1 s (RFC 6298 section 2.1): a handshake that
#: took this long lost a SYN, or its answer.
SLOW_SECONDS = 1.0

Mask = Callable[[pd.DataFrame], pd.Series]


def long_in_close_wait(connections: pd.DataFrame) -> pd.Series:
    """Mark those their program closed late after the peer, or not at all."""
    return connections["close_wait_s"] >= LEAK_SECONDS


def stuck_in_fin_wait_2(connections: pd.DataFrame) -> pd.Series:
    """Mark those whose peer's FIN was long in coming."""
    return connections["fin_wait_2_s"] >= FIN_WAIT_2_SECONDS


def skipped(connections: pd.DataFrame) -> pd.Series:
    """Mark those that got no TIME_WAIT."""
    return connections["time_wait_end"] == "skipped"


def restarted(connections: pd.DataFrame) -> pd.Series:
    """Mark those whose TIME_WAIT began anew."""
    return (connections["time_wait_restarts"] > 0).fillna(False).astype(bool)


def slow(connections: pd.DataFrame) -> pd.Series:
    """Mark handshakes that needed a second SYN."""
    made = (connections["role"] == "client") & connections["established"].notna()
    return made & (connections["syn_sent_s"] >= SLOW_SECONDS)


def without_port(connections: pd.DataFrame) -> pd.Series:
    """Mark connects that got no local port."""
    return (
        (connections["role"] == "client")
        & (connections["local_port"] == 0).fillna(True).astype(bool)
        & connections["opened"].notna()
        & (connections["outcome"] != "open")
    )


def _outcome(name: str) -> Mask:
    return lambda connections: connections["outcome"] == name


def _closed_first(role: str) -> Mask:
    return lambda connections: (
        (connections["role"] == role)
        & connections["closed_by"].isin(["local", "both"])
        & had_time_wait(connections)
    )


def waiting(connections: pd.DataFrame) -> pd.Series:
    """Mark those still in TIME_WAIT at the end."""
    return connections["time_wait_end"] == "open"


CASES: dict[str, Mask] = {
    "close-wait-leak": long_in_close_wait,
    "fin-wait-2-stuck": stuck_in_fin_wait_2,
    "time-wait-skipped": skipped,
    "last-acks-lost": restarted,
    "time-wait-unjudged": waiting,
    "client-closes-first": _closed_first("client"),
    "server-closes-first": _closed_first("server"),
    "no-port-left": without_port,
    "connects-refused": _outcome("refused"),
    "connects-timed-out": _outcome("timed_out"),
    "connects-unreachable": _outcome("unreachable"),
    "many-resets": _outcome("reset"),
    "slow-handshakes": slow,
}
