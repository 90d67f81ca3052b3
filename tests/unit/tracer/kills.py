"""Kill writers at random moments; say what each had written, and what its file holds.

``python -m tests.unit.tracer.kills FOLDER COUNT SEED [rotate]`` prints a line for each:
the events whose writing was over when it was killed, and where its file is.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from tcptrace.tracer.convert import to_batch
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.output import NewFile
from tcptrace.tracer.parts import part_path
from tcptrace.tracer.recording import RecordingWriter
from tcptrace.tracer.rotation import RotatingWriter, Rotation
from tcptrace.tracer.schema import FORMAT, KIND, STATE

HEADER = {"format": FORMAT, "started": "2026-01-01T00:00:00Z", "mib": {}, "filters": {}}
SIZES = (1, 7, 300, 2000)


def batches() -> list[np.ndarray]:
    """Batches of several sizes; sockets are numbered from 1 on, in the order of writing."""
    made = []
    for size in SIZES:
        events = np.zeros(size, EVENT)
        events["kind"], events["old_state"] = KIND["state"], STATE["CLOSE"]
        events["new_state"], events["comm"] = STATE["SYN_SENT"], b"load"
        made.append(events)
    return made


def write_until_killed(path: Path, told: mmap.mmap, chosen: random.Random, rotate: bool) -> None:
    first = NewFile(part_path(path, 1) if rotate else path)
    writer: RecordingWriter | RotatingWriter
    if rotate:
        size = Rotation(size=64 << 10)
        writer = RotatingWriter(path, first, HEADER, size, time.time_ns)
    else:
        writer = RecordingWriter(first.descriptor, str(path), HEADER)
    first.publish()
    written, made = 0, batches()
    while True:
        events = chosen.choice(made)
        events["socket"] = np.arange(written + 1, written + 1 + len(events))
        events["time"] = 1 + np.arange(written, written + len(events))
        writer.write(to_batch(events, time.time_ns()), written + len(events), lost=0)
        written += len(events)
        told[:8] = written.to_bytes(8, "little")


def main() -> None:
    folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rotate = "rotate" in sys.argv[4:]
    chosen = random.Random(seed)  # noqa: S311  not for secrets
    told = mmap.mmap(-1, 8)
    to_batch(batches()[0], 0)  # the first time takes 40 ms: not in each child
    for number in range(count):
        told[:8] = bytes(8)
        path = folder / f"{number}.arrows"
        child = os.fork()
        if not child:
            write_until_killed(path, told, random.Random(seed + number), rotate)  # noqa: S311
        time.sleep(chosen.uniform(0, 0.2 if rotate else 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(int.from_bytes(told[:8], "little"), path, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
