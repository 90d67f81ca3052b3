"""Whatever a file holds: a report of it or one line, soon, in bounded memory, harmless to show.

`make fuzz` runs many more cases. A failure names its own: with that in TCPTRACE_FUZZ_CASE it is
tried again, alone.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import signal
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcptrace.analysis import read
from tcptrace.tracer.cli import cli
from tcptrace.tracer.errors import RecordingError, TcptraceError

from . import hostile

CASES = int(os.environ.get("TCPTRACE_FUZZ_CASES", "320"))
SHARDS = 8
#: Of so many cases one is given to a command, by turns; of the others the tables are made. No
#: divisor of the number of ways: else some never met a command.
COMMAND_EVERY = 3
#: Seconds of CPU time a case may take: tens of times what the longest needs.
PATIENCE = 60
#: Bytes this process may take up in all, ever: pandas and pyarrow alone take 200 MB.
MEMORY = 2 << 30

FORMULAS = ("=", "+", "-", "@", "\t", "\r")

USES: tuple[tuple[str, ...], ...] = (
    ("report",),
    ("timeline",),
    ("export",),
    ("report", "--json"),
    ("export", "--table", "events"),
    ("export", "--format", "perfetto"),
    ("report", "--by", "netns", "-v"),
    ("timeline", "--most", "50"),
    ("export", "--format", "jsonl", "--table", "time_wait"),
    ("report", "--html", "OUT", "--force"),
    ("export", "--format", "parquet", "-o", "OUT", "--force"),
    ("export", "--format", "jsonl", "--table", "events"),
    ("report", "--by", "service", "--port", "80"),
    ("timeline", "--address", "10.0.0.0/8"),
)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"longer than {PATIENCE} s")


@pytest.fixture
def _watched() -> Iterator[None]:
    before = signal.signal(signal.SIGPROF, _too_long)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def harmless(text: str) -> bool:
    """No character that a terminal acts upon."""
    return all(
        character in "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for character in text
    )


def check_output(use: tuple[str, ...], out: str, said: str, page: Path) -> None:
    assert harmless(said), said
    assert "Traceback" not in said
    if use[0] in ("report", "timeline") and "--html" not in use:
        assert harmless(out), out
    if "--json" in use or "jsonl" in use:
        assert out.isascii()
        for each in [out] if "--json" in use else out.splitlines():
            if each:
                json.loads(each)
    if use[0] == "export" and len(use) < 4 and "--format" not in use:
        for cell in (cell for row in csv.reader(io.StringIO(out)) for cell in row):
            assert not cell.startswith(FORMULAS) or re.fullmatch(r"-[\d.e+-]+", cell), cell
    if "--html" in use and page.exists():
        html = page.read_text()
        for name in ("<script>alert(1)", "\x1b", "\u202e"):
            assert name not in html
        assert html.count("</script>") == html.count("<script")


def try_case(number: int, folder: Path) -> None:
    path, page = folder / "hostile.arrows", folder / "out"
    way = hostile.make(number, path)
    use = USES[number // COMMAND_EVERY % len(USES)]
    what = f"TCPTRACE_FUZZ_CASE={number}: {way}, {' '.join(use)}"
    words = [str(page) if word == "OUT" else word for word in use]
    page.unlink(missing_ok=True)
    if number % COMMAND_EVERY:
        return use_tables(path, what)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    done = CliRunner().invoke(cli, [words[0], str(path), *words[1:]])
    signal.setitimer(signal.ITIMER_PROF, 0)
    if done.exception is not None:
        refused = isinstance(done.exception, TcptraceError)
        refused |= isinstance(done.exception, SystemExit) and done.exit_code in (0, 1)
        if not refused:
            raise AssertionError(what) from done.exception
        assert "\n" not in str(done.exception), what
    try:
        check_output(use, done.stdout, done.stderr, page)
    except (AssertionError, ValueError) as error:
        raise AssertionError(f"{what}: {error}") from error
    return check_memory(what)


def use_tables(path: Path, what: str) -> None:
    """What every command does first, and takes least time."""
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    refused = ""
    try:
        recording = read(path)
        assert len(recording.events) == len(recording.table)
        assert len(recording.time_wait) <= len(recording.connections)
    except RecordingError as error:
        refused = str(error)
    except Exception as error:
        raise AssertionError(what) from error
    assert "\n" not in refused, what
    signal.setitimer(signal.ITIMER_PROF, 0)
    check_memory(what)


def check_memory(what: str) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    assert used < MEMORY, f"{what}: {used >> 20} MB"


@pytest.mark.usefixtures("_watched")
@pytest.mark.parametrize("shard", range(SHARDS))
def test_any_recording_is_reported_or_refused_in_one_line(shard: int, tmp_path: Path) -> None:
    one = os.environ.get("TCPTRACE_FUZZ_CASE")
    wanted = range(CASES) if one is None else [int(one)]
    for number in wanted[shard::SHARDS]:
        try_case(number, tmp_path)


#: Any JSON at all; among the keys those that mean something.
KEYS = st.sampled_from([*hostile.HEADER_FIELDS, *hostile.BATCH_FIELDS, "TcpExt", "TW", "attached"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(header=st.dictionaries(KEYS, JSON), metadata=st.dictionaries(KEYS, JSON))
def test_any_json_in_header_and_metadata_does_no_harm(
    header: dict[str, Any], metadata: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "any.arrows"
    path.write_bytes(hostile.with_words(header | {"format": 1}, metadata))
    for use in (("report", "--json"), ("report", "--by", "unit")):
        done = CliRunner().invoke(cli, [use[0], str(path), *use[1:]])
        assert done.exit_code == 0, done.exception
        check_output(use, done.stdout, done.stderr, tmp_path)
