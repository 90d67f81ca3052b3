"""tcptrace and the tools it is measured against: how to start each, what each wrote."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from kernel import ControlGroup, attached_programs

#: What bcc's tcpstates prints, in bpftrace's language.
_BPFTRACE = """tracepoint:sock:inet_sock_set_state /args->protocol == 6/ {
  printf("%llx %d %s %s %d %s %d %d -> %d\\n", args->skaddr, pid, comm,
    ntop(args->saddr), args->sport, ntop(args->daddr), args->dport,
    args->oldstate, args->newstate);
}"""
#: The port of every server of load.c stands in every line of its connections.
OUR_LINE = r" (7[0-9][0-9]|8[01][0-9]) "
START_LIMIT = 120


@dataclass(frozen=True)
class Tool:
    """``command``: without output and ready file; ``immediate``: the same, unbuffered,
    to time the first event (load is measured with each tool's own buffering).
    """

    name: str
    command: list[str]
    immediate: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    ours: bool = False


def tools(headers: Path) -> list[Tool]:
    """List tcptrace and its peers, with Debian's default settings."""
    record = [sys.executable, "-m", "tcptrace.tracer", "record", "--force"]
    bcc = ["/usr/bin/python3", "/usr/sbin/tcpstates-bpfcc"]
    return [
        Tool("tcptrace", record, record, ours=True),
        Tool(
            "bcc tcpstates",
            bcc,
            [bcc[0], "-u", *bcc[1:]],
            {"BCC_KERNEL_SOURCE": str(headers)},
        ),
        Tool(
            "libbpf-tools tcpstates",
            ["/usr/sbin/tcpstates"],
            ["stdbuf", "-oL", "/usr/sbin/tcpstates"],
        ),
        Tool(
            "bpftrace",
            ["/usr/bin/bpftrace", "-e", _BPFTRACE],
            ["/usr/bin/bpftrace", "-B", "none", "-e", _BPFTRACE],
        ),
    ]


def last_totals(recording: Path) -> dict[str, int]:
    """Read the running totals of a recording's last batch; ``rows``: with those of snapshots."""
    with pa.ipc.open_stream(recording) as reader:
        raw: dict[bytes, bytes] = {}
        rows = 0
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                break
            raw = dict(metadata or {})
            rows += len(batch)
    return {key: json.loads(raw[key.encode()]) for key in ("events", "lost")} | {"rows": rows}


class Running:
    """A tool at work, in a control group of its own."""

    def __init__(self, tool: Tool, folder: Path, *options: str, immediate: bool = False) -> None:
        self.tool = tool
        self.group = ControlGroup(re.sub(r"\W+", "-", tool.name))
        self.output = folder / "output"
        self.errors = folder / "errors"
        self._ready_file = folder / "ready"
        for file in (self.output, self.errors, self._ready_file):
            file.unlink(missing_ok=True)
        command = list(tool.immediate if immediate else tool.command)
        stdout = subprocess.DEVNULL
        if tool.ours:
            command += ["-o", str(self.output), "--ready-file", str(self._ready_file), *options]
        else:
            stdout = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.began = time.time()
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                self.group.command(*command),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=errors,
                env=os.environ | tool.environment,
            )
        if not tool.ours:
            os.close(stdout)

    def check_alive(self) -> None:
        """Raise what it complained about if it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.tool.name} ended: {self.errors.read_text()[-2000:]}")

    def is_ready(self) -> bool:
        """Tell whether its probes are attached."""
        self.check_alive()
        if self.tool.ours:
            return self._ready_file.exists()
        return bool(attached_programs(self.group.pids()))

    def wait_ready(self, interval: float = 0.05) -> None:
        """Wait until its probes are attached."""
        end = time.monotonic() + START_LIMIT
        while not self.is_ready():
            if time.monotonic() > end:
                raise RuntimeError(f"{self.tool.name} did not start")
            time.sleep(interval)

    def wait_idle(self, quiet: float = 0.6, limit: float = 60) -> None:
        """Wait until it has worked off what it was given: it uses hardly any CPU."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            before = self.group.cpu_seconds()
            time.sleep(quiet)
            if self.group.cpu_seconds() - before < quiet * 0.05:
                return

    def stop(self) -> None:
        """End it as Ctrl-C does; again, for bcc loses one that meets its callback."""
        for _ in range(30):
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
                return
        raise RuntimeError(f"{self.tool.name} does not end")

    def state_events(self, netns: int) -> int:
        """Count the state transitions of the load that are in its output."""
        if not self.tool.ours:
            found = subprocess.run(
                ["grep", "-cE", OUR_LINE, self.output],
                capture_output=True,
                env=os.environ | {"LC_ALL": "C"},
            )
            return int(found.stdout)
        return sum(
            pc.sum(pc.and_(pc.equal(batch["kind"], "state"), pc.equal(batch["netns"], netns)))
            .cast(pa.int64())
            .as_py()
            or 0
            for batch in pa.ipc.open_stream(self.output)
        )

    def close(self) -> None:
        """Remove its control group and its output; end it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.group.close()
        for file in (self.output, self.errors, self._ready_file):
            file.unlink(missing_ok=True)
