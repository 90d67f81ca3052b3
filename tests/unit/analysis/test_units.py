"""What a control group's path says of who runs in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tcptrace.analysis import read
from tcptrace.analysis.filters import Filters
from tcptrace.analysis.groups import grouped_by
from tcptrace.analysis.parts import Parts, load_parts
from tcptrace.analysis.units import netns_names, unit_name, units
from tcptrace.analysis.view import choose

from .scenario import CURL, NETNS, NGINX
from .test_load import story, write

ID = "0123456789ab" + "cdef" * 13


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"/system.slice/docker-{ID}.scope", "docker 0123456789ab"),
        (f"/docker/{ID}", "docker 0123456789ab"),
        (f"/docker/{ID}/init.scope", "docker 0123456789ab"),
        (
            f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope",
            "containerd 0123456789ab",
        ),
        (f"/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope", "cri-o 0123456789ab"),
        (f"/kubepods/burstable/pod1/{ID}", "kubernetes 0123456789ab"),
        (f"/machine.slice/libpod-{ID}.scope/container", "podman 0123456789ab"),
        (f"/libpod_parent/libpod-{ID}", "podman 0123456789ab"),
        ("/lxc.payload.web/system.slice/nginx.service", "lxc web"),
        ("/machine.slice/machine-debian.scope", "machine debian"),
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "foo.service"),
        ("/user.slice/user-1000.slice/user@1000.service", "user@1000.service"),
        ("/", "/"),
        ("/custom/group", "/custom/group"),
        ("", ""),
        # Not container's numbers.
        (f"/{ID}", f"/{ID}"),
        (f"/docker/{ID}0", f"/docker/{ID}0"),
        (f"/docker-{ID.upper()}.scope", f"docker-{ID.upper()}.scope"),
    ],
)
def test_who_runs_there_is_told_by_the_path(path: str, name: str) -> None:
    assert unit_name(path) == name


def test_a_container_cannot_give_itself_out_for_another() -> None:
    other = "f" * 64
    path = f"/system.slice/docker-{ID}.scope/system.slice/docker-{other}.scope/ssh.service"
    assert unit_name(path) == "docker 0123456789ab"
    assert unit_name(f"/system.slice/nginx.service/docker-{other}.scope") == "nginx.service"


@pytest.mark.parametrize(
    "names",
    [None, {}, {"netns": {}}, {"netns": {"x": "a", "": "b", "-1": "c", "9" * 99: "d", "²": "e"}}],
)
def test_names_that_are_none_name_nothing(names: Any) -> None:
    header = {} if names is None else {"names": names}
    assert netns_names(header) == {}
    assert units(pd.Series([1, pd.NA], dtype="Int64"), header).tolist() == [None, None]


NAMES = {
    "netns": {str(NETNS): "web"},
    "cgroup": {
        str(CURL.cgroup): "/user.slice/user-1000.slice/session-3.scope",
        str(NGINX.cgroup): "/system.slice/nginx.service",
    },
}


def recording(folder: Path, where: str) -> Any:
    told = story()
    first, rest = told.table.slice(0, 3), told.table.slice(3)
    header, batches = dict(told.header), [(first, {}), (rest, {"final": True})]
    if where == "header":
        header["names"] = NAMES
    else:
        for (_, metadata), kind in zip(batches, NAMES, strict=True):
            metadata["names"] = {kind: NAMES[kind]}
    return read(write(folder / "named.arrows", header, batches))


@pytest.mark.parametrize("where", ["header", "batches"])
def test_groups_are_named_from_wherever_the_recording_says_it(tmp_path: Path, where: str) -> None:
    view = choose(recording(tmp_path, where), Filters())
    (group,) = grouped_by(view, "netns")
    assert (group["netns"], group["name"]) == (NETNS, "web")
    found = {group["unit"]: group["connections"] for group in grouped_by(view, "unit")}
    assert found == {"session-3.scope": 1, "nginx.service": 1, None: 1}


def test_names_are_no_part_of_how_it_ended(tmp_path: Path) -> None:
    assert "names" not in recording(tmp_path, "batches").final


def test_all_files_of_a_set_name_for_all(tmp_path: Path) -> None:
    told = story()
    paths = []
    for number, (kind, named) in enumerate(NAMES.items(), 1):
        part = {"id": "1", "number": number, "events": 0, "lost": 0}
        header = told.header | {"set": part, "names": {kind: named}}
        paths.append(write(tmp_path / f"r.{number:04}.arrows", header, [(told.table, {})]))
    loaded = load_parts(Parts(tmp_path / "r.arrows", tuple(paths), True))
    assert loaded["header"]["names"] == NAMES
