"""Any file at all: a recording, a part of one, or a RecordingError."""

import contextlib
import json
import os
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tcptrace.analysis import read
from tcptrace.analysis.observed import ALWAYS, NEVER
from tcptrace.analysis.recording import Recording
from tcptrace.tracer.errors import RecordingError
from tcptrace.tracer.schema import METADATA_KEY, SCHEMA

from .scenario import CLIENT_END, CURL, NGINX, SECOND, SERVER_END, START, Story, table_of

ENDED = START + 100 * SECOND


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


def write(
    path: Path,
    header: object,
    batches: list[tuple[pa.Table, dict[str, Any]]],
    schema: pa.Schema = SCHEMA,
) -> Path:
    """A file with any header and any metadata."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    schema = schema.with_metadata({METADATA_KEY: raw})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for table, metadata in batches:
            encoded = {
                key: value if isinstance(value, bytes) else json.dumps(value)
                for key, value in metadata.items()
            }
            parts = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=schema)]
            for part in parts:
                writer.write_batch(part, custom_metadata=encoded)
    return path


def use(recording: Recording) -> None:
    """Take everything a recording offers."""
    assert recording.complete == (recording.problem is None)
    assert recording.started <= recording.ended
    assert recording.lost >= 0
    assert len(recording.events) == len(recording.table)
    assert len(recording.connections) >= recording.connections["conversation"].nunique()
    assert len(recording.time_wait) <= len(recording.connections)


def test_a_complete_recording_has_no_problem(tmp_path: Path) -> None:
    told = story()
    recording = read(told.save(tmp_path / "whole.arrows"))
    assert recording.complete
    assert recording.problem is None
    assert recording.header["host"] == "here"
    assert recording.final["final"] is True
    assert recording.started.value == START
    assert recording.ended.value == told.now // 1000 * 1000 or recording.ended.value == told.now
    pd.testing.assert_frame_equal(recording.connections, told.tables().connections)
    pd.testing.assert_frame_equal(recording.time_wait, told.tables().time_wait)


def test_it_may_be_named_by_a_text(tmp_path: Path) -> None:
    assert len(read(str(story().save(tmp_path / "whole.arrows"))).connections) == 3


def test_a_recording_cut_off_at_any_byte_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    told = Story()
    told.socket(CLIENT_END).connect().to("CLOSE_WAIT")
    whole = told.save(tmp_path / "whole.arrows", batch=2).read_bytes()
    expected = read(tmp_path / "whole.arrows").table
    cut = tmp_path / "cut.arrows"
    cut.write_bytes(whole)
    lengths = set()
    for size in range(len(whole) - 1, -1, -1):
        os.truncate(cut, size)
        recording = read(cut)
        found = len(recording.table)
        if found not in lengths:
            use(recording)
            assert recording.table.equals(expected.slice(0, found))
        lengths.add(found)
        if found < len(expected):
            assert recording.problem
            assert recording.final == {}
    assert lengths == {0, 2, 3}


def test_an_empty_file_is_an_empty_recording_with_a_problem(tmp_path: Path) -> None:
    empty = tmp_path / "empty.arrows"
    empty.touch()
    recording = read(empty)
    assert recording.problem == "the file is empty"
    assert recording.header == {}
    use(recording)


def test_a_killed_recorders_file_says_so(tmp_path: Path) -> None:
    recording = read(story().save(tmp_path / "killed.arrows", final=False))
    assert recording.problem == "the recorder was stopped before it could finish"
    assert recording.ended.value == story().now
    use(recording)


@pytest.mark.parametrize(
    "content",
    [b"hello, world\n", b"\x7fELF" * 100, b"PK\x03\x04", b"\0" * 5000, b"{}", b"ARROW1\0\0" * 9],
)
def test_another_kind_of_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(content)
    with pytest.raises(RecordingError, match="not a tcptrace recording"):
        read(other)


def test_what_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read(tmp_path / "missing")
    with pytest.raises(RecordingError, match="not a file"):
        read(tmp_path)
    with pytest.raises(RecordingError):
        read(Path("/dev/null"))


def test_an_arrow_file_of_something_else_is_an_error(tmp_path: Path) -> None:
    other = tmp_path / "other.arrows"
    table = pa.table({"a": [1, 2]})
    with pa.OSFile(str(other), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(RecordingError, match="no tcptrace recording"):
        read(other)


@pytest.mark.parametrize("version", [0, 2, 99, -1, 10**30])
def test_another_format_is_an_error_that_says_which(tmp_path: Path, version: int) -> None:
    with pytest.raises(RecordingError, match=f"format {version}, this tcptrace reads 1"):
        read(write(tmp_path / "new.arrows", {"format": version}, []))


@pytest.mark.parametrize(
    "header",
    [
        [],
        ["format"],
        [["format", 1]],
        "format",
        1,
        None,
        {},
        {"format": None},
        {"format": "1"},
        {"format": True},
        {"format": 1.0},
        {"format": [1]},
        b"",
        b"{",
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        b'{"format": ' + b"1" * 5000 + b"}",
        b"NaN",
    ],
)
def test_a_header_that_is_none_of_ours_is_an_error(tmp_path: Path, header: object) -> None:
    with pytest.raises(RecordingError, match="no tcptrace recording"):
        read(write(tmp_path / "odd.arrows", header, []))


@pytest.mark.parametrize("name", SCHEMA.names)
def test_a_missing_column_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    schema = SCHEMA.remove(SCHEMA.get_field_index(name))
    with pytest.raises(RecordingError, match=f"wrong columns: {name}$"):
        read(write(tmp_path / "odd.arrows", {"format": 1}, [], schema))


@pytest.mark.parametrize("name", SCHEMA.names)
def test_a_column_of_another_type_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    schema = SCHEMA.set(SCHEMA.get_field_index(name), pa.field(name, pa.list_(pa.bool_())))
    with pytest.raises(RecordingError, match=f"wrong columns: {name}$"):
        read(write(tmp_path / "odd.arrows", {"format": 1}, [], schema))


@pytest.mark.parametrize("name", SCHEMA.names)
def test_a_column_there_twice_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    schema = SCHEMA.append(SCHEMA.field(name))
    with pytest.raises(RecordingError, match=f"wrong columns: {name}$"):
        read(write(tmp_path / "odd.arrows", {"format": 1}, [], schema))


def test_a_column_more_or_another_order_does_not_matter(tmp_path: Path) -> None:
    table = story().table
    table = table.select(SCHEMA.names[::-1]).append_column("more", pa.array(range(len(table))))
    path = write(tmp_path / "more.arrows", {"format": 1}, [(table, {})], table.schema)
    recording = read(path)
    assert recording.table.column_names == SCHEMA.names
    assert len(recording.connections) == 3


STRANGE: list[object] = [
    None,
    True,
    0,
    -1,
    10**30,
    1e308,
    float("nan"),
    "",
    "soon",
    "NaT",
    "now",
    "0001-01-01",
    "9999-12-31T23:59:59+23:59",
    "x" * 10_000,
    [],
    [[]],
    [1, 2],
    {},
    {"timer:timer_start": None},
    {"timer:timer_start": [True]},
    {"timer:timer_start": {"attached": "yes"}},
    {"0": None, "1": 7},
    {"TcpExt": {"TW": "many"}},
]
FIELDS = [
    "started",
    "hz",
    "probes",
    "reset_reasons",
    "sysctl",
    "mib",
    "host",
    "kernel",
    "netns",
    "filters",
    "command",
    "clock_offset_ns",
]


@pytest.mark.parametrize("name", FIELDS)
def test_a_strange_value_in_a_header_field_is_as_good_as_none(tmp_path: Path, name: str) -> None:
    told = story()
    told.socket(SERVER_END._replace(remote_port=40010)).accept().gone(by=NGINX).reset_sent(1)
    for value in STRANGE:
        header = told.header | {name: value}
        use(read(write(tmp_path / "odd.arrows", header, [(told.table, {"final": True})])))


@pytest.mark.parametrize("name", ["events", "lost", "final", "ended", "settling", "reason", "mib"])
def test_a_strange_value_in_a_batchs_metadata_is_as_good_as_none(tmp_path: Path, name: str) -> None:
    told = story()
    for value in STRANGE:
        use(read(write(tmp_path / "odd.arrows", told.header, [(told.table, {name: value})])))


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[" * 100_000])
def test_metadata_that_is_no_json_is_as_good_as_none(tmp_path: Path, value: bytes) -> None:
    told = story()
    metadata = {"lost": value, "final": value, "\u00fc": value}
    recording = read(write(tmp_path / "odd.arrows", told.header, [(told.table, metadata)]))
    assert (recording.lost, recording.complete) == (0, False)
    use(recording)


def test_names_this_version_does_not_know_are_no_events_of_ours(tmp_path: Path) -> None:
    told = story()
    told.emit("moon_phase", 1, "FULL", "NEW", CLIENT_END)
    told.emit("state", 1, "FULL", "NEW", CLIENT_END)
    recording = read(told.save(tmp_path / "new.arrows"))
    use(recording)
    assert recording.events["kind"].iloc[-2] == "moon_phase"


def test_nulls_where_none_may_be_are_damage(tmp_path: Path) -> None:
    for name in SCHEMA.names:
        schema = pa.schema([field.with_nullable(True) for field in SCHEMA])
        rows = [dict(row) for row in story().rows]
        rows[3][name] = None
        table = table_of(rows).cast(schema)
        recording = read(write(tmp_path / "odd.arrows", {"format": 1}, [(table, {})], schema))
        assert len(recording.table) == (len(rows) if name == "detail" else 0)
        use(recording)
        assert "damaged" in (recording.problem or "") or name == "detail"


@pytest.mark.parametrize("name", ["kind", "old_state", "new_state", "comm"])
@pytest.mark.parametrize("index", [-1, 2])
def test_words_that_a_dictionary_does_not_have_are_damage(
    tmp_path: Path, name: str, index: int
) -> None:
    table, place = story().table, SCHEMA.get_field_index(name)
    field = SCHEMA.field(place)
    codes = pa.array([0, 1, *[index] * (len(table) - 2)], field.type.index_type)
    words = pa.array(["state", "ESTABLISHED"])
    odd = pa.DictionaryArray.from_arrays(codes, words, safe=False)
    table = table.set_column(place, field, odd)
    recording = read(write(tmp_path / "odd.arrows", {"format": 1}, [(table, {})]))
    assert (len(recording.table), recording.complete) == (0, False)
    use(recording)


@pytest.mark.parametrize("time", [NEVER, NEVER + 1, -1, 0, ALWAYS])
def test_times_at_the_edge_of_what_there_is(tmp_path: Path, time: int) -> None:
    rows = [dict(row) for row in story().rows]
    rows[2]["time"] = time
    use(read(write(tmp_path / "odd.arrows", {"format": 1}, [(table_of(rows), {})])))


@pytest.mark.parametrize("detail", [NEVER, -1, 0, 1 << 40, ALWAYS])
def test_details_at_the_edge_of_what_there_is(tmp_path: Path, detail: int) -> None:
    rows = [dict(row, detail=detail) for row in story().rows]
    use(read(write(tmp_path / "odd.arrows", story().header, [(table_of(rows), {})])))


@pytest.mark.parametrize("words", [["state", "state"], ["", "state"], ["state", None], []])
def test_dictionaries_may_hold_repeats_but_no_nulls(
    tmp_path: Path, words: list[str | None]
) -> None:
    table = story().table if words else story().table.slice(0, 0)
    codes = pa.array([index % 2 for index in range(len(table))], pa.int8())
    odd = pa.DictionaryArray.from_arrays(codes, pa.array(words, pa.string()))
    place = SCHEMA.get_field_index("kind")
    table = table.set_column(place, SCHEMA.field(place), odd)
    recording = read(write(tmp_path / "odd.arrows", {"format": 1}, [(table, {})]))
    assert len(recording.table) == (0 if None in words else len(table))
    use(recording)


def test_damaged_bytes_are_never_worse_than_damage(tmp_path: Path) -> None:
    whole = story().save(tmp_path / "whole.arrows", batch=8).read_bytes()
    damaged = tmp_path / "damaged.arrows"
    for seed in range(150):
        chance = random.Random(seed)  # noqa: S311
        content = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 8])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        damaged.write_bytes(content)
        with contextlib.suppress(RecordingError):
            use(read(damaged))


def test_losses_are_counted_up_to_what_was_read_next(tmp_path: Path) -> None:
    told = story()
    parts = [told.table.slice(place, 3) for place in (0, 3, 6)]
    lost = [0, 5, 5]
    batches = [(part, {"lost": count}) for part, count in zip(parts, lost, strict=True)]
    observed = read(write(tmp_path / "lost.arrows", told.header, batches)).observed
    assert observed.lost == 5
    assert observed.lost_until == told.rows[8]["time"]


def test_losses_counted_last_may_have_been_at_the_very_end(tmp_path: Path) -> None:
    told = story()
    path = write(tmp_path / "lost.arrows", told.header, [(told.table, {"lost": 2})])
    assert read(path).observed.lost_until >= told.now


def test_reading_twice_gives_the_same_and_changes_nothing(tmp_path: Path) -> None:
    path = story().save(tmp_path / "whole.arrows")
    before = path.read_bytes()
    recording = read(path)
    header, table = json.dumps(recording.header), recording.table.slice(0)
    first = recording.connections.copy()
    again = read(path)
    pd.testing.assert_frame_equal(first, again.connections)
    use(recording)
    assert recording.table.equals(table)
    assert json.dumps(recording.header) == header
    assert path.read_bytes() == before
    assert recording.connections is recording.connections
