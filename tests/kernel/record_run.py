"""`tcptrace record` run to see what it says, how it ends, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from .net import wait_until

RECORD = (sys.executable, "-m", "tcptrace.tracer", "record")


class Run:
    """One run; `before`: a command line it is run by, such as `ip netns exec NAME`."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        before: list[str] | None = None,
        output: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stderr: IO[bytes] | int | None = None,
    ) -> None:
        self.path = output or folder / "run.arrows"
        self._ready = folder / "ready"
        self._out, self._err = folder / "stdout", folder / "stderr"
        words = ["-o", str(self.path), "--ready-file", str(self._ready), *options]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*(before or []), *RECORD, *words],
                stdin=stdin,
                stdout=out,
                stderr=stderr or err,
                env=environment,
            )

    @property
    def said(self) -> list[str]:
        """What it wrote to stderr, line by line."""
        return self._err.read_text().splitlines()

    @property
    def printed(self) -> str:
        """What it wrote to stdout, COMMAND's words included."""
        return self._out.read_text()

    def wait_ready(self) -> dict[str, Any]:
        """Wait until the probes are attached; what the ready file says."""
        wait_until(
            lambda: self._ready.exists() or self.process.poll() is not None,
            what=lambda: f"recording; it said {self.said}",
            timeout=60,
        )
        assert self._ready.exists(), self.said
        found: dict[str, Any] = json.loads(self._ready.read_text())
        return found

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if one is given, and wait; the exit code."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(120)

    def read(self) -> Any:
        from tcptrace.analysis import read

        return read(self.path)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


#: The fixture `start`: begins a recording with these options; ended with the test.
Start = Callable[..., Run]
