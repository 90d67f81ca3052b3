"""What a machine does for several experiments at once."""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tcptrace.analysis.demo import machine as module
from tcptrace.analysis.demo.machine import Machine


class SlowFolder(tempfile.TemporaryDirectory[str]):
    """Takes long enough for another to be asked for meanwhile."""

    def __init__(self, **options: Any) -> None:
        time.sleep(0.1)
        super().__init__(**options)


class RecorderOf:
    """A recorder that notes whether its file could be made."""

    made: list[bool]

    def __init__(self, path: Path, *_: Any) -> None:
        time.sleep(0.2)
        self.made.append(path.parent.is_dir())

    def close(self) -> None:
        pass


def test_recorders_that_begin_together_all_have_their_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryDirectory", SlowFolder)
    monkeypatch.setattr(module, "RecorderHere", RecorderOf)
    RecorderOf.made = []
    machine = Machine(lambda *_: None)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(machine.recorder, [[]] * 4))
    assert RecorderOf.made == [True] * 4
    assert len(list(tmp_path.iterdir())) == 1
    machine.close()
    assert not list(tmp_path.iterdir())
