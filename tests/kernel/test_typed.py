"""TIME_WAIT's probes, with arguments typed by the kernel and, where it does not, without."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from tcptrace.tracer import capture, loader
from tcptrace.tracer.schema import KIND

from .duo import Duo
from .lab import Lab
from .scenarios import orderly


@pytest.mark.filterwarnings("ignore:not a bytes object")  # bcc's, of a file's name
@pytest.mark.parametrize("typed", [True, False])
def test_time_wait_is_seen_either_way(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, typed: bool
) -> None:
    attach, attached = loader.attach_typed, []

    def attach_typed(*arguments: Any) -> int:
        if not typed:
            raise OSError("as the verifier of an older kernel would")
        attached.append(attach(*arguments))
        return attached[-1]

    monkeypatch.setattr(loader, "attach_typed", attach_typed)
    # In this process instead of one of its own.
    monkeypatch.setattr(
        capture, "_load", lambda *maps: loader.load(dict(zip(loader.MAPS, maps, strict=True)))
    )
    duo = Duo(lab)
    own = capture.Capture.start()
    try:
        assert all(probe["attached"] for probe in own.probes.values()), own.probes
        assert len(attached) == (3 if typed else 0)
        orderly(*duo.connect())
        kinds: list[int] = []
        end = time.monotonic() + 60
        while KIND["timewait_start"] not in kinds and time.monotonic() < end:
            events = own.read()
            inodes = [duo.pair.client.inode, duo.pair.server.inode]
            kinds += events["kind"][np.isin(events["netns"], inodes)].tolist()
            time.sleep(0.05)
        assert kinds.count(KIND["timewait_start"]) == 1
    finally:
        own.close()
