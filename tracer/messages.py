"""What `record` says when it has begun, and when it has ended."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tcptrace.tracer.output import write_aside
from tcptrace.tracer.probes import PROBES
from tcptrace.tracer.sizes import human_size
from tcptrace.tracer.status import say

if TYPE_CHECKING:
    from tcptrace.tracer.capture import Capture
    from tcptrace.tracer.recording import RecordingWriter
    from tcptrace.tracer.rotation import RotatingWriter
    from tcptrace.tracer.session import Session


def announce(capture: "Capture", ready_file: Path | None) -> None:
    """Say which probes are missing; tell whoever waits that recording has begun."""
    for probe in PROBES:
        status = capture.probes[probe.name]
        if not status["attached"]:
            say(
                f"tcptrace: {probe.name} not attached ({status['reason']}): "
                f"not recorded: {probe.without}"
            )
    if ready_file is not None:
        write_aside(ready_file, json.dumps({"pid": os.getpid(), "probes": capture.probes}))


def summarise(
    session: "Session", writer: "RecordingWriter | RotatingWriter", seconds: float
) -> None:
    """Say what was recorded, and what to do next."""
    lost = f"{session.lost:,} LOST" if session.lost else "0 lost"
    waiting = len(session.waiting)
    left = f", {waiting:,} still in TIME_WAIT" if waiting else ""
    number = getattr(writer, "number", 1)
    files = f"{number:,} files, " if number > 1 else ""
    say(
        f"{writer.events:,} events in {seconds:.1f} s, {lost}{left}: "
        f"{writer.name} ({files}{human_size(writer.size)})"
    )
    say(f"Next: tcptrace report {writer.name}")
