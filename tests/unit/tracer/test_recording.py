"""What the writer leaves in the file, whatever happens to it afterwards."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tcptrace.tracer.convert import to_batch
from tcptrace.tracer.errors import OutputError
from tcptrace.tracer.recording import RecordingWriter
from tcptrace.tracer.schema import FORMAT, METADATA_KEY, SCHEMA

from .events import End, batch

HEADER = {"format": FORMAT, "host": "here"}
FINAL = {"ended": "2026-01-01T00:00:00Z", "reason": "Ctrl-C", "mib": {"Tcp": {"InSegs": 1}}}


def rows(count: int) -> Any:
    end = End()
    return to_batch(batch(*(end.state(i, "CLOSE", "SYN_SENT") for i in range(count))), 0)


def write(path: Path, *counts: int, finish: bool = True) -> RecordingWriter:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    writer = RecordingWriter(descriptor, str(path), HEADER)
    seen = 0
    for count in counts:
        seen += count
        writer.write(rows(count), seen, lost=0)
    if finish:
        writer.finish(seen, 7, FINAL)
    os.close(descriptor)
    return writer


def read(data: bytes) -> tuple[dict[str, Any], list[tuple[int, dict[str, Any]]]]:
    """The header, and rows and metadata of each batch that can be read."""
    reader = pa.ipc.open_stream(io.BytesIO(data))
    header = json.loads(reader.schema.metadata[METADATA_KEY])
    found = []
    while True:
        try:
            got, metadata = reader.read_next_batch_with_custom_metadata()
        except (StopIteration, pa.ArrowInvalid, OSError):
            return header, found
        decoded = {key.decode(): json.loads(value) for key, value in dict(metadata).items()}
        found.append((len(got), decoded))


def test_header_totals_and_final_are_read_back(tmp_path: Path) -> None:
    writer = write(tmp_path / "r", 3, 5)
    data = (tmp_path / "r").read_bytes()
    header, batches = read(data)
    assert header == HEADER
    assert batches == [
        (0, {"events": 0, "lost": 0}),
        (3, {"events": 3, "lost": 0}),
        (5, {"events": 8, "lost": 0}),
        (0, {"events": 8, "lost": 7, "final": True} | FINAL),
    ]
    assert (writer.events, writer.size) == (8, len(data))


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    events = batch(End(comm="caf\u00e9").opens(5), End(socket=2**63).closes_second(9))
    descriptor = os.open(tmp_path / "r", os.O_WRONLY | os.O_CREAT)
    writer = RecordingWriter(descriptor, "r", HEADER)
    writer.write(to_batch(events, 1_000), len(events), 0)
    os.close(descriptor)
    table = pa.ipc.open_stream(tmp_path / "r").read_all()
    assert table.schema.equals(SCHEMA)
    assert table.equals(pa.Table.from_batches([to_batch(events, 1_000)]))
    assert table["comm"].to_pylist()[0] == "caf\\xe9" or table["comm"].to_pylist()[0] == "caf\u00e9"


def test_recording_killed_at_once_has_its_header(tmp_path: Path) -> None:
    write(tmp_path / "r", finish=False)
    header, batches = read((tmp_path / "r").read_bytes())
    assert header == HEADER
    assert batches == [(0, {"events": 0, "lost": 0})]


def test_flushed_batches_are_in_the_file_before_the_next(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "r", os.O_WRONLY | os.O_CREAT)
    writer = RecordingWriter(descriptor, "r", HEADER)
    for seen in (4, 8):
        writer.write(rows(4), seen, 0)
        assert sum(n for n, _ in read((tmp_path / "r").read_bytes())[1]) == seen
    os.close(descriptor)


def test_file_cut_at_any_byte_is_read_to_its_last_whole_batch(tmp_path: Path) -> None:
    start, first = (write(tmp_path / "part", *counts, finish=False).size for counts in ((), (4,)))
    write(tmp_path / "r", 4, 3)
    data = (tmp_path / "r").read_bytes()
    assert data.startswith((tmp_path / "part").read_bytes())
    read_rows = [sum(n for n, _ in read(data[:size])[1]) for size in range(start, len(data) + 1)]
    assert read_rows[: first - start] == [0] * (first - start)
    assert read_rows[first - start] == 4
    assert read_rows == sorted(read_rows)
    assert set(read_rows) == {0, 4, 7}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_disk_error_keeps_whole_batches_and_says_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "r"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    writer = RecordingWriter(descriptor, str(path), HEADER)
    writer.write(rows(6), 6, 0)
    real = os.write
    calls = []

    def half_then_fail(fd: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return real(fd, data[: len(data) // 2])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", half_then_fail)
    with pytest.raises(OutputError, match="the 6 events before it are in the file") as caught:
        writer.write(rows(9), 15, 0)
    assert os.strerror(code) in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    os.close(descriptor)
    assert len(calls) == 2
    data = path.read_bytes()
    assert len(data) == writer.size
    assert [n for n, _ in read(data)[1]] == [0, 6]


def test_removed_file_ends_the_recording(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "r", os.O_WRONLY | os.O_CREAT)
    writer = RecordingWriter(descriptor, "r", HEADER)
    (tmp_path / "r").rename(tmp_path / "elsewhere")
    writer.write(rows(1), 1, 0)
    (tmp_path / "elsewhere").unlink()
    with pytest.raises(OutputError, match="was removed"):
        writer.write(rows(1), 2, 0)
    os.close(descriptor)


def test_full_disk_at_the_very_start_is_said() -> None:
    with Path("/dev/full").open("wb") as full, pytest.raises(OutputError, match="nothing was"):
        RecordingWriter(full.fileno(), "/dev/full", HEADER)


def test_writing_never_loads_pandas() -> None:
    program = (
        "import os, sys, numpy as np\n"
        "from tcptrace.tracer.convert import to_batch\n"
        "from tcptrace.tracer.layout import EVENT\n"
        "from tcptrace.tracer.recording import RecordingWriter\n"
        "writer = RecordingWriter(os.open(os.devnull, os.O_WRONLY), '', {})\n"
        "writer.write(to_batch(np.zeros(9, EVENT), 0), 9, 0)\n"
        "print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
