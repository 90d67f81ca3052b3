"""`tcptrace record` as a user runs it: a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from .net import wait_until

# Ends with the tests, even if those are killed.
COMMAND = (
    *("setpriv", "--pdeathsig", "INT"),
    *(sys.executable, "-m", "tcptrace.tracer", "record"),
)


class Recorder:
    """Records everything on the machine from the moment it is made until `stop()`."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        ready = path.with_suffix(".ready")
        said = path.with_suffix(".said")
        with said.open("wb") as out:
            self._process = subprocess.Popen(
                [*COMMAND, "-o", str(path), "--ready-file", str(ready), *options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self._said = said
        wait_until(
            lambda: ready.exists() or self._process.poll() is not None,
            what=lambda: f"the recorder is ready; it said {said.read_text()!r}",
            timeout=60,
        )
        if self._process.poll() is not None:
            raise RuntimeError(f"tcptrace record: {said.read_text()}")

    def stop(self) -> None:
        """End the recording as Ctrl-C does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self.finish()

    def finish(self) -> None:
        """Wait until the recording has ended."""
        code = self._process.wait(90)
        if code:
            raise RuntimeError(f"tcptrace record ended with {code}: {self._said.read_text()}")

    def read(self) -> Any:
        """The recording so far, as `tcptrace.analysis.read` sees it."""
        from tcptrace.analysis import read

        return read(self.path)

    def kill(self) -> None:
        """End it without a word, for clearing up."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
