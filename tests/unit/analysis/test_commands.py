"""The commands on real files: what they print, and how they fail."""

import csv
import io
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from tcptrace.tracer.cli import main
from tcptrace.tracer.schema import FORMAT, METADATA_KEY, SCHEMA

from .tables import START

MAPPED = bytes(10) + b"\xff\xff"
CLIENT, SERVER = MAPPED + bytes([10, 0, 0, 1]), MAPPED + bytes([10, 0, 0, 2])

#: A client connects and closes first: socket, old state, new state.
LIFE = [
    (1, "CLOSE", "SYN_SENT"),
    (1, "SYN_SENT", "ESTABLISHED"),
    (1, "ESTABLISHED", "FIN_WAIT_1"),
    (1, "FIN_WAIT_1", "FIN_WAIT_2"),
]


def event(number, socket, old, new, comm):
    return {
        "time": START.value + number * 1_000_000,
        "kind": "state",
        "socket": socket,
        "old_state": old,
        "new_state": new,
        "family": 4,
        "local_address": CLIENT,
        "local_port": 40001 if new != "SYN_SENT" else 0,
        "remote_address": SERVER,
        "remote_port": 80,
        "netns": 4026531840,
        "cgroup": 1,
        "pid": 100,
        "comm": comm,
        "detail": None,
    }


