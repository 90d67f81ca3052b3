"""Where a connection was: its namespace, container and unit, named in the recording."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcptrace.analysis.filters import Filters
from tcptrace.analysis.groups import grouped_by
from tcptrace.analysis.view import choose
from tcptrace.tracer.owners import Cgroups

from .duo import Duo
from .lab import Lab
from .net import NAMESPACES, Namespace, wait_until
from .record_run import Start

CONTAINER = f"docker-{'0123456789ab'}{'cdef' * 13}.scope"

# Joins a control group, then has a connection with itself, both ends of which it closes.
PROGRAM = """
import os, socket, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
with socket.create_server(("127.0.0.1", 0)) as listener:
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    near.close()
    far.recv(1)
    far.close()
"""


@pytest.fixture
def hierarchy() -> Iterator[Path]:
    """A control group of the test's own, version 2."""
    point = Cgroups(Path("/proc/self/mountinfo").read_text()).point
    if not point or not os.access(f"{point}/cgroup.procs", os.W_OK):
        pytest.skip("no writable version 2 control groups here")
    folder = Path(point, f"tt-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
    folder.rmdir()


def run_in(group: Path, space: Namespace) -> None:
    # Not `ip netns exec`, which mounts a /sys without control groups.
    enter = ["nsenter", f"--net={NAMESPACES / space.name}"]
    subprocess.run([*enter, sys.executable, "-c", PROGRAM, str(group)], check=True)


def test_container_unit_and_namespace_are_named_though_gone_by_the_end(
    lab: Lab, start: Start, hierarchy: Path
) -> None:
    container, service = hierarchy / CONTAINER, hierarchy / "tt-web.service"
    container.mkdir()
    service.mkdir()
    numbers = {str(path.stat().st_ino) for path in (container, service)}
    space = lab.namespace()
    run = start("--netns", space.name)
    run.wait_ready()
    run_in(container, space)
    run_in(service, space)
    # What it is called was looked up by then: it may go.
    wait_until(
        lambda: numbers <= set(run.read().header.get("names", {}).get("cgroup", {})),
        what=lambda: f"names; there are {run.read().header.get('names')}",
    )
    wait_until(lambda: not (container / "cgroup.procs").read_text(), what=lambda: "it is empty")
    container.rmdir()
    run.process.terminate()
    assert run.end() == 0, run.said
    recording = run.read()
    assert recording.header["names"]["netns"] == {str(space.inode): space.name}
    view = choose(recording, Filters())
    (group,) = grouped_by(view, "netns")
    assert (group["netns"], group["name"]) == (space.inode, space.name)
    units = {group["unit"]: group["connections"] for group in grouped_by(view, "unit")}
    assert units["docker 0123456789ab"] == units["tt-web.service"] == 2


def test_namespace_made_while_recording_is_named(lab: Lab, start: Start) -> None:
    run = start()
    run.wait_ready()
    duo = Duo(lab)
    near, far = duo.connect()
    near.close()
    far.close()
    duo.pair.wait_quiet()
    run.process.terminate()
    assert run.end() == 0, run.said
    names = run.read().header["names"]["netns"]
    for space in (duo.pair.client, duo.pair.server):
        assert names[str(space.inode)] == space.name
