"""What the numbers of namespaces and control groups are called on this machine."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from tcptrace.tracer import names
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.names import Names


def events(*cgroups: int, netns: int = 0) -> np.ndarray:
    made = np.zeros(len(cgroups), EVENT)
    made["cgroup"], made["netns"] = cgroups, netns
    return made


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that stands in for the control groups' hierarchy."""
    (tmp_path / "system.slice/nginx.service").mkdir(parents=True)
    return tmp_path


def looking(machine: Path, root: str = "/", *more: str) -> Names:
    made = Names()
    made._mountinfo = machine / "mountinfo"
    made._mountinfo.write_text(
        "\n".join([f"30 24 0:26 {root} {machine} rw - cgroup2 cgroup2 rw", *more])
    )
    return made


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_control_groups_are_named_by_their_paths(machine: Path) -> None:
    found = looking(machine)
    service = inode(machine / "system.slice/nginx.service")
    found.notice(events(service, service, inode(machine), 1))
    told = {str(service): "/system.slice/nginx.service", str(inode(machine)): "/"}
    assert found.new() == {"names": {"cgroup": told}}
    assert found.known == {"netns": {}, "cgroup": told}


def test_paths_begin_at_the_hierarchys_root_where_less_is_mounted(machine: Path) -> None:
    found = looking(machine, "/outer")
    found.notice(events(inode(machine / "system.slice")))
    ((name,),) = [each.values() for each in found.new()["names"].values()]
    assert name == "/outer/system.slice"


def test_namespaces_are_named_as_ip_netns_does_or_by_where_they_are(machine: Path) -> None:
    found = looking(
        machine,
        "/",
        "400 30 0:4 net:[4026532246] /run/netns/web rw - nsfs nsfs rw",
        "401 30 0:4 net:[4026532247] /run/docker/netns/0ab rw - nsfs nsfs rw",
    )
    for number in (4026532246, 4026532247, 4026532248):
        found.notice(events(0, netns=number))
    assert found.new()["names"]["netns"] == {
        "4026532246": "web",
        "4026532247": "/run/docker/netns/0ab",
    }


def test_each_is_told_once(machine: Path) -> None:
    found = looking(machine)
    found.notice(events(inode(machine)))
    assert found.new()
    found.notice(events(inode(machine)))
    assert found.new(at_once=True) == {}


def test_looks_are_a_second_apart_except_the_last(machine: Path) -> None:
    found = looking(machine)
    found.notice(events(inode(machine)))
    assert found.new()
    found.notice(events(inode(machine / "system.slice")))
    assert found.new() == {}
    assert found.new(at_once=True)["names"]["cgroup"].popitem()[1] == "/system.slice"


def test_among_many_that_come_and_go_none_is_missed(machine: Path) -> None:
    folders = [machine / f"group-{number}" for number in range(40)]
    for folder in folders:
        folder.mkdir()
    found = looking(machine)
    chance = random.Random(1)  # noqa: S311
    for _ in range(30):
        found.notice(events(*(inode(folder) for folder in chance.choices(folders, k=20))))
    assert set(found.new()["names"]["cgroup"].values()) == {f"/{each.name}" for each in folders}


def test_names_that_are_no_utf8_are_escaped(machine: Path) -> None:
    odd = os.fsencode(machine) + b"/odd\xff"
    os.mkdir(odd)  # noqa: PTH102  a name of bytes
    found = looking(machine)
    found.notice(events(os.stat(odd).st_ino))  # noqa: PTH116
    assert found.new()["names"]["cgroup"].popitem()[1] == "/odd\\xff"


def test_no_more_is_looked_at_than_is_quick(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_MOST", 1)
    found = looking(machine)
    found.notice(events(inode(machine / "system.slice/nginx.service")))
    assert found.new() == {}


def test_without_control_groups_nothing_is_named(tmp_path: Path) -> None:
    found = Names()
    found._mountinfo = tmp_path / "mountinfo"
    found._mountinfo.write_text("")
    found.notice(events(1, netns=2))
    assert found.new() == {}
