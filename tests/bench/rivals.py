"""The report's questions asked of a recording without tcptrace's analysis.

``python tests/bench/rivals.py pandas|duckdb RECORDING``: each the obvious way, on
one thread: seconds in each state (median, 95th percentile) and who closed first.
They join no TIME_WAIT, tell no owner and know nothing of reused addresses.
"""

import sys
from pathlib import Path

import click
import pyarrow as pa

KEY = ["netns", "local_address", "local_port", "remote_address", "remote_port"]


def with_pandas(path: Path) -> list[str]:
    """Group by four-tuple, take differences."""
    with pa.memory_map(str(path)) as source:
        events = pa.ipc.open_stream(source).read_pandas()
    events = events[events["kind"] == "state"].sort_values("time", kind="stable")
    events["dwell"] = -events.groupby(KEY, observed=True)["time"].diff(-1).dt.total_seconds()
    dwell = events.groupby("new_state", observed=True)["dwell"].quantile([0.5, 0.95])
    first = events[(events["old_state"] == "ESTABLISHED") & (events["new_state"] == "FIN_WAIT_1")]
    closers = first.groupby("comm", observed=True).size().sort_values()
    return [str(dwell), str(closers)]


def with_duckdb(path: Path) -> list[str]:
    """Do the same in SQL."""
    import duckdb

    with pa.memory_map(str(path)) as source:
        events = pa.ipc.open_stream(source).read_all()  # noqa: F841  (DuckDB finds it by name)
        database = duckdb.connect()
        database.execute("SET threads = 1")
        key = ", ".join(KEY)
        database.execute(f"""
            CREATE TEMP TABLE steps AS
            SELECT *, epoch_ns(lead("time") OVER (PARTITION BY {key} ORDER BY "time"))
                - epoch_ns("time") AS dwell
            FROM events WHERE kind = 'state'
        """)  # noqa: S608
        dwell = database.execute("""
            SELECT new_state, quantile_cont(dwell, [0.5, 0.95]) FROM steps GROUP BY new_state
        """).fetchall()
        closers = database.execute("""
            SELECT comm, count(*) FROM steps
            WHERE old_state = 'ESTABLISHED' AND new_state = 'FIN_WAIT_1' GROUP BY comm
        """).fetchall()
    return [str(dwell), str(closers)]


@click.command()
@click.argument("rival", type=click.Choice(["pandas", "duckdb"]))
@click.argument("recording", type=click.Path(path_type=Path, exists=True))
def main(rival: str, recording: Path) -> None:
    """Answer with RIVAL."""
    answers = with_pandas(recording) if rival == "pandas" else with_duckdb(recording)
    sys.stdout.write("\n".join(answers) + "\n")


if __name__ == "__main__":
    main()
