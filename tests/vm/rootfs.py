"""One root file system for all guests: Debian 12, bcc, and what the tests need from PyPI."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from pathlib import Path

from apt import mirror
from architecture import Architecture
from cache import ROOT, SUDO, kept, key_of, run, say

SUITE = "bookworm"
PYTHON = "3.11"  # bookworm's
#: As the Makefile's PACKAGES and TEST_PACKAGES, and what a minimal Debian lacks.
PACKAGES = (
    "iproute2",
    "python3-bpfcc",
    "tcpdump",
    "tmux",
    "e2fsprogs",
    "kmod",
    "procps",
)
#: Where Debian's python3 looks for what its packages did not bring.
SITE = f"usr/local/lib/python{PYTHON}/dist-packages"
#: Only for `make lint`.
NOT_NEEDED = ("mypy", "pandas-stubs", "ruff", "setuptools")


def requirements() -> list[str]:
    """Name what pyproject.toml asks for, to run and to test."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = project["dependencies"] + project["optional-dependencies"]["test"]
    return [name for name in names if not name.startswith(NOT_NEEDED)]


def root_image(architecture: Architecture) -> Path:
    """Make the image, an ext4 file system, unless it is there already."""
    wanted = requirements()
    folder = kept(
        f"root-{architecture.name}",
        key_of(architecture, SUITE, PACKAGES, wanted, Path(__file__)),
        lambda made: _make(made / "root.img", architecture, wanted),
    )
    return folder / "root.img"


def _make(image: Path, architecture: Architecture, wanted: list[str]) -> None:
    say(f"Making a root file system of Debian's {SUITE} ({architecture.name})")
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        tree, site = Path(name, "tree"), Path(name, "site")
        try:
            _debian(tree, architecture)
            _from_pypi(site, architecture, wanted)
            _finish(tree, site)
            image.touch()
            options = ("-q", "-F", "-L", "root", "-O", "^has_journal", "-b", "4096")
            run(*SUDO, "mkfs.ext4", *options, "-d", tree, image, "4G")
        finally:
            run(*SUDO, "rm", "--recursive", "--force", tree)


def _debian(tree: Path, architecture: Architecture) -> None:
    options = ["--variant=minbase", f"--arch={architecture.name}"]
    options += [f"--include={','.join(PACKAGES)}"]
    foreign = architecture.name != run("dpkg", "--print-architecture").strip()
    if foreign:
        options += ["--foreign"]
    run(*SUDO, "debootstrap", *options, SUITE, tree, mirror())
    if foreign:
        _unpack(tree)
    for rubbish in ("var/cache/apt/archives", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        run(*SUDO, "rm", "--recursive", "--force", tree / rubbish)


def _unpack(tree: Path) -> None:
    """Unpack the packages of a processor whose programs do not run here.

    Of what they do when they are installed, only what is needed: users and groups.
    """
    unpack = 'dpkg-deb --fsys-tarfile "$0" | tar --extract --keep-directory-symlink -C "$1"'
    for package in sorted((tree / "var/cache/apt/archives").glob("*.deb")):
        run(*SUDO, "bash", "-o", "pipefail", "-c", unpack, package, tree)
    for name in ("passwd", "group"):
        run(*SUDO, "cp", tree / f"usr/share/base-passwd/{name}.master", tree / f"etc/{name}")
    run(*SUDO, "useradd", "--prefix", tree, "--system", "tcpdump")
    run(*SUDO, "rm", "--recursive", "--force", tree / "proc", tree / "debootstrap")
    run(*SUDO, "mkdir", tree / "proc")


def _from_pypi(site: Path, architecture: Architecture, wanted: list[str]) -> None:
    """Wheels need no chroot to be installed, and so none of another architecture does."""
    platforms = [word for name in architecture.wheels for word in ("--platform", name)]
    version = ("--python-version", PYTHON, "--implementation", "cp", "--only-binary=:all:")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--target", site, *platforms, *version, *wanted)


def _finish(tree: Path, site: Path) -> None:
    run(*SUDO, "mkdir", "--parents", tree / SITE, tree / "kernel", tree / "results")
    # Times as they are: by them Python knows that what it compiled is not out of date.
    copy = ("cp", "--recursive", "--preserve=mode,timestamps")
    run(*SUDO, *copy, f"{site}/.", tree / SITE)
    # The kernel's own files are mounted there.
    run(*SUDO, "rm", "--recursive", "--force", tree / "boot", tree / "usr/lib/modules")
    run(*SUDO, "ln", "--symbolic", "/kernel/boot", tree / "boot")
    run(*SUDO, "ln", "--symbolic", "/kernel/lib/modules", tree / "usr/lib/modules")
