"""Packages of other Debian releases, fetched beside the machine's own apt.

The configuration is of its own (lists, state, sources; no package is installed in it),
the mirror is the one that the machine's own sources name.
"""

from __future__ import annotations

import re
from pathlib import Path

from cache import run

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def mirror() -> str:
    """Give the address of the Debian mirror this machine uses."""
    form = "$(REPO_URI) $(CODENAME)"
    for line in run(
        "apt-get", "indextargets", "--format", form, "Created-By: Packages"
    ).splitlines():
        address, _, codename = line.partition(" ")
        if re.fullmatch(r"[a-z]+", codename) and "security" not in address:
            return address
    return "http://deb.debian.org/debian"


class Apt:
    """apt for one release and architecture, in a folder of its own."""

    def __init__(self, folder: Path, suite: str, architecture: str) -> None:
        self._folder = folder
        for name in ("lists/partial", "state", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        options = f"arch={architecture} signed-by={KEYRING}"
        (folder / "sources.list").write_text(f"deb [{options}] {mirror()} {suite} main\n")
        configuration = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Dir::State": folder / "state",
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferencesparts": "-",
        }
        path = folder / "apt.conf"
        path.write_text("".join(f'{name} "{value}";\n' for name, value in configuration.items()))
        self._environment = {"APT_CONFIG": str(path)}
        self._run("apt-get", "update")

    def _run(self, *words: str, cwd: Path | None = None) -> str:
        return run(*words, cwd=cwd, env=self._environment)

    def depends(self, package: str, wanted: str) -> list[str]:
        """Name a package and all it needs, as far as the names match ``wanted``."""
        lines = self._run("apt-cache", "depends", "--important", "--recurse", package).splitlines()
        return sorted({line for line in lines if re.match(wanted, line)})

    def unpack(self, packages: list[str], into: Path) -> None:
        """Fetch packages and unpack them, without installing anything."""
        for package in packages:
            self._run("apt-get", "download", package, cwd=self._folder)
        for path in sorted(self._folder.glob("*.deb")):
            run("dpkg-deb", "--extract", path, into)
            path.unlink()
