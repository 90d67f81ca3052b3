"""A place where commands run and programs use sockets: what the demo asks of one."""

from typing import Protocol


class Place(Protocol):
    """A host's network: a namespace on this machine or on another, or a machine's own."""

    @property
    def inode(self) -> int:
        """The network namespace's number, as in a recording's ``netns``."""

    def run(self, *command: str) -> str:
        """Run a command to its end; return what it printed."""

    def proc_net(self, name: str) -> str:
        """Return the text of ``/proc/net/NAME``."""

    def sysctl(self, name: str) -> str | None:
        """Return ``net.ipv4.NAME``, or None if this kernel has none here."""

    def set_sysctl(self, name: str, value: object) -> None:
        """Set ``net.ipv4.NAME``."""
