"""Memory is arranged for a command where the process is its own, and left alone elsewhere."""

import gc
import os
import subprocess
import sys

import pytest

from tcptrace.tracer.cli import main

SHOW = """
import gc, os, sys
from tcptrace.tracer.cli import main
sys.argv = ["tcptrace", "report", "--help"]
try:
    main()
finally:
    print(gc.isenabled(), gc.get_freeze_count() > 10_000, os.environ["NUMPY_MADVISE_HUGEPAGE"])
"""


def test_a_program_sets_aside_what_it_has_imported() -> None:
    given = {name: value for name, value in os.environ.items() if not name.startswith("NUMPY_")}
    command = [sys.executable, "-c", SHOW]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True True 0"


def test_a_command_called_from_python_leaves_the_process_as_it_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMPY_MADVISE_HUGEPAGE", raising=False)
    before = gc.get_freeze_count()
    main(["report", "--help"])
    assert capsys.readouterr().out.startswith("Usage: tcptrace report")
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, before)
    assert "NUMPY_MADVISE_HUGEPAGE" not in os.environ
