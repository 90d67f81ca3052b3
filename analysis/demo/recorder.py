"""The real recorder, run beside an experiment."""

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from tcptrace.analysis.demo.capture import ExperimentError
from tcptrace.tracer.errors import PreflightError, TcptraceError

#: Compiling and attaching takes well under a second; sixteen at once on an emulated processor
#: take minutes.
_START_TIMEOUT = 600.0
_STOP_TIMEOUT = 60.0
#: Should everything else fail, a recorder ends by itself, seconds.
_LIFE = 3600


class Recorder:
    """``tcptrace record`` limited to an experiment by filter options, a process of its own."""

    def __init__(self, path: Path, filters: Iterable[str]) -> None:
        self._ready = path.with_suffix(".ready")
        self._ready.unlink(missing_ok=True)
        # A file, not a pipe: nobody reads it while the recorder runs.
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        # Should this process be killed, the recorder must not stay: setpriv.
        try:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM", "--"),
                    *(sys.executable, "-m", "tcptrace.tracer", "record", "-o", str(path)),
                    *("--ready-file", str(self._ready), "--duration", str(_LIFE), *filters),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                start_new_session=True,  # Ctrl-C is for the driver
            )
        except FileNotFoundError as error:
            self._words.close()
            raise PreflightError("setpriv is not installed: apt install util-linux") from error

    def wait(self, stop: threading.Event) -> None:
        """Wait until every probe is attached; give up once ``stop`` is set."""
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._ready.exists():
            if self._process.poll() is not None:
                raise PreflightError(f"the recorder did not start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise PreflightError("the recorder did not start within ten minutes")
            if stop.wait(0.02):
                raise ExperimentError("interrupted")
        self._ready.unlink()

    def stop(self) -> None:
        """End the recording properly."""
        self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise TcptraceError("the recorder does not end") from error
        if code != 0:
            raise TcptraceError(f"the recorder failed: {self._last_words()}")

    def close(self) -> None:
        """Make sure that it is gone."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._words.close()
        self._ready.unlink(missing_ok=True)

    def _last_words(self) -> str:
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("tcptrace: ") if lines else "it did not say why"
