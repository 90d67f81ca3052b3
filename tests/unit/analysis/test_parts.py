"""The files of a rotated recording, read as one; what is missing of them is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tcptrace.analysis import read
from tcptrace.analysis.parts import find_parts
from tcptrace.tracer.cli import main
from tcptrace.tracer.errors import RecordingError
from tcptrace.tracer.parts import ROTATED, base_path, part_path, parts_beside
from tcptrace.tracer.schema import METADATA_KEY, SCHEMA

from .scenario import CLIENT_END, CURL, NGINX, SERVER_END, START, Story

CUTS = (5, 9, 13)


def story() -> Story:
    told = Story()
    near, far = told.socket(CLIENT_END).connect(), told.socket(SERVER_END).accept()
    told.after(1)
    near.close(CURL)
    far.to("CLOSE_WAIT").to("LAST_ACK", by=NGINX)
    wait = near.time_wait()
    far.gone(fin=True)
    told.socket(SERVER_END._replace(remote_port=40009)).accept()
    told.after(60.8)
    wait.expire()
    return told


def encoded(totals: dict[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in totals.items()}


def save_set(
    told: Story, folder: Path, *, lost: tuple[int, ...] = (0, 0, 0, 0), set_id: str = "a1"
) -> list[Path]:
    """Write a story as a set of four files, as the recorder does; ``lost``: in each."""
    table, paths = told.table, []
    starts = (0, *CUTS)
    times = table["time"].cast(pa.int64()).to_pylist()
    for place, (start, end) in enumerate(zip(starts, (*CUTS, len(table)), strict=True)):
        last = end == len(table)
        began = START if not place else times[start] - 500
        part = {"id": set_id, "number": place + 1, "events": start, "lost": sum(lost[:place])}
        header = told.header | {"started": iso(began), "set": part}
        schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(header)})
        path = part_path(folder / "run.arrows", place + 1)
        totals = {"events": end - start, "lost": lost[place]}
        final = {
            "final": True,
            "ended": iso(told.now if last else times[end] - 500),
            "reason": "Ctrl-C" if last else ROTATED,
        }
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for batch in table.slice(start, end - start).combine_chunks().to_batches():
                writer.write_batch(batch, custom_metadata=encoded(totals))
            empty = pa.RecordBatch.from_pylist([], schema=SCHEMA)
            writer.write_batch(empty, custom_metadata=encoded(totals | final))
        paths.append(path)
    return paths


def iso(time: int) -> str:
    return pd.Timestamp(time, tz="UTC").isoformat()


def test_names_of_a_set(tmp_path: Path) -> None:
    base = tmp_path / "run.v2.arrows"
    assert part_path(base, 7).name == "run.v2.0007.arrows"
    assert part_path(tmp_path / "run", 12345).name == "run.12345"
    assert base_path(part_path(base, 7)) == base
    for number in (10000, 2, 1):
        part_path(base, number).touch()
    for other in ("run.v2.arrows", "run.v2.01.arrows", "run.v2.x001.arrows", "run.0001.arrows"):
        (tmp_path / other).touch()
    assert parts_beside(base) == [part_path(base, number) for number in (1, 2, 10000)]


@pytest.mark.parametrize("how", ["name", "files", "shuffled"])
def test_a_set_is_read_as_one_and_connections_are_whole(tmp_path: Path, how: str) -> None:
    told = story()
    paths = save_set(told, tmp_path)
    given = {"name": tmp_path / "run.arrows", "files": paths, "shuffled": paths[::-1]}[how]
    recording = read(given)
    assert recording.complete
    assert recording.path.name == "run.arrows"
    assert recording.final["reason"] == "Ctrl-C"
    assert (recording.started.value, recording.ended.value) == (START, told.now)
    assert recording.lost == 0
    pd.testing.assert_frame_equal(recording.connections, told.tables().connections)
    pd.testing.assert_frame_equal(recording.time_wait, told.tables().time_wait)


def test_one_file_of_a_set_stands_for_itself_and_says_so(tmp_path: Path) -> None:
    paths = save_set(story(), tmp_path)
    recording = read(paths[1])
    assert recording.path == paths[1]
    assert len(recording.table) == CUTS[1] - CUTS[0]
    assert "goes on after file 2" in str(recording.problem)


def test_first_files_gone_leave_a_recording_that_begins_later(tmp_path: Path) -> None:
    paths = save_set(story(), tmp_path)
    paths[0].unlink()
    recording = read(tmp_path / "run.arrows")
    assert recording.complete
    assert recording.started.value > START
    assert recording.lost == 0


def test_missing_file_in_between_is_said_and_its_events_are_lost(tmp_path: Path) -> None:
    paths = save_set(story(), tmp_path, lost=(0, 3, 0, 0))
    paths[1].unlink()
    recording = read(tmp_path / "run.arrows")
    assert recording.problem == "file 2 of the set is missing"
    assert recording.lost == CUTS[1] - CUTS[0] + 3
    assert recording.observed.lost_until == read(paths[2]).started.value
    paths[2].unlink()
    assert read(tmp_path / "run.arrows").problem == "files 2 to 3 of the set are missing"
    # What was open before the gap may have ended in it.
    assert "open" not in set(read(paths[:1] + paths[3:]).connections["outcome"])


def test_missing_last_file_is_said(tmp_path: Path) -> None:
    save_set(story(), tmp_path)[3].unlink()
    problem = read(tmp_path / "run.arrows").problem
    assert problem == "the set goes on after file 3, which is the last one here"


@pytest.mark.parametrize("cut", [0, 3, 100, 2000, -40])
def test_any_file_cut_off_leaves_the_others_readable(tmp_path: Path, cut: int) -> None:
    paths = save_set(story(), tmp_path)
    for path in paths[1], paths[3]:
        path.write_bytes(path.read_bytes()[:cut])
    recording = read(tmp_path / "run.arrows")
    assert not recording.complete
    assert CUTS[0] + CUTS[2] - CUTS[1] <= len(recording.table)
    assert recording.connections["connection"].is_unique
    assert not recording.final


def test_losses_of_all_files_are_added_up(tmp_path: Path) -> None:
    save_set(story(), tmp_path, lost=(2, 0, 5, 0))
    recording = read(tmp_path / "run.arrows")
    assert recording.complete
    assert recording.lost == 7
    # The third file's were lost before the fourth began.
    assert recording.observed.lost_until == read(tmp_path / "run.0004.arrows").started.value


def test_report_tells_sets_and_single_files_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = story()
    single = told.save(tmp_path / "single.arrows")
    others = tmp_path / "other"
    others.mkdir()
    paths = save_set(told, tmp_path) + save_set(told, others, set_id="b2")
    found = find_parts([paths[5], single, *paths])
    assert [len(parts.paths) for parts in found] == [4, 1, 4]
    main(["report", "--json", *map(str, [single, *paths[:4]])])
    reports = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [report["recording"]["events"] for report in reports] == [len(told.table)] * 2


def test_export_and_timeline_read_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = story()
    paths = save_set(told, tmp_path)
    for words in (
        ["export", "--table", "events", str(tmp_path / "run.arrows")],
        ["export", "--table", "events", *map(str, paths)],
    ):
        main(words)
        assert len(capsys.readouterr().out.splitlines()) == len(told.table) + 1
    main(["timeline", *map(str, paths)])
    assert "TIME_WAIT expired" in capsys.readouterr().out


def test_two_recordings_are_not_read_as_one(tmp_path: Path) -> None:
    told = story()
    one, other = told.save(tmp_path / "one.arrows"), told.save(tmp_path / "other.arrows")
    with pytest.raises(RecordingError, match=r"other\.arrows: not of the same recording"):
        read([one, other])
    paths = save_set(told, tmp_path)
    (tmp_path / "copy.arrows").write_bytes(paths[0].read_bytes())
    with pytest.raises(RecordingError, match="the same part of its set"):
        read([*paths, tmp_path / "copy.arrows"])


@pytest.mark.parametrize(
    "part", [7, {}, {"id": "a"}, {"id": 1, "number": 1, "events": 0, "lost": 0}, {"id": None}]
)
def test_nonsense_about_a_set_is_not_believed(tmp_path: Path, part: object) -> None:
    told = story()
    path = told.save(tmp_path / "run.arrows")
    schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(told.header | {"set": part})})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        writer.write_table(told.table)
    assert len(read(path).table) == len(told.table)
