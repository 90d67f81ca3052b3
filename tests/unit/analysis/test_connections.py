"""The tables' columns and types, whatever was recorded."""

import numpy as np
import pandas as pd
import pytest

from tcptrace.analysis.connections import build_tables
from tcptrace.analysis.observed import NEVER, Observed
from tcptrace.tracer.schema import SCHEMA

from .scenario import CLIENT_END, CURL, START, Story
from .simulator import simulate

TEXT, TIME, WHOLE = "category", "datetime64[ns, UTC]", "Int64"
CONNECTIONS = {
    "connection": "int64",
    "conversation": WHOLE,
    "opened": TIME,
    "established": TIME,
    "closed": TIME,
    "role": TEXT,
    "family": "int8",
    "local_address": TEXT,
    "local_port": WHOLE,
    "remote_address": TEXT,
    "remote_port": WHOLE,
    "netns": WHOLE,
    "cgroup": WHOLE,
    "pid": WHOLE,
    "comm": TEXT,
    "closed_by": TEXT,
    "outcome": TEXT,
    "state": TEXT,
    "error": TEXT,
    "reset_reason": TEXT,
    "syn_sent_s": "float64",
    "syn_recv_s": "float64",
    "established_s": "float64",
    "fin_wait_1_s": "float64",
    "fin_wait_2_s": "float64",
    "closing_s": "float64",
    "close_wait_s": "float64",
    "last_ack_s": "float64",
    "time_wait_s": "float64",
    "time_wait_began": TIME,
    "time_wait_end": TEXT,
    "time_wait_restarts": WHOLE,
    "censored": TEXT,
}
SHARED = [
    "connection",
    "conversation",
    "role",
    "family",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "netns",
    "cgroup",
    "pid",
    "comm",
]
TIME_WAIT = {name: CONNECTIONS[name] for name in SHARED} | {
    "began": TIME,
    "ended": TIME,
    "lived_s": "float64",
    "end": TEXT,
    "restarts": WHOLE,
    "censored": TEXT,
}


def types(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


@pytest.mark.parametrize("header", [{}, {"hz": 250}])
def test_no_events_make_empty_tables_of_the_right_types(header: dict[str, int]) -> None:
    tables = build_tables(SCHEMA.empty_table(), header, Observed(START, START, START, 0, NEVER))
    assert types(tables.connections) == CONNECTIONS
    assert types(tables.time_wait) == TIME_WAIT
    assert len(tables.connections) == len(tables.time_wait) == 0


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_tables_have_the_documented_columns_and_types(seed: int | None) -> None:
    story = Story()
    story.socket(CLIENT_END).connect()
    tables = (story if seed is None else simulate(seed, kernels=5)).tables()
    assert types(tables.connections) == CONNECTIONS
    assert types(tables.time_wait) == TIME_WAIT


def test_rows_are_counted_in_the_order_in_which_they_were_first_seen() -> None:
    tables = simulate(5, kernels=10).tables()
    connections = tables.connections
    assert list(connections["connection"]) == list(range(1, len(connections) + 1))
    assert list(connections.index) == list(range(len(connections)))
    opened = connections["opened"].dropna()
    assert opened.is_monotonic_increasing
    assert list(tables.time_wait.index) == list(range(len(tables.time_wait)))


def test_a_time_wait_is_its_connections() -> None:
    tables = simulate(6, kernels=80).tables()
    waits = tables.time_wait.set_index("connection")
    own = tables.connections.set_index("connection").loc[waits.index]
    assert len(waits) > 20
    assert not waits.index.duplicated().any()
    np.testing.assert_array_equal(waits["lived_s"], own["time_wait_s"])
    assert list(waits["end"]) == list(own["time_wait_end"])
    assert list(waits["comm"]) == list(own["comm"])
    assert (own["time_wait_began"].isna() == waits["censored"].isin(["left", "both"])).all()
    assert (tables.connections["time_wait_s"].notna().sum()) == len(waits)


def test_no_duration_is_negative_or_longer_than_the_recording_but_for_time_wait() -> None:
    kernel = simulate(8, kernels=20)
    table = kernel.tables().connections
    whole = (kernel.observed.ended - kernel.observed.started) / 1e9
    for name in (name for name in table if str(name).endswith("_s")):
        seconds = table[name].dropna()
        assert (seconds >= 0).all(), name
        assert (seconds <= whole + (60 if name == "time_wait_s" else 0)).all(), name


def test_only_words_that_occur_are_among_an_open_columns_categories() -> None:
    story = Story()
    story.socket(CLIENT_END).connect(by=CURL)
    table = story.tables().connections
    for name, words in (("comm", ["curl"]), ("local_address", ["10.0.0.1"]), ("error", [])):
        assert list(table[name].cat.categories) == words
