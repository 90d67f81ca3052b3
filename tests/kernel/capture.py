"""tcpdump on one link of a namespace."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

from . import oracle, pcap
from .net import LINK, Namespace, free_udp_send, wait_until

MARK_PORT = 9  # discard
FILTER = f"tcp or icmp or icmp6 or udp port {MARK_PORT}"


class Capture:
    """Captures from the moment it is made until `stop()`, to `path`."""

    def __init__(
        self, namespace: Namespace, path: Path, *, mark_to: str, device: str = LINK
    ) -> None:
        self.path = path
        self._namespace = namespace
        self._mark_to = mark_to
        with path.open("wb") as out:
            self._process = subprocess.Popen(
                namespace.command(
                    *("setpriv", "--pdeathsig", "KILL"),  # if the tests are killed
                    *("tcpdump", "-i", device, "-U", "-n", "--immediate-mode", "-B", "16384"),
                    *("-s", "160", "--time-stamp-precision=nano", "-w", "-", FILTER),
                ),
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
            )
        self._said: list[str] = []
        ready = threading.Event()
        self._reader = threading.Thread(target=self._listen, args=(ready,), daemon=True)
        self._reader.start()
        if not ready.wait(10) or self._process.poll() is not None:
            raise RuntimeError(f"tcpdump did not start: {self._said}")

    def _listen(self, ready: threading.Event) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._said.append(line)
            if "listening on" in line:
                ready.set()
        ready.set()

    def sync(self) -> None:
        """Return once everything sent until now is in the file."""
        mark = b"mark-%d" % self.path.stat().st_size

        def seen() -> bool:
            return mark in self.path.read_bytes()

        self._namespace.inside(lambda: free_udp_send(self._mark_to, mark, MARK_PORT))
        wait_until(seen, what=lambda: f"the mark in {self.path}")

    def stop(self) -> None:
        """End the capture; fail if tcpdump missed a packet."""
        if self._process.poll() is not None:
            return
        self.sync()
        self._process.send_signal(signal.SIGINT)
        self._process.wait(10)
        self._reader.join(10)
        if self._process.stderr:
            self._process.stderr.close()
        dropped = [line for line in self._said if "dropped" in line]
        assert all(line.startswith("0 ") for line in dropped), dropped

    def segments(self) -> list[pcap.Segment]:
        return pcap.read(self.path)

    def conversations(self) -> list[oracle.Conversation]:
        return oracle.conversations(self.segments())

    def kill(self) -> None:
        """End the process without a word, for clearing up."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        if self._process.stderr and not self._process.stderr.closed:
            self._process.stderr.close()
