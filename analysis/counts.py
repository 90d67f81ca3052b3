"""Connections counted by all they have in common: what most tables of a report add up."""

import pandas as pd

from tcptrace.analysis.grouping import Grouped, grouped, joined, plain
from tcptrace.analysis.services import ephemeral_range, service_ports
from tcptrace.analysis.states import LEFT
from tcptrace.analysis.view import Slice, View, per_slice


def counts(view: View) -> pd.DataFrame:
    """Count the connections that pass; one row per combination of all the other columns.

    Columns: ``connections``; ``comm``, ``role``, ``netns``, ``cgroup``,
    ``remote_address``, ``closed_by``, ``outcome``; ``state`` of open ones;
    ``local_address`` where ``service_local_port`` is told, and ``service_remote_port``
    (:func:`tcptrace.analysis.services.service_ports`); ``established``: when is known;
    ``came_to_be``: it was, seen or not; ``time_wait``: it had one.
    """
    return view.once("counts", lambda: counted(_groups(view), "connections"))


def outcome_counts(view: View) -> dict[str, int]:
    """Count the connections of each outcome that occurs."""
    table = counts(view)
    found = table.groupby("outcome")["connections"].sum()
    return {str(name): int(number) for name, number in found.items()}


def added(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add up all other columns of a small table by some keys, the null ones included."""
    return table.groupby(keys, dropna=False).sum().reset_index()


def counted(parts: list[Grouped], count: str) -> pd.DataFrame:
    """Put together groups of several slices: a row per group, its size as column ``count``."""
    found = joined(parts)
    return plain(found.keys).assign(**{count: found.size})


def ranked(parts: list[Grouped], count: str) -> pd.DataFrame:
    """Put together groups of several slices, the largest first."""
    table = counted(parts, count)
    return most_first(added(table, [str(name) for name in table if name != count]), count)


def most_first(table: pd.DataFrame, count: str) -> pd.DataFrame:
    """Sort what was counted; what is equal stays in its order."""
    return table.sort_values(count, ascending=False, kind="stable")


@per_slice
def _groups(part: Slice) -> Grouped:
    return grouped(_keys(part)).alone()


def _keys(part: Slice) -> pd.DataFrame:
    connections = part.connections
    ports = service_ports(connections, ephemeral_range(part.recording.header))
    serves = ports["service_local_port"].notna()
    established = connections["established"].notna()
    taken = ["comm", "role", "netns", "cgroup", "remote_address", "closed_by", "outcome"]
    return connections[taken].assign(
        local_address=connections["local_address"].where(serves),
        service_local_port=ports["service_local_port"],
        service_remote_port=ports["service_remote_port"],
        state=connections["state"].where(connections["outcome"] == "open"),
        established=established,
        came_to_be=established | connections["censored"].isin(LEFT),
        time_wait=had_time_wait(connections).astype(bool),
    )


def had_time_wait(connections: pd.DataFrame) -> pd.Series:
    """Mark the connections that had a TIME_WAIT."""
    end = connections["time_wait_end"]
    return connections["time_wait_began"].notna() & (end != "skipped").fillna(True)
