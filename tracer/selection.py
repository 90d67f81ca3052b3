"""Which connections are wanted: ``--port``, ``--comm`` and the rest, for every command."""

import ipaddress
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import click

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The kernel keeps 15 bytes of a process's name (TASK_COMM_LEN, 16 with the NUL).
COMM_BYTES = 15


@dataclass(frozen=True)
class Selection:
    """What a connection must be like. Several values of one field mean "any of"."""

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

    @property
    def only_netns(self) -> bool:
        """Whether nothing but namespaces is asked for."""
        return all(not getattr(self, field.name) for field in fields(self) if field.name != "netns")

    def __str__(self) -> str:
        """Write it as it would be typed."""
        words = []
        for field in fields(self):
            for value in getattr(self, field.name):
                if field.name == "family":
                    words.append(f"-{value}")
                else:
                    words.append(f"--{field.name.replace('_', '-')} {value}")
        return " ".join(words)

    def as_json(self) -> dict[str, list[int | str]]:
        """Give what is asked for, for a recording's header; empty if nothing is."""
        return {
            name: [str(value) if name == "address" else value for value in values]
            for name, values in asdict(self).items()
            if values
        }


def kernel_comm(name: str) -> str:
    """Cut a process's name as the kernel does."""
    return name.encode()[:COMM_BYTES].decode(errors="ignore")


class _Cidr(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    name = "CIDR"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Network:
        try:
            return ipaddress.ip_network(value, strict=False)
        except ValueError:
            self.fail(f"{value!r} is no address or network such as 10.0.0.0/8 or ::1", param, ctx)


class _Netns(click.ParamType):  # type: ignore[type-arg]
    name = "netns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Take an inode number, the path of a namespace, or a name of ``ip netns``."""
        if isinstance(value, int) or value.isdigit():
            return int(value)
        path = Path(value) if "/" in value else Path("/run/netns", value)
        try:
            return path.stat().st_ino
        except OSError as error:
            self.fail(
                f"{path}: {error.strerror}: give an inode number, a path, or a name of `ip netns`",
                param,
                ctx,
            )


_PORT = click.IntRange(0, 65535)

_OPTIONS = (
    click.option("--port", type=_PORT, multiple=True, help="Either end's port."),
    click.option("--local-port", type=_PORT, multiple=True, help="This end's port."),
    click.option("--remote-port", type=_PORT, multiple=True, help="The other end's port."),
    click.option("--address", type=_Cidr(), multiple=True, help="Either end's address."),
    click.option("--pid", type=click.IntRange(0), multiple=True, help="The owner's process id."),
    click.option("--comm", multiple=True, help="The owner's name."),
    click.option(
        "--netns", type=_Netns(), multiple=True, help="Network namespace: inode, path or name."
    ),
    click.option("-4", "family", flag_value="4", default=None, help="IPv4 only."),
    click.option("-6", "family", flag_value="6", help="IPv6 only."),
)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filter options; collect them with :func:`taken_from`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def taken_from(options: dict[str, Any]) -> dict[str, Any]:
    """Take the values of :func:`filter_options` out of a command's options.

    Gives the fields of a :class:`Selection`.
    """
    names = {field.name for field in fields(Selection)}
    taken = {name: options.pop(name) for name in list(options) if name in names}
    family = taken.pop("family")
    return taken | {"family": (int(family),) if family else ()}
