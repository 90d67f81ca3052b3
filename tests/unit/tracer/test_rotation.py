"""What bounds a recording: a file's size, the next file, how many are kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tcptrace.analysis import read
from tcptrace.tracer import rotation as module
from tcptrace.tracer.convert import to_batch
from tcptrace.tracer.errors import OutputError
from tcptrace.tracer.header import kernel_counters
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.limited import LimitedWriter
from tcptrace.tracer.output import NewFile
from tcptrace.tracer.parts import ROTATED, part_path, parts_beside
from tcptrace.tracer.rotation import RotatingWriter, Rotation, others_in_place
from tcptrace.tracer.schema import FORMAT, KIND, STATE

STARTED = 1_700_000_000_000_000_000
HEADER = {"format": FORMAT, "host": "here", "mib": {"Tcp": {"InSegs": 1}}, "filters": {}}
HEADER |= {"started": "2023-11-14T22:13:20.000000000Z"}
# As large as a real one, which the sizes here are made for.
ROTATED_HEADER = HEADER | {"mib": kernel_counters()}
FINAL = {"ended": "2023-11-14T23:13:20Z", "reason": "Ctrl-C", "mib": {"Tcp": {"InSegs": 2}}}


def rows(first: int, count: int, seed: int = 0) -> Any:
    """Events numbered by their sockets, otherwise such that they do not compress."""
    random = np.random.default_rng(seed)
    events = np.zeros(count, EVENT)
    events["socket"] = np.arange(first, first + count)
    events["time"] = STARTED + np.arange(first, first + count) * 1000
    events["kind"] = KIND["state"]
    events["old_state"], events["new_state"] = STATE["CLOSE"], STATE["SYN_SENT"]
    events["remote_address"] = np.frombuffer(random.bytes(16 * count), "V16")
    events["cgroup"] = random.integers(0, 2**63, count)
    events["comm"] = b"same"
    return to_batch(events, 0)


class Clock:
    """The time now, for a writer; and how long a file was written to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def __call__(self) -> int:
        return STARTED + 3600 * 10**9


@contextlib.contextmanager
def rotating(folder: Path, **wanted: Any) -> Iterator[RotatingWriter]:
    path = folder / "run.arrows"
    with (
        NewFile(part_path(path, 1)) as first,
        RotatingWriter(path, first, ROTATED_HEADER, Rotation(**wanted), Clock()) as writer,
    ):
        first.publish()
        yield writer


def sockets(path: Path | list[Path]) -> list[int]:
    found: list[int] = read(path).table["socket"].to_pylist()
    return found


def test_files_are_bounded_and_hold_everything_once(tmp_path: Path) -> None:
    limit, batches, each = 200 << 10, 40, 1000
    with rotating(tmp_path, size=limit) as writer:
        for place in range(batches):
            writer.write(rows(place * each, each, place), (place + 1) * each, lost=0)
        writer.finish(batches * each, 0, FINAL)
    files = parts_beside(tmp_path / "run.arrows")
    sizes = [file.stat().st_size for file in files]
    assert writer.number == len(files) > 3
    assert max(sizes) <= limit
    assert min(sizes[:-1]) > limit // 2
    assert (writer.size, writer.events) == (sum(sizes), batches * each)
    assert sockets(tmp_path / "run.arrows") == list(range(batches * each))
    recording = read(tmp_path / "run.arrows")
    assert recording.complete
    assert recording.lost == 0


def test_each_file_is_a_whole_recording_and_knows_its_place(tmp_path: Path) -> None:
    with rotating(tmp_path, size=100 << 10) as writer:
        for place in range(6):
            writer.write(rows(place * 1000, 1000, place), (place + 1) * 1000, lost=place)
        writer.finish(6000, 7, FINAL)
    files = parts_beside(tmp_path / "run.arrows")
    parts = [read(file) for file in files]
    assert len({part.header["set"]["id"] for part in parts}) == 1
    assert [part.header["set"]["number"] for part in parts] == list(range(1, len(parts) + 1))
    assert [part.final["reason"] for part in parts] == [ROTATED] * (len(parts) - 1) + ["Ctrl-C"]
    events = lost = 0
    for part in parts:
        assert part.header["set"]["events"] == events
        assert part.header["set"]["lost"] == lost
        assert part.started.value <= part.table["time"][0].value
        events += len(part.table)
        lost += part.lost
        assert part.final["events"] == len(part.table)
    assert (events, lost) == (6000, 7)
    assert read(tmp_path / "run.arrows").lost == 7
    for one, following in pairwise(parts):
        assert one.ended <= following.started


def test_only_the_newest_are_kept_at_any_time(tmp_path: Path) -> None:
    with rotating(tmp_path, size=100 << 10, keep=3) as writer:
        for place in range(30):
            writer.write(rows(place * 1000, 1000, place), (place + 1) * 1000, lost=0)
            assert len(parts_beside(tmp_path / "run.arrows")) <= 3
        writer.finish(30_000, 0, FINAL)
    assert writer.number > 6
    files = parts_beside(tmp_path / "run.arrows")
    assert files == [part_path(tmp_path / "run.arrows", writer.number - n) for n in (2, 1, 0)]
    kept = sockets(files)
    assert kept == list(range(kept[0], 30_000))
    assert read(files).complete


