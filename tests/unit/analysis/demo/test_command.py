"""`tcptrace demo` where it can be judged without root."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tcptrace.analysis.commands.demo import command
from tcptrace.analysis.demo.experiments import EXPERIMENTS
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
