"""What one recording contributes: its ends of connections, and when each changed its state."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tcptrace.analysis.view import View

_KEPT = [
    "connection",
    "role",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "comm",
    "closed_by",
]


@dataclass(frozen=True)
class Ends:
    """The ends that one recording saw established, and could be paired with another host's.

    ``frame``: ``connection`` (in a large recording a part's own number), ``role``,
    addresses and ports, ``comm``, ``closed_by``, ``waited`` (whether its TIME_WAIT was
    seen), and times in ns since 1970 on this host's clock as Int64, null where unknown:
    ``first`` and ``last`` seen, and when it was ``established``, entered ``fin_wait_1``,
    ``fin_wait_2``, ``close_wait``, ``closing``.
    ``started`` and ``ended``: the recording's span.
    """

    path: Path
    host: str
    boot_id: str | None
    started: int
    ended: int
    frame: pd.DataFrame


def ends_of(view: View) -> Ends:
    """Take what is needed to pair a recording's connections with another's."""
    recording = view.recording
    started, ended = recording.observed.started, recording.observed.ended
    header: dict[str, Any] = recording.header
    boot_id = header.get("boot_id")
    return Ends(
        recording.path,
        header.get("host") or recording.path.name,
        boot_id if isinstance(boot_id, str) else None,
        started,
        ended,
        _frame(view.connections, started, ended).reset_index(drop=True),
    )


def _frame(table: pd.DataFrame, started: int, ended: int) -> pd.DataFrame:
    """Make the rows of :attr:`Ends.frame` from those of a table of connections."""
    table = table[_usable(table)]
    frame = table[_KEPT].copy()
    texts = frame.select_dtypes("category").columns
    frame[texts] = frame[texts].astype(object)
    frame["waited"] = table["time_wait_began"].notna()
    opened, established, closed = (_ns(table[name]) for name in ("opened", "established", "closed"))
    frame["first"] = established.fillna(opened).fillna(started)
    frame["last"] = closed.fillna(ended)
    frame["established"] = established
    # What it went to from ESTABLISHED shows in the times spent there.
    left = established + _span(table["established_s"])
    frame["fin_wait_1"] = left.where(table["fin_wait_1_s"].notna())
    frame["close_wait"] = left.where(table["close_wait_s"].notna())
    confirmed = frame["fin_wait_1"] + _span(table["fin_wait_1_s"])
    frame["fin_wait_2"] = confirmed.where(table["fin_wait_2_s"].notna())
    frame["closing"] = confirmed.where(table["closing_s"].notna())
    return frame.reset_index(drop=True)


def _usable(table: pd.DataFrame) -> pd.Series:
    """Mark what may have an end on another machine, and was or may have been established."""
    known = (
        table[["local_address", "local_port", "remote_address", "remote_port"]].notna().all(axis=1)
    )
    known &= (table["local_port"] > 0).fillna(False) & (table["remote_port"] > 0).fillna(False)
    known &= table["established"].notna() | table["opened"].isna()
    loopback = [
        text for text in table["remote_address"].dropna().unique() if _is_loopback(str(text))
    ]
    return (known & ~table["remote_address"].isin(loopback)).astype(bool)


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _ns(times: pd.Series) -> pd.Series:
    """Turn times into ns since 1970; null where there is none."""
    whole = times.astype("datetime64[ns, UTC]").astype("int64").astype("Int64")
    return whole.mask(times.isna())


def _span(seconds: pd.Series) -> pd.Series:
    return (seconds.astype("Float64") * 1e9).round().astype("Int64")
