"""The reconstruction against a plain state machine, on kernels that behave at random."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from .reference import Row, reconstruct
from .scenario import SECOND, plain
from .simulator import Kernel, simulate


def rounded(row: Row) -> Row:
    """Seconds to the nanosecond."""
    return {
        name: round(value, 9) if isinstance(value, float) else value for name, value in row.items()
    }


def difference(kernel: Kernel) -> str | None:
    """What the two ways disagree on, told so that it can be understood."""
    tables = kernel.tables()
    expected, waits = reconstruct(
        [dict(row) for row in kernel.rows], kernel.header, kernel.observed
    )
    found = plain(tables.connections)
    for actual, wanted in zip(found, expected, strict=False):
        actual, wanted = rounded(actual), rounded(wanted)
        wrong = {
            name: (value, wanted[name]) for name, value in actual.items() if wanted[name] != value
        }
        if wrong:
            return f"{wrong} in {actual}"
    if len(found) != len(expected):
        return f"{len(found)} rows, not {len(expected)}"
    own = ("began", "ended", "lived_s", "end", "restarts", "censored")
    actual_waits = [rounded({name: row[name] for name in own}) for row in plain(tables.time_wait)]
    wanted_waits = [rounded(row) for row in waits]
    return None if actual_waits == wanted_waits else f"{actual_waits} not {wanted_waits}"


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("block", range(8))
def test_every_column_is_what_the_state_machine_says(block: int, lossy: bool) -> None:
    for seed in range(block * 10, block * 10 + 10):
        found = difference(simulate(seed, kernels=15, lossy=lossy))
        assert found is None, f"seed {seed}: {found}"


def each(seeds: Iterable[int]) -> Iterable[tuple[Kernel, list[dict[str, Any]]]]:
    for seed in seeds:
        kernel = simulate(seed, kernels=15)
        yield kernel, kernel.connections()


def test_seconds_in_all_states_add_up_where_nothing_is_censored() -> None:
    checked = 0
    for _, rows in each(range(2000, 2008)):
        for row in rows:
            if row["censored"] != "none" or row["closed"] is None:
                continue
            names = [name for name in row if name.endswith("_s") and name != "time_wait_s"]
            total = sum(row[name] or 0 for name in names)
            assert total == pytest.approx((row["closed"] - row["opened"]) / SECOND, abs=1e-6)
            checked += 1
    assert checked > 500


def test_the_kernels_all_together_do_everything() -> None:
    seen: dict[str, set[Any]] = {}
    for _, rows in each(range(3000, 3010)):
        for row in rows:
            for name in ("outcome", "closed_by", "role", "time_wait_end", "censored", "state"):
                seen.setdefault(name, set()).add(row[name])
    assert seen["outcome"] == {
        "finished",
        "reset",
        "refused",
        "timed_out",
        "unreachable",
        "open",
        "unknown",
    }
    assert seen["time_wait_end"] == {
        "expired",
        "reused_connect",
        "reused_syn",
        "reset",
        "killed",
        "skipped",
        "open",
        None,
    }
    assert seen["closed_by"] == {"local", "remote", "both", None}
    assert seen["censored"] == {"none", "left", "right", "both"}


def test_the_order_of_batches_and_chunks_does_not_matter() -> None:
    kernel = simulate(7)
    whole = kernel.tables().connections
    import pyarrow as pa

    from tcptrace.analysis.connections import build_tables

    chunked = pa.Table.from_batches(kernel.table.to_batches(max_chunksize=3))
    parts = build_tables(chunked, kernel.header, kernel.observed).connections
    assert plain(parts) == plain(whole)


def test_the_events_are_left_as_they_were() -> None:
    kernel = simulate(11)
    table, header = kernel.table, kernel.header
    before = table.to_pydict()
    np.testing.assert_equal(header, kernel.header)
    kernel.tables()
    assert table.to_pydict() == before
