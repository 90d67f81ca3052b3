"""Is a recording what the load did? Connection by connection."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tcptrace.analysis import read

#: struct entry of load.c.
_ENTRY = np.dtype(
    [
        ("client_address", "V16"),
        ("server_address", "V16"),
        ("client_port", "u2"),
        ("server_port", "u2"),
        ("ending", "S1"),
        ("pad", "V3"),
    ]
)
_HIDDEN_SHARE = 1e-5
_KEY = ["client_address", "client_port", "server_address", "server_port"]
#: How load.c ended it: closed_by of the client's row, of the server's, and the outcome.
_ENDINGS = {
    b"C": ("local", "remote", "finished"),
    b"S": ("remote", "local", "finished"),
    b"A": ("local", "remote", "reset"),
}


class WrongRecordingError(Exception):
    """The recording tells something else than the load did."""


def _texts(addresses: np.ndarray) -> np.ndarray:
    """Write addresses as the tables do; each distinct one once."""
    import ipaddress

    distinct, codes = np.unique(addresses, return_inverse=True)
    names = []
    for raw in distinct:
        address = ipaddress.IPv6Address(bytes(raw))
        names.append(str(address.ipv4_mapped or address))
    return np.array(names, object)[codes]


def _made(log: Path) -> pd.DataFrame:
    """Read what every worker logged."""
    parts = [np.fromfile(file, _ENTRY) for file in log.parent.glob(f"{log.name}.*")]
    entries = np.concatenate(parts)
    return pd.DataFrame(
        {
            "client_address": _texts(entries["client_address"]),
            "client_port": entries["client_port"].astype("i8"),
            "server_address": _texts(entries["server_address"]),
            "server_port": entries["server_port"].astype("i8"),
            "ending": entries["ending"],
        }
    )


def _told(connections: pd.DataFrame, role: str) -> pd.DataFrame:
    rows = connections[connections["role"] == role]
    here, there = ("client", "server") if role == "client" else ("server", "client")
    # Its FIN was acknowledged before the peer's came, so a mini-socket waited for that
    # one; that it came, the kernel tells with the timer's end, 60 s after this recording.
    mini = (rows["state"] == "FIN_WAIT_2") & rows["outcome"].isin(["open", "unknown"])
    return pd.DataFrame(
        {
            f"{here}_address": rows["local_address"].astype(object),
            f"{here}_port": rows["local_port"].astype("float64").fillna(-1).astype("i8"),
            f"{there}_address": rows["remote_address"].astype(object),
            f"{there}_port": rows["remote_port"].astype("float64").fillna(-1).astype("i8"),
            "closed_by": rows["closed_by"].astype(object).mask(mini, "local"),
            "outcome": rows["outcome"].astype(object).mask(mini, "finished"),
        }
    )


def _counts(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby([*_KEY, "closed_by", "outcome"], dropna=False).size().sort_index()


def check(recording: Path, log: Path, netns: int) -> int:
    """Raise :class:`WrongRecordingError` unless the tables hold exactly the connections
    the load made, both ends of each, with the right closer and outcome.

    A kernel that hides tasks from BPF programs (tests/blind.py) hides a softirq now and
    then: there, and nowhere else, one end in 100,000 may be told otherwise. Gives how many.
    """
    found = read(recording)
    if found.lost or not found.complete:
        raise WrongRecordingError(f"lost {found.lost} events; {found.problem or 'complete'}")
    connections = found.connections
    connections = connections[connections["netns"] == netns]
    made = _made(log)
    differing = []
    for side, role in enumerate(("client", "server")):
        expected = made.assign(
            closed_by=made["ending"].map({key: told[side] for key, told in _ENDINGS.items()}),
            outcome=made["ending"].map({key: told[2] for key, told in _ENDINGS.items()}),
        )
        wanted, got = _counts(expected), _counts(_told(connections, role))
        both = pd.concat([wanted, got], axis=1, keys=["made", "told"]).fillna(0)
        differing.append(both[both["made"] != both["told"]])
    wrong = pd.concat(differing)
    # A row too many: an end in two parts, as what joined them was not seen.
    off = wrong["made"] - wrong["told"]
    count = int(max(off.clip(lower=0).sum(), (-off).clip(lower=0).sum()))
    count += max(0, len(connections) - 2 * len(made))
    if count > (2 * len(made) * _HIDDEN_SHARE if count and _hidden() else 0):
        raise WrongRecordingError(f"{count} ends differ:\n{wrong.head(10)}")
    if len(connections) < 2 * len(made) - count:
        raise WrongRecordingError(f"{len(connections)} rows for {len(made)} connections")
    return count


def _hidden() -> bool:
    """Tell whether this kernel hides tasks from BPF programs."""
    command = [sys.executable, str(Path(__file__).parents[1] / "blind.py")]
    return not subprocess.run(command, check=False).returncode
