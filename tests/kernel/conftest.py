"""Kernel tests: marked, skipped with a reason where they cannot run, and given a lab."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .lab import Lab
from .net import remove_leftovers
from .record_run import Run, Start

HERE = Path(__file__).parent
TOOLS = {"ip": "iproute2", "ss": "iproute2", "tcpdump": "tcpdump", "tmux": "tmux"}

# A run in the background begins with Ctrl-C ignored, and what it starts inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def missing() -> str | None:
    """Why kernel tests cannot run here, or None."""
    if os.geteuid():
        return "needs root: run as root, or with sudo"
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            return f"needs {tool}: apt install {package}"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun: modprobe tun"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kernel)


@pytest.fixture(autouse=True, scope="session")
def _kernel() -> None:
    reason = missing()
    if reason and os.environ.get("TCPTRACE_REQUIRE_KERNEL") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    remove_leftovers()


@pytest.fixture(scope="session")
def make_lab(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Lab]:
    """Make a lab; the caller uses it in a `with` statement."""
    return lambda: Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def lab(make_lab: Callable[[], Lab]) -> Iterator[Lab]:
    with make_lab() as made:
        yield made


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Begin recordings in the test's folder, and end those that still run."""
    runs: list[Run] = []

    def begin(*options: str, **more: Any) -> Run:
        runs.append(Run(tmp_path, *options, **more))
        return runs[-1]

    yield begin
    for run in runs:
        run.kill()
