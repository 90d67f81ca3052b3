"""Choose connections: what ``--port``, ``--comm`` and the rest mean for tables."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import click
import pandas as pd

from tcptrace.analysis.recording import Recording

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The kernel keeps 15 bytes of a process's name (TASK_COMM_LEN, 16 with the NUL).
COMM_BYTES = 15


@dataclass(frozen=True)
class Filters:
    """What a connection must be like. Several values of one filter mean "any of"."""

    port: tuple[int, ...] = ()
    local_port: tuple[int, ...] = ()
    remote_port: tuple[int, ...] = ()
    address: tuple[Network, ...] = ()
    pid: tuple[int, ...] = ()
    comm: tuple[str, ...] = ()
    netns: tuple[int, ...] = ()
    family: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Say whether anything is asked for."""
        return any(getattr(self, field.name) for field in fields(self))

    def mask(self, table: pd.DataFrame) -> pd.Series:
        """Mark the rows of ``connections`` or ``time_wait`` that pass every filter.

        A row whose value is unknown does not pass a filter on it.
        """
        keep = pd.Series(True, index=table.index)
        if self.port:
            either = table["local_port"].isin(self.port) | table["remote_port"].isin(self.port)
            keep &= either.astype(bool)
        for column in ("local_port", "remote_port", "pid", "netns", "family"):
            wanted = getattr(self, column)
            if wanted:
                keep &= table[column].isin(wanted).astype(bool)
        if self.comm:
            keep &= table["comm"].isin([_as_comm(name) for name in self.comm])
        if self.address:
            keep &= _inside(table["local_address"], self.address) | _inside(
                table["remote_address"], self.address
            )
        return keep

    def __str__(self) -> str:
        """Write the filters as they would be typed."""
        words = []
        for field in fields(self):
            for value in getattr(self, field.name):
                if field.name == "family":
                    words.append(f"-{value}")
                else:
                    words.append(f"--{field.name.replace('_', '-')} {value}")
        return " ".join(words)


@dataclass(frozen=True)
class View:
    """What a report looks at: a recording and the connections chosen from it."""

    recording: Recording
    connections: pd.DataFrame
    time_wait: pd.DataFrame
    filters: Filters = Filters()


def choose(recording: Recording, filters: Filters) -> View:
    """Keep the connections that pass, and the TIME_WAITs that belong to them."""
    connections, time_wait = recording.connections, recording.time_wait
    if filters:
        connections = connections[filters.mask(connections)]
        time_wait = time_wait[time_wait["connection"].isin(connections["connection"])]
    return View(recording, connections, time_wait, filters)


def _as_comm(name: str) -> str:
    return name.encode()[:COMM_BYTES].decode(errors="ignore")


def _inside(addresses: pd.Series, networks: tuple[Network, ...]) -> pd.Series:
    """Mark the addresses inside any of the networks; each distinct one is parsed once."""
    distinct = addresses.dropna().unique()
    wanted = [
        text
        for text in distinct
        if any(ipaddress.ip_address(text) in network for network in networks)
    ]
    return addresses.isin(wanted)


class _Cidr(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    name = "CIDR"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Network:
        try:
            return ipaddress.ip_network(value, strict=False)
        except ValueError:
            self.fail(f"{value!r} is no address or network such as 10.0.0.0/8 or ::1", param, ctx)


_PORT = click.IntRange(0, 65535)

_OPTIONS = (
    click.option("--port", type=_PORT, multiple=True, help="Either end's port."),
    click.option("--local-port", type=_PORT, multiple=True, help="This end's port."),
    click.option("--remote-port", type=_PORT, multiple=True, help="The other end's port."),
    click.option("--address", type=_Cidr(), multiple=True, help="Either end's address."),
    click.option("--pid", type=click.IntRange(0), multiple=True, help="The owner's process id."),
    click.option("--comm", multiple=True, help="The owner's name."),
    click.option(
        "--netns", type=click.IntRange(0), multiple=True, help="Network namespace (inode number)."
    ),
    click.option("-4", "family", flag_value="4", default=None, help="IPv4 only."),
    click.option("-6", "family", flag_value="6", help="IPv6 only."),
)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filter options; collect them with :func:`filters_from`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filters_from(options: dict[str, Any]) -> Filters:
    """Build the filters from the values of :func:`filter_options`."""
    family = options.pop("family")
    return Filters(**options, family=(int(family),) if family else ())
