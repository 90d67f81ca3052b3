"""What is run in a guest, and what came of it."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

#: Those that the guests run in any case: what is recorded of each way in which a connection
#: or its TIME_WAIT begins and ends, and by whom. The others look at the recorder as a program
#: (its files, signals, filters, screens), which is the same on every kernel, and cost as much
#: again: `--all` runs them, too.
FAST = (
    "test_witness",
    "test_typed",
    "test_close",
    "test_time_wait_ends",
    "test_close_simultaneous",
    "test_close_rare",
    "test_restricted",
    "test_censored",
    "test_owner",
    "test_snapshot",
    "test_time_wait_lifetime",
    "test_many",
)
#: Those of what several CPUs do at once.
SEVERAL_CPUS = ("test_interrupted", "test_rings", "test_many", "test_typed")
#: Experiments of `tcptrace demo` that wait for nothing long.
DEMOS = (
    "three-way-handshake",
    "simultaneous-close",
    "linger-reset",
    "time-wait-reuse",
    "time-wait-overflow",
)


def command(tests: tuple[str, ...], demos: tuple[str, ...]) -> str:
    """Give the script that runs test files (of tests/kernel; none: all) and experiments.

    One after the other: waiting costs nothing where time jumps. A kernel test that cannot
    run is a failure here, and so is one that finds no kprobes.
    """
    paths = [f"tests/kernel/{name}.py" for name in tests] or ["tests/kernel"]
    pytest = (
        *(
            "python3",
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-p",
            "no:hypothesispytest",
            "--color=no",
        ),
        *("--verbose", "--durations=0", "--junitxml=/results/tests.xml", *paths),
    )
    lines = [
        "cd /tcptrace",
        "export TCPTRACE_REQUIRE_KERNEL=1 TCPTRACE_REQUIRE_KPROBES=1",
        "tcptrace check >/results/check",
        shlex.join(pytest),
    ]
    if demos:
        words = shlex.join(demos)
        lines.append(f"tcptrace demo --json -o /tmp/demo {words} >/results/demos.json")
    return "\n".join(lines)


@dataclass
class Result:
    """``failed``, ``skipped``: name to reason. ``whole``: the guest came to its end."""

    whole: bool = False
    passed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return self.whole and bool(self.passed) and not self.failed

    @property
    def reasons(self) -> Counter[str]:
        """How often something was skipped for each reason."""
        return Counter(self.skipped.values())


def result(files: Path, status: int | None, demos: tuple[str, ...]) -> Result:
    """Read what a guest left (``command``)."""
    found = Result()
    tests = files / "tests.xml"
    if status is None or not tests.exists():
        found.failed["the guest"] = "did not come to the end of its tests"
        return found
    found.whole = True
    _read_tests(tests, found)
    if demos:
        _read_demos(files / "demos.json", found)
    return found


def _read_tests(path: Path, found: Result) -> None:
    for case in ElementTree.parse(path).getroot().iter("testcase"):  # noqa: S314  pytest's own
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        troubles = [each for each in case if each.tag in ("failure", "error", "skipped")]
        for trouble in troubles:
            kind = found.skipped if trouble.tag == "skipped" else found.failed
            kind[name] = (trouble.get("message") or "").strip().partition("\n")[0]
        found.passed += not troubles


def _read_demos(path: Path, found: Result) -> None:
    text = path.read_text() if path.exists() else ""
    if not text:
        found.failed["demo"] = "tcptrace demo said nothing"
        return
    for each in json.loads(text):
        name = f"demo {each['name']}"
        if each["shown"]:
            found.passed += 1
        else:
            found.failed[name] = str(each["error"] or each["failures"])
        for reason in each["skipped"]:
            found.skipped[name] = f"in part: {reason}"
