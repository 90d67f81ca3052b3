"""Run pytest; kernel tests that failed again, where the kernel itself hides what they look at.

A sandbox's kernel may run no BPF program while a task of the sandbox's own is current
(blind.py): then a connection's end is now and then seen by nobody, and the test that waits
for it must fail. Only if that is so here, and only kernel tests failed, are those run again,
twice at most, by themselves; each must pass. Anywhere else the first result counts.

``python tests/run.py [PYTEST'S ARGUMENTS]``
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
FAILED = 1  # pytest's exit code
AGAIN = 2


def failed(cache: str) -> list[str]:
    """The names of the tests that failed last."""
    path = Path(cache, "v/cache/lastfailed")
    return sorted(json.loads(path.read_text())) if path.exists() else []


def hidden() -> bool:
    """Whether this kernel hides tasks from BPF programs; says so."""
    return not subprocess.run([sys.executable, str(HERE / "blind.py")], check=False).returncode


def main() -> int:
    """Give pytest's exit code."""
    with tempfile.TemporaryDirectory() as cache:
        pytest = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *sys.argv[1:]]
        code = subprocess.run(pytest, check=False).returncode
        for _ in range(AGAIN):
            names = failed(cache)
            if code != FAILED or not all(name.startswith("tests/kernel/") for name in names):
                break
            if not hidden():
                break
            sys.stdout.write(f"Run again, by themselves: {len(names)} tests\n")
            sys.stdout.flush()
            code = subprocess.run([*pytest, "--last-failed"], check=False).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
