"""Network namespaces that no crash can leave behind.

A namespace made here has no name and no mount: it lives while a file
descriptor or a process refers to it, and the kernel removes it, with every
device and socket inside, when this process is gone.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tcptrace.tracer.errors import PreflightError, TcptraceError

CLONE_NEWNET = 0x40000000
#: The calling thread's, not the process's: namespaces belong to threads.
_OWN = Path("/proc/thread-self/ns/net")

_libc = ctypes.CDLL(None, use_errno=True)


class SettingIsGlobalError(TcptraceError):
    """A sysctl exists only once for the whole machine on this kernel."""


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """A network namespace; ``inode`` is its number in a recording's ``netns``."""

    def __init__(self) -> None:
        before = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.unshare(CLONE_NEWNET) != 0:
                error = os.strerror(ctypes.get_errno())
                raise PreflightError(
                    f"cannot make a network namespace ({error}): run this as root (sudo), "
                    "in a container with CAP_SYS_ADMIN"
                )
            self._descriptor = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
            _setns(before)
        finally:
            os.close(before)
        self.inode = os.fstat(self._descriptor).st_ino
        try:
            self.run("ip", "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the namespace; the kernel removes it when nobody else holds it."""
        os.close(self._descriptor)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread in: sockets and children it makes belong here."""
        before = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        _setns(self._descriptor)
        try:
            yield
        finally:
            _setns(before)
            os.close(before)

    def run(self, *command: str) -> str:
        """Run a command to its end inside; return what it printed."""
        with self.inside():
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except FileNotFoundError as error:
                raise PreflightError(
                    f"{command[0]} is not installed: apt install iproute2"
                ) from error
        if done.returncode != 0:
            reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise PreflightError(f"`{' '.join(command)}` failed in a namespace: {reason}")
        return done.stdout

    def proc_net(self, name: str) -> str:
        """Return the text of ``/proc/net/NAME`` as seen inside."""
        with self.inside():
            return Path("/proc/thread-self/net", name).read_text()

    def sysctl(self, name: str) -> str | None:
        """Return ``net.ipv4.NAME``, or None if this kernel has none here."""
        with self.inside():
            try:
                return " ".join(Path("/proc/sys/net/ipv4", name).read_text().split())
            except FileNotFoundError:
                return None

    def set_sysctl(self, name: str, value: object) -> None:
        """Set ``net.ipv4.NAME`` inside.

        Raises :class:`SettingIsGlobalError` if it cannot be set for one
        namespace on this kernel: the machine's own value is never touched.
        """
        path = Path("/proc/sys/net/ipv4", name)
        with self.inside():
            if not path.exists():
                raise SettingIsGlobalError(
                    f"net.ipv4.{name} does not exist in a namespace on this kernel"
                )
            try:
                path.write_text(str(value))
            except OSError as error:
                raise PreflightError(
                    f"cannot set net.ipv4.{name} in a namespace ({error.strerror}): "
                    "/proc/sys must be writable"
                ) from error
