"""Record for long under mixed load: memory and descriptors flat, every connection accounted for.

    python tests/soak/run.py [--minutes 20] [--kills 20] [--out RESULT.json]

Bursts of every kind of connection, with pauses; the recorder rotates. At the end the set of
files is held against the load's own log, connection by connection. Then recorders are
killed under load: what their files lack of the last second is told.
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "bench"))

from check import check  # noqa: E402
from kernel import Namespace  # noqa: E402
from machine import build, describe  # noqa: E402

from tcptrace.analysis import read  # noqa: E402
from tcptrace.tracer.parts import parts_beside  # noqa: E402

RECORD = [sys.executable, "-m", "tcptrace.tracer", "record"]
#: Seconds: of load, from one burst to the next, and until TIME_WAITs come and go evenly.
BURST, EVERY, SETTLED = 0.5, 12, 90
#: How much larger the recorder may be at the end than once it was settled.
GROWTH = 1.05
MEGABYTE = 1 << 20


def say(text: str) -> None:
    click.echo(f"  {text}", err=True)


@dataclass
class Recorder:
    """A recorder, watched from outside."""

    path: Path
    options: tuple[str, ...] = ()
    samples: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        ready = self.path.with_suffix(".ready")
        ready.unlink(missing_ok=True)
        words = ["-o", str(self.path), "--ready-file", str(ready), *self.options]
        self.process = subprocess.Popen([*RECORD, *words], stderr=subprocess.PIPE, text=True)
        while not ready.exists():
            if self.process.poll() is not None:
                raise RuntimeError(f"record ended: {self.said()}")
            time.sleep(0.05)
        self.began = time.monotonic()

    def said(self) -> str:
        assert self.process.stderr
        return self.process.stderr.read()

    def sample(self) -> None:
        """Note memory, CPU time and open files."""
        folder = Path(f"/proc/{self.process.pid}")
        if self.process.poll() is not None:
            raise RuntimeError(f"record ended: {self.said()}")
        rollup = (folder / "smaps_rollup").read_text().splitlines()
        memory = {line.split()[0]: int(line.split()[1]) << 10 for line in rollup[1:]}
        ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
        self.samples.append(
            {
                "at_s": round(time.monotonic() - self.began, 1),
                # The ring buffer is mapped, but not the process's own.
                "memory": memory["Anonymous:"],
                "descriptors": sum(1 for _ in (folder / "fd").iterdir()),
                "threads": sum(1 for _ in (folder / "task").iterdir()),
                "cpu_s": sum(map(int, ticks)) / 100,
                "bytes": sum(file.stat().st_size for file in parts_beside(self.path)),
            }
        )


def soak(load: Path, folder: Path, netns: Namespace, minutes: float) -> dict[str, Any]:
    """Record bursts of load for so long; compare with the load's log."""
    recorder = Recorder(folder / "soak.arrows", ("--rotate", "16M"))
    log, end = folder / "log", time.monotonic() + minutes * 60
    made, number = 0, 0
    try:
        while time.monotonic() < end:
            following = time.monotonic() + EVERY
            for mode in ("mixed", ("client", "abort", "server")[number % 3]):
                words = ["--mode", mode, "--seconds", str(BURST), "--log", f"{log}.{number}.{mode}"]
                command = netns.command(str(load), *words)
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                made += json.loads(done.stdout)["connections"]
            number += 1
            while time.monotonic() < min(following, end):
                recorder.sample()
                time.sleep(2)
        # After the last flush: what is still open then is told by the end.
        recorder.process.send_signal(signal.SIGINT)
        code = recorder.process.wait(120)
    finally:
        recorder.process.kill()
    if code:
        raise RuntimeError(f"record ended with {code}: {recorder.said()}")
    say(f"{made:,} connections in {number} bursts, {len(parts_beside(recorder.path))} files")
    otherwise = check(recorder.path, log, netns.inode)
    say(f"every connection accounted for; {otherwise} ends told otherwise")
    found = {"connections": made, "bursts": number, "ends_told_otherwise": otherwise}
    return judged(recorder.samples) | found


def judged(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Tell whether memory and descriptors are flat from when TIME_WAITs come and go evenly."""
    settled = [sample for sample in samples if sample["at_s"] >= SETTLED]
    third = max(1, len(settled) // 3)
    first, last = settled[:third], settled[-third:]
    largest = {
        name: [max(s[name] for s in part) for part in (first, last)]
        for name in ("memory", "descriptors", "threads")
    }
    before, after = largest["memory"]
    flat = {
        "memory": after <= before * GROWTH + MEGABYTE,
        "descriptors": largest["descriptors"][1] <= largest["descriptors"][0],
        "threads": largest["threads"][1] <= largest["threads"][0],
    }
    say(f"memory {before / 1e6:.1f} MB, then {after / 1e6:.1f} MB; flat: {flat}")
    return {"largest_first_and_last_third": largest, "flat": flat, "samples": samples}


def kills(load: Path, folder: Path, netns: Namespace, count: int) -> list[float]:
    """Kill recorders under load; give how far behind each one's file was, seconds."""
    chance = random.Random(1)  # noqa: S311  not for secrets
    behind = []
    for number in range(count):
        recorder = Recorder(folder / f"killed-{number}.arrows")
        words = ["--mode", "client", "--seconds", "2", "--rate", "500", "--workers", "1"]
        running = subprocess.Popen(netns.command(str(load), *words), stdout=subprocess.DEVNULL)
        time.sleep(1 + chance.random())
        recorder.process.kill()
        now = time.time()
        recorder.process.wait()
        running.wait()
        recording = read(recorder.path)
        if recording.complete or not len(recording.table):
            raise RuntimeError(f"killed, but: {recording.problem}, {len(recording.table)} events")
        last = recording.events["time"].max().timestamp()
        behind.append(round(max(0.0, now - last), 3))
    if behind:
        say(f"{count} killed: {max(behind):.2f} s behind at most")
    return behind


@click.command()
@click.option("--minutes", type=click.FloatRange(2.5), default=20, show_default=True)
@click.option("--kills", "count", type=click.IntRange(0), default=20, show_default=True)
@click.option("--out", type=click.Path(path_type=Path))
def main(minutes: float, count: int, out: Path | None) -> None:
    """Soak the recorder; write what was found; exit with 1 unless all is well."""
    out = out or HERE / "results" / f"{time.strftime('%Y%m%d-%H%M', time.gmtime())}.json"
    with tempfile.TemporaryDirectory(prefix="tcptrace-soak-") as name:
        folder = Path(name)
        load = build(folder)["load"]
        results: dict[str, Any] = {"machine": describe(), "minutes": minutes}
        with Namespace() as netns:
            results |= soak(load, folder, netns, minutes)
            results["killed_behind_s"] = kills(load, folder, netns, count)
    results["well"] = (
        all(results["flat"].values()) and max(results["killed_behind_s"], default=0) < 1
    )
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")
    say(f"{out}: {'all well' if results['well'] else 'NOT WELL'}")
    sys.exit(not results["well"])


if __name__ == "__main__":
    main()
