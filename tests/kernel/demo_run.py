"""One `tcptrace demo` run as its witnesses have it: recordings, and captures read back here."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from tcptrace.analysis import Recording, read

FIN, SYN, RST, ACK = 1, 2, 4, 16
CLIENT, SERVER = "client", "server"
SECOND = 10**9
MARK = "TCPTRACE_TEST_RUN"


@dataclass(frozen=True)
class Seen:
    """A segment where it was sent; `fate` is the wire's comment, empty if it just passed."""

    time: int  # ns since the epoch
    host: str
    source: str
    source_port: int
    target_port: int
    flags: int
    sequence: int
    acknowledged: int
    data: bytes
    length: int
    fate: str


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each block of a pcapng file: its type and body."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        yield kind, data[at + 8 : at + length - 4]
        at += length


def read_capture(path: Path) -> list[Seen]:
    """Read a capture in the order of sending."""
    found = []
    for kind, body in blocks(path.read_bytes()):
        if kind != 6:
            continue
        interface, high, low, captured, whole = struct.unpack_from("<IIIII", body)
        packet = body[20 : 20 + captured]
        options = body[20 + captured + -captured % 4 :]
        fate = ""
        if options:
            code, size = struct.unpack_from("<HH", options)
            assert code == 1
            fate = options[4 : 4 + size].decode()
        header = (packet[0] & 15) * 4
        source_port, target_port, sequence, acknowledged, offset, flags = struct.unpack_from(
            "!HHIIBB", packet, header
        )
        start = header + (offset >> 4) * 4
        found.append(
            Seen(
                high << 32 | low,
                (CLIENT, SERVER)[interface],
                socket.inet_ntoa(packet[12:16]),
                source_port,
                target_port,
                flags & (FIN | SYN | RST | ACK),
                sequence,
                acknowledged,
                packet[start:],
                whole - start,
                fate,
            )
        )
    return found


class Experiment:
    """What one experiment left."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.measured: dict[str, Any] = result["measured"]

    @cached_property
    def recording(self) -> Recording:
        return read(self.result["recording"])

    @cached_property
    def capture(self) -> list[Seen]:
        return read_capture(Path(self.result["capture"]))

    def netns(self, host: str) -> int:
        inode: int = self.result["netns"][host]
        return inode

    def rows(self, host: str, port: int) -> pd.DataFrame:
        """A host's connections with `port` at either end, in order of opening."""
        table = self.recording.connections
        ports = (table["local_port"] == port) | (table["remote_port"] == port)
        return table[(table["netns"] == self.netns(host)) & ports].sort_values("connection")

    def row(self, host: str, port: int, which: int = 0) -> dict[str, Any]:
        return dict(self.rows(host, port).iloc[which].to_dict())

    def states(self, host: str, port: int) -> list[str]:
        """What the state tracepoint said of a host's sockets with `port`, in order."""
        events = self.recording.events
        ports = (events["local_port"] == port) | (events["remote_port"] == port)
        mine = events[
            (events["netns"] == self.netns(host))
            & ports
            & (events["kind"] == "state")
            & (events["old_state"] != "LISTEN")
            & (events["new_state"] != "LISTEN")
        ]
        accepted = (events["old_state"] == "LISTEN") & (events["new_state"] == "SYN_RECV")
        first = events[(events["netns"] == self.netns(host)) & ports & accepted]
        return [str(state) for state in [*first["new_state"], *mine["new_state"]]]

    def listening(self, host: str, port: int, comm: str) -> list[int]:
        """When a program began to listen, ns."""
        events = self.recording.events
        mine = events[
            (events["netns"] == self.netns(host))
            & (events["kind"] == "state")
            & (events["new_state"] == "LISTEN")
            & (events["local_port"] == port)
            & (events["comm"] == comm)
        ]
        return [moment.value for moment in mine["time"]]

    def segments(self, port: int, flags: int = 0, host: str | None = None) -> list[Seen]:
        """Segments with `port` at either end that have all of `flags`."""
        return [
            one
            for one in self.capture
            if port in (one.source_port, one.target_port)
            and one.flags & flags == flags
            and host in (None, one.host)
        ]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`tcptrace demo` as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "tcptrace.tracer", "demo", *arguments],
        # Inherited by every process of the run: what is left of it can be found.
        env={**os.environ, MARK: arguments[-1]},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def run_all(folder: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Experiment]]:
    """`tcptrace demo --all`, and what it left, by name."""
    done = run("--all", "--json", "-o", str(folder))
    assert done.stdout, done.stderr
    return done, {one["name"]: Experiment(one) for one in json.loads(done.stdout)}


def descendants_of_a_run(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Recorders and programs of a run that are still there."""
    folder = done.args[-1]
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_text().replace("\0", " ")
            environment = path.with_name("environ").read_text()
        except OSError:
            continue  # it ended
        if folder in line or f"{MARK}={folder}" in environment:
            found.append(line)
    return found