@pytest.fixture
def make(tmp_path):
    def make(comm="curl", lives=1, final=True, name="run.arrows"):
        header = {
            "format": FORMAT,
            "host": "web-1",
            "kernel": "6.18.0",
            "hz": 250,
            "started": START.isoformat(),
            "clock_offset_ns": 0,
        }
        schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(header).encode()})
        path = tmp_path / name
        totals = {"events": lives * len(LIFE), "lost": 0}
        if final:
            totals |= {"final": True, "ended": START.isoformat()}
        with path.open("wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for life in range(lives):
                rows = [
                    event(life * 10 + place, socket + life, old, new, comm)
                    for place, (socket, old, new) in enumerate(LIFE)
                ]
                writer.write_batch(
                    pa.RecordBatch.from_pylist(rows, schema),
                    custom_metadata={key: json.dumps(value) for key, value in totals.items()},
                )
        return path

    return make


def run(capsys, *arguments):
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as done:
        code = done.code
    out, err = capsys.readouterr()
    return code, out, err


def test_report_prints_plain_text_into_a_pipe(make, capsys):
    code, out, err = run(capsys, "report", make())
    assert (code, err) == (0, "")
    assert out.startswith(
        "tcptrace report: run.arrows\nweb-1, Linux 6.18.0; 2026-11-20 19:00:00 UTC"
    )
    assert "\x1b" not in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_report_json_is_one_object(make, capsys):
    code, out, _ = run(capsys, "report", make(), "--json")
    assert code == 0
    assert json.loads(out)["connections"]["total"] == 1


def test_report_json_adds_the_groups_asked_for(make, capsys):
    _, out, _ = run(capsys, "report", make(), "--json", "--by", "process")
    assert json.loads(out)["by"]["groups"][0]["process"] == "curl"


def test_several_files_give_one_json_object_a_line(make, capsys):
    _, out, _ = run(capsys, "report", make(), make(name="other.arrows"), "--json")
    assert [json.loads(line)["schema"] for line in out.splitlines()] == [1, 1]


def test_several_files_say_what_they_have_in_common_and_one_file_does_not(make, capsys):
    one, other = make(), make(name="other.arrows")
    _, out, _ = run(capsys, "report", one, other, "--json")
    pairs = [json.loads(line)["pairs"] for line in out.splitlines()]
    assert [[pair["file"] for pair in found] for found in pairs] == [[str(other)], [str(one)]]
    assert pairs[0][0]["connections"] == 0
    _, out, _ = run(capsys, "report", one, other)
    assert "no connection between them was seen from both sides" in out
    _, out, _ = run(capsys, "report", one, "--json")
    assert "pairs" not in json.loads(out)


def test_filters_choose_connections(make, capsys):
    _, out, _ = run(capsys, "report", make(), "--json", "--comm", "wget")
    assert json.loads(out)["connections"]["total"] == 0


@pytest.mark.parametrize("command", [["report"], ["export"], ["export", "--table", "events"]])
class TestBadInput:
    def test_a_missing_file(self, command, tmp_path, capsys):
        code, out, err = run(capsys, *command, tmp_path / "none.arrows")
        assert (code, out) == (1, "")
        assert err.count("\n") == 1
        assert "No such file" in err

    def test_not_a_recording(self, command, tmp_path, capsys):
        path = tmp_path / "notes.txt"
        path.write_text("hello, this is no recording at all\n")
        code, out, err = run(capsys, *command, path)
        assert (code, out) == (1, "")
        assert err == f"tcptrace: {path}: not a tcptrace recording\n"

    def test_a_directory(self, command, tmp_path, capsys):
        code, _, err = run(capsys, *command, tmp_path)
        assert code == 1
        assert err.count("\n") == 1
        assert "Traceback" not in err

    def test_an_empty_file_is_read_as_far_as_it_goes(self, command, tmp_path, capsys):
        path = tmp_path / "empty.arrows"
        path.touch()
        code, out, _ = run(capsys, *command, path)
        assert code == 0
        if command == ["report"]:
            assert "empty" in out
        else:
            assert out.count("\n") == 1  # the header

    def test_a_file_cut_at_any_byte(self, command, make, tmp_path, capsys):
        whole = make(lives=2).read_bytes()
        cut = tmp_path / "cut.arrows"
        for size in range(1, len(whole), 311):
            cut.write_bytes(whole[:size])
            code, _, err = run(capsys, *command, cut)
            assert code == 0, (size, err)


def test_a_bad_network_is_wrong_usage(make, capsys):
    code, _, err = run(capsys, "report", make(), "--address", "10.0.0.300")
    assert code == 2
    assert "Traceback" not in err


def test_export_writes_csv_to_stdout(make, capsysbinary):
    main(["export", str(make())])
    rows = list(csv.DictReader(io.StringIO(capsysbinary.readouterr().out.decode())))
    assert [row["comm"] for row in rows] == ["curl"]


def test_export_streams_events_batch_by_batch(make, capsys):
    _, out, _ = run(capsys, "export", make(lives=3), "--table", "events", "--format", "jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 12
    assert rows[1] | {"socket": 1} == {
        "time": "2026-11-20T19:00:00.001000000Z",
        "kind": "state",
        "socket": 1,
        "old_state": "SYN_SENT",
        "new_state": "ESTABLISHED",
        "family": 4,
        "local_address": "10.0.0.1",
        "local_port": 40001,
        "remote_address": "10.0.0.2",
        "remote_port": 80,
        "netns": 4026531840,
        "cgroup": 1,
        "pid": 100,
        "comm": "curl",
        "detail": None,
    }


@pytest.mark.parametrize("table", ["connections", "events", "time_wait"])
def test_export_writes_parquet(make, tmp_path, table):
    out = tmp_path / "out.parquet"
    main(["export", str(make(lives=2)), "--table", table, "--format", "parquet", "-o", str(out)])
    assert (
        parquet.read_table(out).num_rows == {"connections": 2, "events": 8, "time_wait": 0}[table]
    )


def test_parquet_needs_a_file(make, capsys):
    code, _, err = run(capsys, "export", make(), "--format", "parquet")
    assert code == 2
    assert "-o" in err


def test_export_overwrites_only_when_told(make, tmp_path, capsys):
    out = tmp_path / "out.csv"
    out.write_text("mine")
    code, _, err = run(capsys, "export", make(), "-o", out)
    assert code == 1
    assert "--force" in err
    assert out.read_text() == "mine"
    code, _, _ = run(capsys, "export", make(), "-o", out, "--force")
    assert code == 0
    assert "curl" in out.read_text()


def test_a_failed_export_leaves_no_file(tmp_path, capsys):
    out = tmp_path / "out.csv"
    code, _, _ = run(capsys, "export", tmp_path / "none", "--table", "events", "-o", out)
    assert code == 1
    assert not out.exists()


def test_events_are_not_filtered_by_connection(make, capsys):
    code, _, err = run(capsys, "export", make(), "--table", "events", "--port", "80")
    assert code == 2
    assert "connections" in err


def test_hostile_names_reach_no_terminal(make, capsys):
    path = make(comm="\x1b]0;x\x07=1+1\u202e")
    for command in (
        ["report", path],
        ["report", path, "--json"],
        ["export", path, "--format", "jsonl"],
    ):
        _, out, _ = run(capsys, *command)
        assert not any(mark in out for mark in ("\x1b", "\x07", "\u202e"))


def test_html_is_written_to_a_new_file_only(make, tmp_path, capsys):
    out = tmp_path / "report.html"
    code, printed, err = run(capsys, "report", make(), "--html", out)
    assert (code, printed) == (0, "")
    assert str(out) in err
    assert out.read_text().startswith("<!DOCTYPE html>")
    code, _, err = run(capsys, "report", make(), "--html", out)
    assert code == 1
    assert "--force" in err
    assert run(capsys, "report", make(), "--html", out, "--force")[0] == 0


def test_html_goes_with_one_file_and_no_other_format(make, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert run(capsys, "report", make(), "--json", "--html", out)[0] == 2
    assert run(capsys, "report", make(), make(name="b.arrows"), "--html", out)[0] == 2
    assert not out.exists()


def test_timeline_draws_ladders(make, capsys):
    code, out, err = run(capsys, "timeline", make(lives=3), "--most", 2)
    assert code == 0
    assert out.count("client curl[100]") == 2
    assert "1 more" in err


def test_timeline_chooses_by_id_and_by_finding(make, capsys):
    _, out, _ = run(capsys, "timeline", make(lives=3), "--connection", 1)
    assert out.startswith("#1 ")
    code, out, err = run(capsys, "timeline", make(), "--finding", "close-wait-leak")
    assert (code, out) == (0, "")
    assert "no connection" in err


@pytest.mark.parametrize(
    ("option", "value", "other"),
    [
        ("--port", 80, 81),
        ("--local-port", 40001, 80),
        ("--address", "10.0.0.0/30", "10.0.0.4/30"),
        ("--pid", 100, 101),
        ("--comm", "curl", "wget"),
        ("--connection", 1, 2),
    ],
)
def test_timeline_chooses_by(make, capsys, option, value, other):
    path = make()
    assert run(capsys, "timeline", path, option, value)[1].startswith("#1 client curl[100]")
    code, out, err = run(capsys, "timeline", path, option, other)
    assert (code, out) == (0, "")
    assert "no connection passes" in err


def test_export_writes_a_perfetto_trace(make, tmp_path, capsys):
    out = tmp_path / "trace.json"
    assert run(capsys, "export", make(), "--format", "perfetto", "-o", out)[0] == 0
    assert json.loads(out.read_text())["traceEvents"]
    code, _, err = run(capsys, "export", make(), "--table", "events", "--format", "perfetto")
    assert code == 2
    assert "connections" in err
