"""Run the tests with other versions of bcc, LLVM, Python and pandas, on this machine's kernel.

``python tests/userspaces/run.py [--tests PATH] [NAME...]`` as root; all unless named. Each is a
Debian system in a folder of its own (debootstrap), kept in build/userspaces from one run to the
next and upgraded at the start of each. In it a copy of this tree runs its own ``make test``, as on
a machine with nothing installed. ``DEBIAN_MIRROR`` names the mirror. Prints a table; exits with 1
if tests failed anywhere.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / "build/userspaces"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
#: Where the tree is, inside: tests read it as other users, too.
TREE = "/srv/tcptrace"
ALL_TESTS = ""
#: What asks the kernel for something, and so depends on bcc.
KERNEL_TESTS = "tests/kernel"
UNIT_TESTS = "tests/unit"
#: No test needs them: `make lint` runs with the newest.
LINTERS = ("mypy", "pandas-stubs", "ruff")


@dataclass(frozen=True)
class Userspace:
    """``suite``: Debian's; None: this machine's own. ``bcc_from``: the suite bcc comes from.

    ``lowest``: with the lowest versions pyproject.toml allows, not the newest.
    """

    name: str
    what: str
    suite: str | None
    tests: str
    bcc_from: str | None = None
    lowest: bool = False

    @property
    def root(self) -> Path:
        """The folder it is in."""
        return CACHE / self.name

    @property
    def tree(self) -> Path:
        """The copy of this tree, seen from outside."""
        return self.root / (TREE[1:] if self.suite else "tcptrace")


USERSPACES = (
    Userspace("lowest", "lowest versions, here", None, UNIT_TESTS, lowest=True),
    Userspace("ubuntu-22.04", "its bcc, on Debian 12", "bookworm", KERNEL_TESTS, "bullseye"),
    Userspace("bookworm", "Debian 12, lowest versions", "bookworm", ALL_TESTS, lowest=True),
    Userspace("trixie", "Debian 13", "trixie", ALL_TESTS),
    Userspace("sid", "Debian unstable", "sid", ALL_TESTS),
)

#: Run by the userspace's own Python: what the tests ran with.
VERSIONS = """
import importlib.metadata as metadata, platform, re, bcc
from pathlib import Path
llvm = re.search(r"libLLVM[-.a-z]*(\\d+)", Path("/proc/self/maps").read_text())
print(bcc.__version__, llvm[1] if llvm else "in bcc", platform.python_version(),
      *map(metadata.version, ("pandas", "numpy", "pyarrow")), sep="\\t")
"""
TITLES = ("userspace", "bcc", "LLVM", "Python", "pandas", "numpy", "pyarrow")


def inside(userspace: Userspace, *command: str, directory: str = TREE) -> list[str]:
    """Give the command line that runs a command in a userspace."""
    if userspace.suite is None:
        return ["env", f"--chdir={userspace.tree}", *command]
    passed_on = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
    clean = [
        *("env", "-i", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"),
        *("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *passed_on),
    ]
    return [str(HERE / "enter"), str(userspace.root), directory, *clean, *command]


def run(command: list[str], log: Path) -> int:
    """Run a command, its words added to a log."""
    with log.open("ab") as out:
        out.write(f"+ {' '.join(command)}\n".encode())
        out.flush()
        return subprocess.run(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL).returncode


def must(command: list[str], log: Path) -> None:
    """Run a command that cannot fail unless something outside is wrong."""
    if code := run(command, log):
        last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"{last}\n{log}: the last command ended with {code}")


def install(userspace: Userspace, log: Path) -> None:
    """Make the folder, or bring it up to date."""
    if userspace.suite is None:
        return
    made = userspace.root / "made"
    if not made.exists():
        shutil.rmtree(userspace.root, ignore_errors=True)
        must(
            [
                *("debootstrap", "--variant=minbase", "--include=make,ca-certificates"),
                *(userspace.suite, str(userspace.root), MIRROR),
            ],
            log,
        )
        # Enough of a service manager for packages that ask for none.
        (userspace.root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (userspace.root / "usr/sbin/policy-rc.d").chmod(0o755)
        # A mirror may hold an older sid, whose signature is no longer valid.
        valid = userspace.root / "etc/apt/apt.conf.d/older-mirror"
        valid.write_text('Acquire::Check-Valid-Until "false";\n')
        if userspace.bcc_from:
            sources = userspace.root / "etc/apt/sources.list.d/bcc.list"
            sources.write_text(f"deb {MIRROR} {userspace.bcc_from} main\n")
            # Pinned: taken, and kept, although the suite itself has a newer one.
            pin = f"Package: *bpfcc*\nPin: release n={userspace.bcc_from}\nPin-Priority: 1001\n"
            (userspace.root / "etc/apt/preferences.d/bcc").write_text(pin)
        made.touch()
    for words in (["update"], ["dist-upgrade", "--yes", "--no-install-recommends"]):
        must(inside(userspace, "apt-get", "--quiet", *words, directory="/"), log)


def copy_tree(userspace: Userspace) -> None:
    """Copy what git knows of or does not ignore, as it is now."""
    shutil.rmtree(userspace.tree, ignore_errors=True)
    userspace.tree.mkdir(parents=True)
    names = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in sorted({os.fsdecode(name) for name in names if name}):
        if (ROOT / name).exists():
            (userspace.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, userspace.tree / name)


def lowest_versions() -> str:
    """Constraints for pip: of everything the lowest version that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    tested = [each for each in wanted if not each.startswith(LINTERS)]
    return "".join(f"{each.replace('>=', '==')}\n" for each in tested)


