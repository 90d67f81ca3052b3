"""A recorder that is held up loses events: how many is exact, and nothing is made up of them."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tcptrace.tracer.cli import main

from .duo import Duo
from .lab import Lab
from .net import wait_until
from .record_run import Run

BEFORE, AFTER = 9001, 9002
HELD, MADE, EACH = 20, 2000, 100
NAMES = ["netns", "local_address", "local_port", "remote_address", "remote_port"]


@dataclass
class Gap:
    """``slow``: stopped while the load ran; ``whole``: its witness, which was not."""

    slow: Any
    whole: Any
    held: list[int]  # ports of connections older than the gap, closed in it
    kept: list[int]  # the same, closed after it
    path: Path
    netns: list[int]

    def beside_markers(self) -> int:
        """Others' events so near to a marker that each recorder may have its own order.

        Of one CPU's event the two are told one after the other: another's may come between.
        """
        table = self.whole.table
        table = table.filter(pc.not_equal(table["kind"], "existing"))
        times = table["time"].cast(pa.int64()).to_numpy()
        marked = self.rows(self.whole)["time"].cast(pa.int64()).to_numpy()
        near = (abs(times - marked[0]) < 50_000) | (abs(times - marked[-1]) < 50_000)
        others = ~np.isin(table["netns"].to_numpy(), self.netns)
        return int((near & others).sum())

    def rows(self, recording: Any) -> Any:
        """What happened between the two markers, in order."""
        table = recording.table
        table = table.filter(pc.not_equal(table["kind"], "existing"))
        ports = table["local_port"].to_pylist()
        listens = listening(table, self.netns).to_pylist()
        first, last = (
            next(n for n, listen in enumerate(listens) if listen and ports[n] == port)
            for port in (BEFORE, AFTER)
        )
        return table.slice(first, last - first + 1)


def listening(table: Any, netns: list[int]) -> Any:
    """Tell the rows at which a listener of ours begins: a marker."""
    begins = pc.and_(pc.equal(table["new_state"], "LISTEN"), pc.equal(table["kind"], "state"))
    return pc.and_(begins, pc.is_in(table["netns"], pa.array(netns, pa.uint32())))


def churn(duo: Duo, count: int) -> None:
    for _ in range(count // EACH):
        for near, far in duo.connect_many(EACH):
            near.close()
            far.close()


def holds(run: Run, kind: str) -> bool:
    """Whether rows of a kind, such as those of a snapshot, are in the file."""
    return bool(pc.any(pc.equal(run.read().table["kind"], kind)).as_py())


def lost_between(path: Path, netns: list[int]) -> tuple[int, int]:
    """Events lost before the marker BEFORE was written, and before AFTER was."""
    found = {BEFORE: -1, AFTER: -1}
    lost = 0
    with pa.ipc.open_stream(path) as reader:
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
            except (StopIteration, pa.ArrowInvalid):
                break
            begun = batch.filter(listening(batch, netns))
            for port in set(begun["local_port"].to_pylist()) & set(found):
                found[port] = int(metadata[b"lost"]) if port == BEFORE else lost
            lost = int(metadata[b"lost"])
    return found[BEFORE], found[AFTER] if found[AFTER] == lost else -1


def attempt(lab: Lab, folders: list[Path]) -> Gap | None:
    """One gap; None if the rest of the machine made the recorder lose events outside of it."""
    duo = Duo(lab)
    netns = [duo.pair.client.inode, duo.pair.server.inode]
    runs = [Run(folders[0], "--buffer-size", "1M"), Run(folders[1])]
    try:
        slow = runs[0]
        for run in runs:
            run.wait_ready()
        wait_until(lambda: holds(slow, "existing"), what=lambda: f"a snapshot; {slow.said}")
        held = duo.connect_many(2 * HELD)
        duo.server.listen(duo.address, BEFORE)
        wait_until(
            lambda: lost_between(slow.path, netns)[0] >= 0, what=lambda: f"{BEFORE}; {slow.said}"
        )
        slow.process.send_signal(signal.SIGSTOP)
        churn(duo, MADE)
        for near, far in held[:HELD]:
            near.close()
            far.close()
        duo.pair.wait_quiet()
        slow.process.send_signal(signal.SIGCONT)
        wait_until(lambda: slow.read().lost, what=lambda: f"lost events; {slow.said}")
        churn(duo, EACH)
        for near, far in held[HELD:]:
            near.close()
            far.close()
        duo.pair.wait_quiet()
        duo.server.listen(duo.address, AFTER)
        for run in runs:
            assert run.end(signal.SIGINT) == 0, run.said
    finally:
        for run in runs:
            run.kill()
    before, after = lost_between(slow.path, netns)
    if before or after <= 0:
        return None
    ports = [near.port for near, _ in held]
    read = [run.read() for run in runs]
    return Gap(
        read[0],
        read[1],
        ports[:HELD],
        ports[HELD:],
        slow.path,
        netns,
    )


@pytest.fixture(scope="module")
def gap(make_lab: Callable[[], Lab], tmp_path_factory: pytest.TempPathFactory) -> Gap:
    for _ in range(5):
        folders = [tmp_path_factory.mktemp(name) for name in ("slow", "whole")]
        with make_lab() as lab:
            found = attempt(lab, folders)
        if found is not None:
            return found
    pytest.fail("others on this machine made events faster than a buffer of 1 MB holds")


def test_recorded_and_lost_make_all(gap: Gap) -> None:
    assert gap.whole.lost == 0
    assert gap.slow.complete
    recorded, made = len(gap.rows(gap.slow)), len(gap.rows(gap.whole))
    assert gap.slow.lost > MADE
    assert abs(recorded + gap.slow.lost - made) <= gap.beside_markers()


def test_no_connection_is_made_up_across_the_gap(gap: Gap) -> None:
    truth = gap.whole.connections
    found = gap.slow.connections
    found = found[found["netns"].isin(gap.netns)]
    # A port that was chosen in the gap is not known.
    found = found[found[NAMES].notna().all(axis=1)]
    # Of one whose end was lost, a TIME_WAIT found later may be, or another's: it stands apart.
    alone = found["opened"].isna() & found["time_wait_s"].notna()
    assert not found[alone].duplicated(NAMES).any()
    assert not found[~alone].duplicated(NAMES).any()
    assert len(found) > 2 * EACH
    joined = found.merge(truth, how="left", on=NAMES, suffixes=("", "_true"))
    assert joined["connection_true"].notna().all()
    for column in [name for name in found if name.endswith("_s")]:
        excess = joined[column] - joined[f"{column}_true"].fillna(0)
        # Both look at the same event at slightly different times; censored: at most as long.
        assert not (excess > 0.05).any(), joined[excess > 0.05].T
    for column in ("outcome", "closed_by"):
        said = joined[joined[column].notna() & (joined[column] != "unknown")]
        wrong = said[said[column].astype(str) != said[f"{column}_true"].astype(str)]
        assert wrong.empty, wrong.T


def test_what_closed_in_the_gap_is_unknown_and_what_went_on_is_whole(gap: Gap) -> None:
    table = gap.slow.connections
    table = table[table["netns"].isin(gap.netns)]
    clients = table[(table["role"] == "client")].set_index("local_port")
    assert set(clients.loc[gap.held, "outcome"]) <= {"unknown", "finished"}
    assert "open" not in set(clients.loc[gap.held, "outcome"])
    assert set(clients.loc[gap.kept, "outcome"]) == {"finished"}
    assert set(clients.loc[gap.kept, "closed_by"]) == {"local"}


def test_report_says_so(gap: Gap, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", "--json", str(gap.path)])
    report = json.loads(capsys.readouterr().out)
    assert report["recording"]["lost"] == gap.slow.lost
    (finding,) = [each for each in report["findings"] if each["id"] == "events-lost"]
    (evidence,) = finding["evidence"]
    assert evidence["lost"] == gap.slow.lost
    assert report["recording"]["started"] < evidence["none_lost_after"]
    assert evidence["none_lost_after"] < report["recording"]["ended"]
    main(["report", str(gap.path)])
    assert f"{gap.slow.lost:,} LOST" in capsys.readouterr().out
