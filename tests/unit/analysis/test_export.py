import csv
import io
import json

import pandas as pd
import pytest
from pyarrow import parquet

from tcptrace.analysis.export import chunks, write_tables

from .tables import CLIENT, REFUSED_PORTLESS, connections

HOSTILE = {**CLIENT, "comm": '=cmd|"x"\n<script>'}
TABLE = connections(CLIENT, HOSTILE, REFUSED_PORTLESS)


def written(table, file_format, pieces=None):
    stream = io.BytesIO()
    write_tables(pieces or [table], stream, file_format)
    return stream


def test_csv_has_utc_times_with_nanoseconds_and_empty_nulls():
    rows = list(csv.DictReader(io.StringIO(written(TABLE, "csv").getvalue().decode())))
    assert list(rows[0]) == list(TABLE.columns)
    assert rows[0]["opened"] == "2026-11-20T19:00:00.000000000Z"
    assert rows[0]["closing_s"] == ""
    assert rows[0]["pid"] == "100"
    assert (rows[2]["established"], rows[2]["pid"], rows[2]["comm"]) == ("", "", "")


def test_csv_disarms_formulas_and_keeps_newlines_in_their_cell():
    rows = list(csv.DictReader(io.StringIO(written(TABLE, "csv").getvalue().decode())))
    assert rows[1]["comm"] == '\'=cmd|"x"\n<script>'


def test_json_lines_are_one_object_each_with_nulls():
    lines = written(TABLE, "jsonl").getvalue().decode().splitlines()
    assert len(lines) == 3
    first, second, third = map(json.loads, lines)
    assert list(first) == list(TABLE.columns)
    assert first["opened"] == "2026-11-20T19:00:00.000000000Z"
    assert (first["pid"], first["established_s"], first["closing_s"]) == (100, 0.9, None)
    assert isinstance(first["pid"], int)  # although another has none
    assert second["comm"] == HOSTILE["comm"]
    assert (third["established"], third["pid"], third["comm"]) == (None, None, None)


def test_parquet_keeps_types_and_nulls():
    found = parquet.read_table(written(TABLE, "parquet")).to_pandas()
    assert found["opened"].dtype == "datetime64[ns, UTC]"
    assert found["comm"].dtype == "category"
    assert found["pid"].isna().tolist() == [False, False, True]
    assert found["established"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_pieces_make_the_same_file_as_the_whole(file_format):
    pieces = [TABLE.iloc[:1], TABLE.iloc[1:]]
    whole, joined = written(TABLE, file_format), written(TABLE, file_format, pieces)
    if file_format == "parquet":
        assert parquet.read_table(joined).to_pandas().equals(parquet.read_table(whole).to_pandas())
    else:
        assert joined.getvalue() == whole.getvalue()


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_an_empty_table_is_a_valid_file(file_format):
    stream = written(None, file_format, chunks(TABLE.iloc[:0]))
    if file_format == "csv":
        assert stream.getvalue().decode().strip().split(",") == list(TABLE.columns)
    elif file_format == "jsonl":
        assert stream.getvalue() == b""
    else:
        assert parquet.read_table(stream).num_rows == 0


def test_the_table_itself_is_not_changed():
    before = TABLE.copy()
    written(TABLE, "csv")
    pd.testing.assert_frame_equal(TABLE, before)
