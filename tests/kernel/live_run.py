"""`tcptrace live` as a user runs it: into a pipe, or in a terminal of its own (tmux)."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from .net import wait_until

LIVE = (sys.executable, "-m", "tcptrace.tracer", "live")


class Piped:
    """Writes into files until `end()`; made once it watches."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._out, self._err = folder / "live.stdout", folder / "live.stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*LIVE, *options], stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    def wait_for(self, text: str) -> None:
        """Wait until it has said this, on stdout or stderr."""
        wait_until(
            lambda: text in self.printed + self.said or self.process.poll() is not None,
            what=lambda: f"{text!r} in {self.printed[-1000:]!r} {self.said!r}",
            timeout=60,
        )
        assert text in self.printed + self.said

    @property
    def printed(self) -> str:
        return self._out.read_text()

    @property
    def said(self) -> str:
        return self._err.read_text()

    def end(self) -> int:
        """End it as Ctrl-C does; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Terminal:
    """A tmux server of one window, where a shell runs it and says how it ended."""

    def __init__(self, folder: Path, *options: str, width: int = 80, height: int = 24) -> None:
        self._socket = folder / "tmux"
        script = f"{subprocess.list2cmdline([*LIVE, *options])}; echo ended with $?; exec cat"
        size = ("-x", str(width), "-y", str(height))
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, "sh", "-c", script)

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-S", str(self._socket), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    @property
    def screen(self) -> list[str]:
        """What stands there now, without the empty lines at the end."""
        return self._tmux("capture-pane", "-p").rstrip("\n").split("\n")

    def press(self, key: str) -> None:
        self._tmux("send-keys", key)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def wait_for(self, *texts: str) -> list[str]:
        """Wait until a screen holds all of these; that screen."""
        found: list[str] = []

        def there() -> bool:
            nonlocal found
            found = self.screen
            return all(text in "\n".join(found) for text in texts)

        wait_until(there, what=lambda: f"{texts} in {found}", timeout=60, every=0.1)
        return found

    def stop(self) -> None:
        self._tmux("kill-server")
