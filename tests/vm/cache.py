"""What is made once and kept: build/vm, a folder that git ignores."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "vm"

#: A user's may lack where Debian has mkfs and depmod.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
#: Owners and device files of a root file system are root's to make.
SUDO = () if os.geteuid() == 0 else ("sudo",)


def say(text: str) -> None:
    """Tell what is being done."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command to its end; what it printed. Its words are shown only if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "PATH": PATH, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = " ".join(str(word) for word in command)
        sys.exit(
            f"{words}\nfailed ({done.returncode}):\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def key_of(*inputs: object) -> str:
    """Give a short name to what something is made of; files count by what is in them."""
    digest = hashlib.sha256()
    for each in inputs:
        data = each.read_bytes() if isinstance(each, Path) else repr(each).encode()
        digest.update(len(data).to_bytes(8) + data)
    return digest.hexdigest()[:12]


def kept(kind: str, key: str, make: Callable[[Path], None], *, fresh: bool = False) -> Path:
    """Give the folder ``build/vm/KIND-KEY``, made by ``make(folder)`` if it is not there.

    ``fresh``: made anew in any case. It appears whole or not at all. Others of its kind,
    made of something else, go.
    """
    folder = CACHE / f"{kind}-{key}"
    if folder.exists() and not fresh:
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as name:
        made = Path(name, "made")
        made.mkdir()
        make(made)
        for old in CACHE.glob(f"{kind}-*"):
            shutil.rmtree(old)
        made.rename(folder)
    return folder
