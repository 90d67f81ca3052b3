"""SIGKILL at random moments: what was flushed is read back, what is missing is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tcptrace.analysis import read
from tcptrace.tracer import session
from tcptrace.tracer.parts import parts_beside

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("count", "options"), [(150, ()), (50, ("rotate",))])
def test_killed_at_any_moment_all_that_was_flushed_is_there(
    tmp_path: Path, count: int, options: tuple[str, ...]
) -> None:
    words = [sys.executable, "-m", "tests.unit.tracer.kills", str(tmp_path), str(count), "1"]
    done = subprocess.run(
        [*words, *options], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    )
    written = 0
    for line in done.stdout.splitlines():
        flushed, path = line.split()
        if not Path(path).exists() and not parts_beside(Path(path)):  # it had not begun
            assert not int(flushed)
            continue
        recording = read(path)
        sockets = recording.table["socket"].to_pylist()
        assert sockets == list(range(1, len(sockets) + 1))
        # One more batch may have been written, and not yet told.
        assert int(flushed) <= len(sockets) <= int(flushed) + 2000
        assert recording.problem
        assert not recording.final
        written += len(sockets)
    assert written, done.stderr


def test_what_was_read_is_flushed_within_a_second() -> None:
    # Looked for every POLL, written once FLUSH has passed.
    assert session.POLL + session.FLUSH < 1