def test_what_took_the_place_of_an_old_file_is_not_removed(tmp_path: Path) -> None:
    with rotating(tmp_path, size=100 << 10, keep=2) as writer:
        other = part_path(tmp_path / "run.arrows", 1)
        aside = tmp_path / "aside"  # keeps the inode from being given to another
        other.rename(aside)
        other.write_text("precious")
        for place in range(10):
            writer.write(rows(place * 1000, 1000, place), (place + 1) * 1000, lost=0)
        writer.finish(10_000, 0, FINAL)
    assert other.read_text() == "precious"


def test_time_begins_the_next_file_even_if_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock.monotonic)
    with rotating(tmp_path, seconds=60) as writer:
        writer.write(rows(0, 10), 10, lost=0)
        clock.seconds = 59
        assert not writer.due
        writer.write(rows(10, 10), 20, lost=0)
        assert writer.number == 1
        clock.seconds = 60
        assert writer.due
        writer.write(rows(0, 0), 20, lost=0)
        assert (writer.number, writer.due) == (2, False)
        clock.seconds = 130
        writer.write(rows(20, 10), 30, lost=0)
        writer.finish(30, 0, FINAL)
    assert [len(read(file).table) for file in parts_beside(tmp_path / "run.arrows")] == [20, 0, 10]
    assert sockets(tmp_path / "run.arrows") == list(range(30))
    assert read(tmp_path / "run.arrows").complete


def test_counters_of_a_file_go_on_where_those_of_the_one_before_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = count()
    monkeypatch.setattr(module, "kernel_counters", lambda: {"Tcp": {"InSegs": next(numbers)}})
    with rotating(tmp_path, size=20 << 10) as writer:
        for place in range(3):
            writer.write(rows(place * 1000, 1000, place), (place + 1) * 1000, lost=0)
        writer.finish(3000, 0, FINAL)
    files = [read(file) for file in parts_beside(tmp_path / "run.arrows")]
    # Those the recording began with, not read again when its first file is begun.
    assert files[0].header["mib"] == ROTATED_HEADER["mib"]
    for one, following in pairwise(files):
        assert following.header["mib"] == one.final["mib"]
    assert files[-1].final["mib"] == FINAL["mib"]


def test_batch_larger_than_a_file_is_written_all_the_same(tmp_path: Path) -> None:
    with rotating(tmp_path, size=20 << 10) as writer:
        for place in range(3):
            writer.write(rows(place * 1000, 1000, place), (place + 1) * 1000, lost=0)
        writer.finish(3000, 0, FINAL)
    assert writer.number == 3
    assert sockets(tmp_path / "run.arrows") == list(range(3000))


def test_next_file_that_cannot_be_made_ends_it_with_everything_in_the_last(tmp_path: Path) -> None:
    part_path(tmp_path / "run.arrows", 2).mkdir()
    with rotating(tmp_path, size=100 << 10) as writer:
        for place in range(2):
            writer.write(rows(place * 1000, 1000, place), (place + 1) * 1000, lost=0)
        assert writer.number == 1
        with pytest.raises(OutputError, match=r"recording stopped, the 3,000 events"):
            writer.write(rows(2000, 1000, 2), 3000, lost=0)
    assert sockets(part_path(tmp_path / "run.arrows", 1)) == list(range(3000))


def test_recording_in_the_way_is_refused_or_given_up_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "run.arrows"
    assert others_in_place(path, force=False) == []
    part_path(path, 3).touch()
    with pytest.raises(OutputError, match=r"run\.0003\.arrows exists: use --force"):
        others_in_place(path, force=False)
    path.touch()
    assert others_in_place(path, force=True) == [path, part_path(path, 3)]
    part_path(path, 4).symlink_to(path)
    with pytest.raises(OutputError, match="no regular file"):
        others_in_place(path, force=True)


@pytest.mark.parametrize("limit", [40 << 10, 150 << 10, 1 << 20])
@pytest.mark.parametrize("each", [10, 700, 20_000])
def test_limit_is_kept_and_nearly_reached(tmp_path: Path, limit: int, each: int) -> None:
    descriptor = os.open(tmp_path / "run.arrows", os.O_WRONLY | os.O_CREAT)
    writer = LimitedWriter(descriptor, "run.arrows", HEADER, limit)
    seen = 0
    while not writer.full:
        writer.write(rows(seen, each, seen), seen + each, lost=0)
        seen += each
    before = writer.size
    writer.write(rows(seen, each), seen, lost=0)
    writer.finish(seen, 0, FINAL)
    os.close(descriptor)
    size = (tmp_path / "run.arrows").stat().st_size
    assert limit * 0.75 < size <= limit
    # What does not fit is all at the end, and where that begins is known.
    found = sockets(tmp_path / "run.arrows")
    assert found == list(range(len(found)))
    assert seen - each <= len(found) < seen
    assert writer.until == STARTED + (len(found) - 1) * 1000
    assert before < size
