"""The folder that a demo leaves its files in."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

from tcptrace.tracer.errors import OutputError
from tcptrace.tracer.output import calling_user

#: Of the environment: where new folders are made, in place of /tmp.
PARENT = "TCPTRACE_DEMO_DIR"
#: What happened, for a browser, with links to all else.
INDEX = "index.html"
#: An experiment's recording, capture and report; with two machines of each.
_ENDINGS = tuple(
    f"{of}{kind}" for of in ("", ".client", ".server") for kind in (".arrows", ".pcapng", ".html")
)


def make_folder(directory: Path | None, names: list[str]) -> Path:
    """Make the folder for the experiments ``names``, or find it ready for them.

    ``directory``: None for a new one. It belongs to the user who called sudo. Raises
    :class:`OutputError` if it cannot be made, or files would be overwritten: only
    ``INDEX`` is, which is always of the last run.
    """
    try:
        if directory is None:
            prefix = time.strftime("tcptrace-demo-%Y%m%d-%H%M%S-", time.gmtime())
            directory = Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get(PARENT)))
        elif not directory.is_dir():
            directory.mkdir(parents=True)
        else:
            for path in (directory / f"{name}{end}" for name in names for end in _ENDINGS):
                if os.path.lexists(path):
                    raise OutputError(f"{path} exists: use another folder (-o)")
            return directory
    except OSError as error:
        place = directory or os.environ.get(PARENT) or tempfile.gettempdir()
        raise OutputError(f"cannot make the folder {place}: {error.strerror}") from error
    owner = calling_user()
    if owner is not None:
        with contextlib.suppress(OSError):  # a file system without owners
            os.chown(directory, *owner)
    return directory
