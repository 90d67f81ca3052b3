"""Run the COMMAND that a recording is about, as the user who called sudo."""

import os
import pwd
import subprocess
from typing import Any

from tcptrace.tracer.errors import TcptraceError
from tcptrace.tracer.output import calling_user


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start COMMAND with the terminal, environment and identity of the calling user.

    Raises :class:`TcptraceError` if it cannot be started.
    """
    try:
        return subprocess.Popen(command, **_identity())
    except OSError as error:
        raise TcptraceError(f"{command[0]}: {error.strerror}: the command did not start") from error


def _identity() -> dict[str, Any]:
    """Say as whom to run: nothing unless sudo was used."""
    owner = calling_user()
    if owner is None:
        return {}
    uid, gid = owner
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SUDO_")
    }
    groups = [gid]
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        pass  # a uid without a name: it still has its rights
    else:
        groups = os.getgrouplist(user.pw_name, gid)
        environment |= {
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            "SHELL": user.pw_shell,
        }
    return {"user": uid, "group": gid, "extra_groups": groups, "env": environment}


def describe_end(command: list[str], status: int) -> str:
    """Say how COMMAND ended; ``status`` as ``Popen.returncode`` has it."""
    if status < 0:
        return f"{command[0]} was ended by signal {-status}"
    return f"{command[0]} ended with status {status}"
