"""`tcptrace demo` where it can be judged without root."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tcptrace.analysis.commands.demo import command
from tcptrace.analysis.demo.evidence import HOLDS
from tcptrace.analysis.demo.experiments import EXPERIMENTS
from tcptrace.analysis.demo.folder import INDEX, PARENT, make_folder
from tcptrace.analysis.demo.pages import write_pages
from tcptrace.analysis.demo.runner import Run
from tcptrace.tracer.errors import OutputError, PreflightError


def test_the_list_has_every_experiment_within_80_columns() -> None:
    result = CliRunner().invoke(command, ["--list"])
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which experiment?"),
        (["no-such-thing"], "no experiment 'no-such-thing'"),
        (["--all", "syn-flood"], "names or --all, not both"),
    ],
)
def test_wrong_usage_is_said(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_without_root_it_says_so_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = CliRunner().invoke(command, ["syn-flood", "-o", str(tmp_path / "new")])
    assert isinstance(result.exception, PreflightError)
    assert "sudo" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_recordings_are_never_overwritten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "syn-flood.arrows").symlink_to("/nowhere")
    result = CliRunner().invoke(command, ["syn-flood", "-o", str(tmp_path)])
    assert isinstance(result.exception, OutputError)
    assert "syn-flood.arrows exists" in str(result.exception)


def test_new_folders_are_made_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(PARENT, str(tmp_path))
    made = make_folder(None, ["syn-flood"])
    other = make_folder(None, ["syn-flood"])
    assert made != other
    assert {made, other} == set(tmp_path.iterdir())


def test_a_place_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(PARENT, str(tmp_path / "gone"))
    with pytest.raises(OutputError, match="gone: No such file"):
        make_folder(None, ["syn-flood"])


def test_the_pages_tell_outcome_and_failure_and_run_nothing(tmp_path: Path) -> None:
    shown, failed = (
        Run(EXPERIMENTS["syn-flood"](), tmp_path),
        Run(EXPERIMENTS["bind-in-use"](), tmp_path),
    )
    shown.findings.say("D2", HOLDS, "brief", "64 SYNs <script>")
    shown.findings.ladders.append(("A ladder", ["first line", "second line"]))
    failed.error = "no FIN on the wire"
    write_pages([shown, failed], tmp_path)
    page = (tmp_path / INDEX).read_text()
    assert "1 of 2 experiments" in page
    assert "64 SYNs &lt;script&gt;" in page
    assert "first line\nsecond line\n" in page
    assert "Failed: no FIN on the wire" in page
    write_pages([shown], tmp_path)  # the index is always the last run's
    assert "1 of 1 experiments" in (tmp_path / INDEX).read_text()
