"""Names of network namespaces and control groups: containers, systemd's units.

A control group's path tells who runs in it. Container engines and systemd make theirs; a
container may make more below its own and name them as it likes, so of several names in a
path only the outermost is to be believed.
"""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

#: What engines call a container's group: by systemd (``docker-ID.scope``) or by
#: themselves (``/docker/ID``).
_SCOPE = re.compile(r"(?:(docker|cri-containerd|crio|libpod|nerdctl)-)([0-9a-f]{64})\.scope")
_PLAIN = re.compile(r"([0-9a-f]{64})")
_PODMAN = re.compile(r"libpod-([0-9a-f]{64})")
_LXC = re.compile(r"lxc\.payload\.(.+)")
_MACHINE = re.compile(r"machine-(.+)\.scope")
_ENGINES = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
    "nerdctl": "containerd",
}
#: As many digits of a container's 64 as the engines themselves show.
_DIGITS = 12
_USER_MANAGER = re.compile(r"user@\d+\.service")


def unit_name(path: str) -> str:
    """Name the container or systemd unit a control group is of; the path itself if of none.

    ``path``: from the root of the version 2 hierarchy.
    """
    parts = [part for part in path.split("/") if part]
    for place, part in enumerate(parts):
        if found := _container(part, parts[:place]):
            return found
        if part.endswith(".service") and not _USER_MANAGER.fullmatch(part):
            return part
    # A user's own manager runs units of its own; a session is a scope.
    named = [part for part in parts if part.endswith((".service", ".scope"))]
    return named[-1] if named else path


def _container(part: str, above: list[str]) -> str | None:
    if match := _SCOPE.fullmatch(part):
        return f"{_ENGINES[match[1]]} {match[2][:_DIGITS]}"
    if match := _PODMAN.fullmatch(part):
        return f"podman {match[1][:_DIGITS]}"
    if match := _PLAIN.fullmatch(part):
        if any(each.startswith("kubepods") for each in above):
            return f"kubernetes {match[1][:_DIGITS]}"
        return f"docker {match[1][:_DIGITS]}" if above[-1:] == ["docker"] else None
    if match := _LXC.fullmatch(part):
        return f"lxc {match[1]}"
    match = _MACHINE.fullmatch(part)
    return f"machine {match[1]}" if match else None


def netns_names(header: Mapping[str, Any]) -> dict[int, str]:
    """Give the names that a recording's network namespaces had, by inode."""
    return _numbered(header, "netns")


def units(cgroups: pd.Series, header: Mapping[str, Any]) -> pd.Series:
    """Name the container or unit of each control group (Int64); null where it is not known."""
    names = {number: unit_name(path) for number, path in _numbered(header, "cgroup").items()}
    found = cgroups.astype("object").map(names)
    return found.astype("object").where(found.notna(), None).rename("unit")


def _numbered(header: Mapping[str, Any], kind: str) -> dict[int, str]:
    named = header.get("names", {}).get(kind, {})
    return {int(number): name for number, name in named.items() if _DECIMAL.fullmatch(number)}


_DECIMAL = re.compile(r"[0-9]{1,20}")
