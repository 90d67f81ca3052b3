"""Two namespaces that pass for two machines: an `ssh` first on PATH runs commands in them."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

from .net import Namespace, Pair, join

#: What the stand-in is called with: options, `--`, the address, the command.
_SSH = """#!/bin/bash
set -euo pipefail
while [ "$1" != "--" ]; do shift; done
where="{folder}/$2"
[ -d "$where" ] || {{ echo "ssh: connect to host $2 port 22: No route to host" >&2; exit 255; }}
exec ip netns exec "$(cat "$where/namespace")" unshare --uts --mount bash -c '
  hostname "$(cat "$1/name")"
  mount --bind "$1/boot_id" /proc/sys/kernel/random/boot_id
  exec sh -c "$2"' - "$where" "$3"
"""
_TCPTRACE = """#!/bin/sh
exec {python} -m tcptrace.tracer "$@"
"""
_SETTINGS = (
    "ip_local_port_range",
    "tcp_fin_timeout",
    "tcp_rfc1337",
    "tcp_early_retrans",
    "tcp_tw_reuse",
    "tcp_timestamps",
    "tcp_max_tw_buckets",
    "tcp_rmem",
)


class TwoMachines:
    """`hosts`: what to give to --hosts; `environment`: with which."""

    def __init__(self, folder: Path) -> None:
        self.client, self.server = Namespace(), Namespace()
        self.pair: Pair = join(self.client, self.server)
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        for name, text in (
            ("ssh", _SSH.format(folder=folder)),
            ("tcptrace", _TCPTRACE.format(python=sys.executable)),
        ):
            (bin_folder / name).write_text(text)
            (bin_folder / name).chmod(0o755)
        for name, namespace, address in (
            ("client", self.client, self.pair.client4),
            ("server", self.server, self.pair.server4),
        ):
            where = folder / address
            where.mkdir()
            (where / "name").write_text(name)
            (where / "namespace").write_text(namespace.name)
            (where / "boot_id").write_text(f"{uuid.uuid4()}\n")
        self.hosts = f"{self.pair.client4},{self.pair.server4}"
        self.environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}

    def start(self, *arguments: str, **options: object) -> subprocess.Popen[str]:
        """Start `tcptrace demo --hosts` between them."""
        command = [sys.executable, "-m", "tcptrace.tracer", "demo", "--hosts", self.hosts]
        return subprocess.Popen(
            [*command, *arguments],
            env=self.environment | options.pop("env", {}),  # type: ignore[operator]
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def settings(self) -> list[list[str]]:
        """What the experiments change on a machine: sysctls and routes."""
        found = []
        for namespace in (self.client, self.server):
            names = [f"/proc/sys/net/ipv4/{name}" for name in _SETTINGS]
            values = namespace.run("cat", *names).splitlines()
            found.append([*values, *namespace.run("ip", "route").splitlines()])
        return found

    def delete(self) -> None:
        for namespace in (self.client, self.server):
            namespace.delete()