def test(userspace: Userspace, tests: str, log: Path) -> tuple[list[str], str, bool]:
    """Run the tests; the versions they ran with, pytest's closing words, whether all passed."""
    copy_tree(userspace)
    command = ["make", "--no-print-directory", "test", f"TESTS={tests}"]
    if tests != ALL_TESTS:
        # chromium is big, and only for looking at reports.
        command.append("TEST_PACKAGES=e2fsprogs procps tcpdump tmux")
    settings = ["TCPTRACE_REQUIRE_KERNEL=1"]
    if userspace.lowest:
        (userspace.tree / "lowest.txt").write_text(lowest_versions())
        settings.append("PIP_CONSTRAINT=lowest.txt")
    code = run(inside(userspace, "env", *settings, *command), log)
    done = subprocess.run(
        inside(userspace, ".venv/bin/python", "-c", VERSIONS), capture_output=True, text=True
    )
    versions = done.stdout.strip().split("\t") if done.returncode == 0 else ["?"] * 6
    said = log.read_text(errors="replace")
    closing = re.findall(r"^=+ (.*(?:passed|failed|error).*) in [\d.]+s.*=+$", said, re.MULTILINE)
    words = ", again: ".join(closing) or "no test was run"
    return versions, words, code == 0 and bool(closing)


def table(rows: list[list[str]]) -> str:
    """Lay out rows in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def main() -> int:
    """Give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--tests", help="of those that run all tests, run these only")
    arguments = parser.parse_args()
    names = arguments.names
    known = [each.name for each in USERSPACES]
    if unknown := set(names) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}")
    if os.geteuid():
        sys.exit("other userspaces need root: run this as root, or with sudo")
    CACHE.mkdir(parents=True, exist_ok=True)
    rows = [[*TITLES, "tests"]]
    all_passed = True
    for userspace in USERSPACES:
        if names and userspace.name not in names:
            continue
        sys.stdout.write(f"{userspace.name}: {userspace.what}\n")
        sys.stdout.flush()
        log = CACHE / f"{userspace.name}.log"
        log.unlink(missing_ok=True)
        began = time.monotonic()
        install(userspace, log)
        versions, words, passed = test(userspace, userspace.tests or arguments.tests or "", log)
        rows.append([userspace.name, *versions, words])
        all_passed &= passed
        sys.stdout.write(f"  {words}; {(time.monotonic() - began) / 60:.1f} minutes: {log}\n")
        if not passed:
            bad = re.compile(r"(FAILED|ERROR|E   |make: )")
            lines = log.read_text(errors="replace").splitlines()
            sys.stdout.write("\n".join(line for line in lines if bad.match(line)) + "\n")
        sys.stdout.flush()
    sys.stdout.write(table(rows) + "\n")
    return 0 if all_passed else 1


if __name__ == "__main__":
    sys.exit(main())
