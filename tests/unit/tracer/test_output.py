"""Files made by root where others can write: nothing overwritten, nothing followed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tcptrace.tracer.errors import OutputError
from tcptrace.tracer.output import NewFile, write_aside


@pytest.fixture(autouse=True)
def _no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)


def make(path: Path, *, force: bool = False) -> None:
    with NewFile(path, force=force) as file:
        os.write(file.descriptor, b"new")
        file.publish()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("force", [False, True])
def test_new_file_is_for_its_owner_only(tmp_path: Path, force: bool) -> None:
    old = os.umask(0)
    try:
        make(tmp_path / "r", force=force)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o600
    assert (tmp_path / "r").read_bytes() == b"new"
    assert names(tmp_path) == ["r"]


def test_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("old")
    with pytest.raises(OutputError, match="exists: use --force"):
        make(tmp_path / "r")
    assert (tmp_path / "r").read_text() == "old"


def test_force_replaces_the_file_and_not_what_else_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("old")
    (tmp_path / "other").hardlink_to(tmp_path / "r")
    make(tmp_path / "r", force=True)
    assert (tmp_path / "r").read_text() == "new"
    assert (tmp_path / "other").read_text() == "old"


def test_force_keeps_the_old_file_until_the_new_one_stands(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("old")
    with NewFile(tmp_path / "r", force=True) as file:
        os.write(file.descriptor, b"new")
        assert (tmp_path / "r").read_text() == "old"
    assert (tmp_path / "r").read_text() == "old"
    assert names(tmp_path) == ["r"]


def test_what_was_not_published_is_removed(tmp_path: Path) -> None:
    with NewFile(tmp_path / "r"):
        assert names(tmp_path) == ["r"]
    assert names(tmp_path) == []


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("target", ["there", "missing"])
def test_symbolic_link_is_refused(tmp_path: Path, force: bool, target: str) -> None:
    (tmp_path / "there").write_text("precious")
    (tmp_path / "r").symlink_to(tmp_path / target)
    with pytest.raises(OutputError, match="symbolic link"):
        make(tmp_path / "r", force=force)
    assert (tmp_path / "there").read_text() == "precious"
    assert not (tmp_path / "missing").exists()
    assert (tmp_path / "r").is_symlink()


@pytest.mark.parametrize("force", [False, True])
def test_directory_and_pipe_are_refused(tmp_path: Path, force: bool) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="is a directory"):
        make(tmp_path / "folder", force=force)
    with pytest.raises(OutputError, match="no regular file"):
        make(tmp_path / "pipe", force=force)


@pytest.mark.parametrize("force", [False, True])
def test_missing_directory_is_said_in_one_line(tmp_path: Path, force: bool) -> None:
    with pytest.raises(OutputError, match="No such file or directory") as caught:
        make(tmp_path / "missing" / "r", force=force)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("force", [False, True])
def test_file_belongs_to_the_user_who_called_sudo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    monkeypatch.setenv("SUDO_UID", "12345")
    monkeypatch.setenv("SUDO_GID", "23456")
    make(tmp_path / "r", force=force)
    status = (tmp_path / "r").stat()
    assert (status.st_uid, status.st_gid) == (12345, 23456)
    assert stat.S_IMODE(status.st_mode) == 0o600


def test_ready_file_appears_whole_and_may_exist_already(tmp_path: Path) -> None:
    (tmp_path / "ready").write_text("old")
    write_aside(tmp_path / "ready", "new")
    assert (tmp_path / "ready").read_text() == "new"
    assert names(tmp_path) == ["ready"]


def test_ready_file_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    (tmp_path / "ready").symlink_to("precious")
    write_aside(tmp_path / "ready", "new")
    assert (tmp_path / "precious").read_text() == "old"


def test_ready_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        write_aside(tmp_path / "missing" / "ready", "new")
