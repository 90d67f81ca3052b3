"""The system's clock may be set while a recording is made: no duration knows of it.

Setting the machine's clock is not a test's to do. Events carry CLOCK_MONOTONIC, which no
setting moves; what could go wrong is the recorder asking for the time of day again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from .duo import Duo
from .lab import Lab
from .record_run import Run

STEP = 3600

# A recorder for which the clock is set an hour ahead as soon as it has begun.
STEPPED = f"""
import os, sys, time
from tcptrace.tracer import cli

real, ready = time.clock_gettime_ns, sys.argv[sys.argv.index("--ready-file") + 1]

def stepped(clock):
    late = clock == time.CLOCK_REALTIME and os.path.exists(ready)
    return real(clock) + late * {STEP} * 10**9

time.clock_gettime_ns = stepped
time.time_ns = lambda: stepped(time.CLOCK_REALTIME)
time.time = lambda: time.time_ns() / 1e9
del sys.argv[1:4]
cli.main()
"""


def connect_and_close(duo: Duo, run: Run) -> pd.Timestamp:
    """Make a connection once it records; when that began."""
    run.wait_ready()
    began = pd.Timestamp.now(tz="UTC")
    near, far = duo.connect()
    near.close()
    far.close()
    return began


def test_clock_set_while_recording_changes_no_duration(lab: Lab, tmp_path: Path) -> None:
    duo = Duo(lab)
    run = Run(
        tmp_path,
        *("--netns", duo.pair.client.name, "--settle", "1"),
        before=[sys.executable, "-c", STEPPED],
    )
    try:
        began = connect_and_close(duo, run)
        duo.pair.wait_quiet()
        run.process.terminate()
        assert run.end() == 0, run.said
    finally:
        run.kill()
    took = (pd.Timestamp.now(tz="UTC") - began).total_seconds()
    recording = run.read()
    (row,) = recording.connections.to_dict("records")
    assert 0 <= row["established_s"] < took
    assert abs((row["opened"] - began).total_seconds()) < took + 60
    # Nor did it move the recording's own times, or what stands beside the events.
    assert (recording.ended - recording.started).total_seconds() < took + 60
    times = recording.events["time"]
    assert times.between(recording.started, recording.ended).all()
    settling = pd.Timestamp(recording.final["settling"])
    assert recording.started < settling <= recording.ended


@pytest.mark.skipif(not Path("/proc/self/ns/time").exists(), reason="no time namespaces")
def test_a_time_namespace_of_the_recorders_own_moves_no_event(lab: Lab, tmp_path: Path) -> None:
    duo = Duo(lab)
    run = Run(
        tmp_path,
        *("--netns", duo.pair.client.name),
        before=["unshare", "--time", "--monotonic=100000", "--fork", "--kill-child"],
    )
    try:
        began = connect_and_close(duo, run)
        duo.pair.client.wait_for(TIME_WAIT=1)
        duo.pair.wait_quiet()
        ended = pd.Timestamp.now(tz="UTC")
        # unshare itself takes no signal.
        child = subprocess.check_output(["pgrep", "-P", str(run.process.pid)], text=True)
        os.kill(int(child), signal.SIGTERM)
        assert run.end() == 0, run.said
    finally:
        run.kill()
    recording = run.read()
    (row,) = recording.connections.to_dict("records")
    tolerance = pd.Timedelta(milliseconds=10)
    assert began - tolerance <= row["opened"] <= row["closed"] <= ended + tolerance
    assert row["time_wait_end"] == "open"
    # What the recorder itself looked at and when it began and ended is on the same clock.
    assert recording.events["time"].between(recording.started, recording.ended).all()
