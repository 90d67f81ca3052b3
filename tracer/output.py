"""Create output files safely: root writes in directories that others can write."""

import contextlib
import os
import stat
from pathlib import Path

from tcptrace.tracer.errors import OutputError


def calling_user() -> tuple[int, int] | None:
    """Give uid and gid of the user who called sudo; None if nobody did."""
    try:
        uid, gid = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return None
    return (uid, gid) if os.geteuid() == 0 else None


def create(path: Path, *, force: bool = False) -> int:
    """Create a file that nobody else can read, owned by the calling user.

    Never follows a symbolic link and never overwrites, except with ``force`` a regular
    file. Gives its descriptor; raises :class:`OutputError`.
    """
    if force:
        _remove_regular(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        if path.is_symlink():
            raise OutputError(f"{path} is a symbolic link: not followed") from None
        raise OutputError(f"{path} exists: use --force, or another name (-o)") from None
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}: use another place (-o)") from error
    owner = calling_user()
    if owner is not None:
        with contextlib.suppress(OSError):  # a file system without owners
            os.fchown(descriptor, *owner)
    return descriptor


def _remove_regular(path: Path) -> None:
    try:
        if stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}: use another place (-o)") from error
