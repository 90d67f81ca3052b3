"""Run the COMMAND that a recording is about, as the user who called sudo."""

import contextlib
import os
import pwd
import signal
import subprocess
from typing import Any

from tcptrace.tracer.errors import TcptraceError
from tcptrace.tracer.output import calling_user
from tcptrace.tracer.privileges import groups_of

#: Seconds COMMAND has to end once it was told to.
_PATIENCE = 5


class Command:
    """COMMAND, running with the terminal, environment and identity of the calling user.

    Raises :class:`TcptraceError` if it cannot be started.
    """

    def __init__(self, words: list[str]) -> None:
        self._name = words[0]
        self._stopped = False
        try:
            self._process = subprocess.Popen(words, **_identity())
        except (OSError, subprocess.SubprocessError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise TcptraceError(
                f"{words[0]}: {reason}: the command was not started, nothing was recorded"
            ) from error

    def ended(self) -> bool:
        """Tell whether it has ended by now."""
        return self._process.poll() is not None

    def forward(self, number: int) -> None:
        """Hand on a signal that was meant to end both.

        What the keyboard sends goes to every process of the terminal's foreground
        group, so COMMAND has it already.
        """
        if number == signal.SIGTERM or not _in_foreground():
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it if it still runs, as `perf record` does: it ran for the recording."""
        if not self.ended():
            self._stopped = True
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)

    def outcome(self) -> str | None:
        """Say how it ended, in words; None if it did well, or as it was told."""
        status = self._process.poll()
        if status is None:
            return f"{self._name} (process {self._process.pid}) is still running"
        if self._stopped:
            return None
        if status < 0:
            return f"{self._name} was ended by {signal.Signals(-status).name}"
        return f"{self._name} ended with status {status}" if status else None


def _in_foreground() -> bool:
    """Tell whether this process is in its terminal's foreground group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _identity() -> dict[str, Any]:
    """Say as whom to run: nothing unless sudo was used."""
    owner = calling_user()
    if owner is None:
        return {}
    uid, gid = owner
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SUDO_")
    }
    with contextlib.suppress(KeyError):  # a uid without a name: it still has its rights
        user = pwd.getpwuid(uid)
        environment |= {
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            "SHELL": user.pw_shell,
        }
    return {"user": uid, "group": gid, "extra_groups": groups_of(uid, gid), "env": environment}
