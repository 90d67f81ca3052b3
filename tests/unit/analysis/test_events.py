"""A recording's rows as arrays, and as the `events` table."""

import ipaddress

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcptrace.analysis.events import event_arrays, events_frame
from tcptrace.tracer.schema import SCHEMA

from .scenario import CLIENT_END, CURL, NGINX, End, Story

ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
    st.sampled_from(["::", "::1", "0.0.0.0", "255.255.255.255", "::ffff", "::fffe:1.2.3.4"]),
)


def shown(address: str) -> str:
    """IPv4-mapped addresses as IPv4."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


@settings(deadline=None)
@given(st.lists(st.tuples(ADDRESSES, ADDRESSES), max_size=20))
def test_addresses_are_written_as_ipaddress_writes_them(pairs: list[tuple[str, str]]) -> None:
    story = Story()
    for local, remote in pairs:
        story.socket(End(local, 1, remote, 2)).connect()
    arrays = event_arrays(story.table)
    assert list(arrays.address_texts(arrays.local))[::2] == [shown(local) for local, _ in pairs]
    assert list(arrays.address_texts(arrays.remote))[::2] == [shown(remote) for _, remote in pairs]
    both = [(ipaddress.ip_address(shown(address)), address) for _, address in pairs]
    assert list(arrays.is_loopback(arrays.remote))[::2] == [a.is_loopback for a, _ in both]
    assert list(arrays.is_unspecified(arrays.remote))[::2] == [a.is_unspecified for a, _ in both]


def test_an_address_not_known_is_null() -> None:
    story = Story()
    story.socket(CLIENT_END).connect()
    arrays = event_arrays(story.table)
    texts = arrays.address_texts(arrays.local, np.array([False, True]))
    assert list(texts.codes) == [-1, 0]
    assert list(texts.categories) == ["10.0.0.1"]


@pytest.mark.parametrize("rows", [0, 2])
def test_the_events_table_has_the_recordings_columns_in_order(rows: int) -> None:
    story = Story()
    if rows:
        story.socket(CLIENT_END).connect()
    frame = events_frame(story.table)
    assert list(frame.columns) == SCHEMA.names
    assert len(frame) == rows
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert types["time"] == "datetime64[ns, UTC]"
    assert types["socket"] == types["cgroup"] == "uint64"
    assert types["detail"] == "Int64"
    for name in ("kind", "old_state", "new_state", "comm", "local_address", "remote_address"):
        assert types[name] == "category"


def test_the_events_table_says_what_was_recorded() -> None:
    story = Story()
    socket = story.socket(CLIENT_END).connect()
    socket.gone(by=CURL).reset_sent(None, by=CURL)
    frame = events_frame(story.table)
    assert list(frame["kind"]) == ["state", "state", "state", "reset_sent"]
    assert list(frame["new_state"]) == ["SYN_SENT", "ESTABLISHED", "CLOSE", "CLOSE"]
    assert list(frame["local_port"]) == [0, 40001, 40001, 40001]
    assert list(frame["comm"]) == ["curl", "swapper/0", "curl", "curl"]
    assert list(frame["detail"].isna()) == [False, False, False, True]
    assert frame["time"].iloc[0].value == story.rows[0]["time"]


def test_batches_with_other_dictionaries_are_one_table() -> None:
    first, second = Story(), Story()
    first.socket(CLIENT_END).connect(by=CURL)
    second.socket(CLIENT_END).connect(by=NGINX)
    table = pa.concat_tables([first.table, second.table, first.table.slice(1, 1)])
    assert table["comm"].num_chunks == 3
    frame = events_frame(table)
    assert list(frame["comm"]) == ["curl", "swapper/0", "nginx", "swapper/0", "swapper/0"]
    arrays = event_arrays(table)
    assert [arrays.comms[code] for code in arrays.comm] == list(frame["comm"])


def test_a_slice_of_a_table_is_only_that_slice() -> None:
    story = Story()
    for number in range(5):
        story.socket(CLIENT_END._replace(local=f"10.0.0.{number}", local_port=number + 1)).connect()
    whole, part = events_frame(story.table), events_frame(story.table.slice(3, 4))
    pd.testing.assert_frame_equal(
        part.astype(object), whole.iloc[3:7].reset_index(drop=True).astype(object)
    )
