"""Create a recording's file safely: root writes in directories that others can write."""

import contextlib
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from tcptrace.tracer.errors import OutputError

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def calling_user() -> tuple[int, int] | None:
    """Give uid and gid of the user who called sudo; None if nobody did."""
    try:
        uid, gid = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return None
    return (uid, gid) if os.geteuid() == 0 else None


class NewFile:
    """A file that nobody else can read, owned by the calling user.

    Never follows a symbolic link and never overwrites; with ``force`` it takes the
    place of a regular file, which stays as it is until :meth:`publish`. Leaving the
    context without that removes the new file. Raises :class:`OutputError`.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self._place = path.with_name(f".{path.name}.{os.getpid()}.part") if force else path
        self._published = self._closed = False
        try:
            found = _kind(path)
            if found and not (force and found == "file"):
                use = "use --force, or another name (-o)" if found == "file" else "use another (-o)"
                raise OutputError(f"{path} exists{_WHAT[found]}: {use}")
            self.descriptor = os.open(self._place, _FLAGS, 0o600)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}: use another place (-o)") from error
        owner = calling_user()
        if owner is not None:
            with contextlib.suppress(OSError):  # a file system without owners
                os.fchown(self.descriptor, *owner)

    def publish(self) -> None:
        """Let the file stand under its name, in place of an old one."""
        if self._place != self.path:
            try:
                self._place.replace(self.path)
            except OSError as error:
                raise OutputError(
                    f"{self.path}: {error.strerror}: use another place (-o)"
                ) from error
        self._published = True

    def close(self) -> None:
        """Close the file before the context ends; it stays what it is."""
        if not self._closed:
            self._closed = True
            os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if not self._published:
            with contextlib.suppress(OSError):
                self._place.unlink()


_WHAT = {
    "file": "",
    "link": " and is a symbolic link, which is not followed",
    "directory": " and is a directory",
    "other": " and is no regular file",
}


def _kind(path: Path) -> str | None:
    """Say what stands at a path, without following links; None if nothing does."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISLNK(mode):
        return "link"
    return "directory" if stat.S_ISDIR(mode) else "other"


def write_aside(path: Path, text: str) -> None:
    """Write a small file so that whoever waits for it sees it whole.

    Raises :class:`OutputError`.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(partial, _FLAGS, 0o644), "w") as stream:
            stream.write(text)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OutputError(f"{path}: {error.strerror}: use another place") from error
