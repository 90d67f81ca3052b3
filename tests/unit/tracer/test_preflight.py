"""What is missing is named, with what is lost and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tcptrace.tracer import preflight
from tcptrace.tracer.commands import check as module
from tcptrace.tracer.errors import PreflightError
from tcptrace.tracer.preflight import Check, check_bcc, check_rights, require_rights_and_bcc

ALL, BPF, PERFMON, ADMIN = (1 << 41) - 1, 1 << 39, 1 << 38, 1 << 21


def hold(monkeypatch: pytest.MonkeyPatch, folder: Path, capabilities: int, uid: int) -> None:
    status = folder / "status"
    status.write_text(f"Name:\tpython\nCapPrm:\t0\nCapEff:\t{capabilities:016x}\n")
    monkeypatch.setattr(preflight, "_STATUS", status)
    monkeypatch.setattr(preflight.os, "geteuid", lambda: uid)
    # The tests may run in a rootless container.
    own = preflight._USER_NAMESPACE.stat().st_ino
    monkeypatch.setattr(preflight, "_INITIAL_USER_NAMESPACE", own)


@pytest.mark.parametrize(
    ("capabilities", "uid", "ok", "found"),
    [
        (ALL, 0, True, "root"),
        (ADMIN, 0, True, "root"),
        (BPF | PERFMON, 1000, True, "user 1000, with CAP_BPF"),
        (BPF, 1000, False, "user 1000"),
        (0, 1000, False, "user 1000"),
        (0, 0, False, "root, without CAP_BPF and CAP_PERFMON"),
        (BPF, 0, False, "root, without CAP_PERFMON"),
    ],
)
def test_rights_are_capabilities_and_not_a_name(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capabilities: int,
    uid: int,
    ok: bool,
    found: str,
) -> None:
    hold(monkeypatch, tmp_path, capabilities, uid)
    check = check_rights()
    assert (check.ok, check.found) == (ok, found)


def test_root_of_a_container_is_told_which_capabilities_to_add(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hold(monkeypatch, tmp_path, 0, 0)
    with pytest.raises(PreflightError, match=r"^recording needs more .* --cap-add=BPF --cap-add="):
        require_rights_and_bcc()


def test_root_of_a_user_namespace_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hold(monkeypatch, tmp_path, ALL, 0)
    monkeypatch.setattr(preflight, "_INITIAL_USER_NAMESPACE", 0)
    check = check_rights()
    assert not check.ok
    assert "user namespace" in check.found
    assert "rootless" in check.fix


def test_missing_rights_are_said_before_missing_bcc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hold(monkeypatch, tmp_path, 0, 1000)
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    with pytest.raises(PreflightError, match=r"^recording needs root: sudo tcptrace record$"):
        require_rights_and_bcc()


def test_missing_bcc_names_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hold(monkeypatch, tmp_path, ALL, 0)
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    monkeypatch.setattr(preflight, "_SYSTEM_BCC", tmp_path / "missing")
    with pytest.raises(PreflightError, match=r"python3-bpfcc .*Debian, Ubuntu.*python3-bcc"):
        require_rights_and_bcc()


def test_bcc_that_the_virtual_environment_hides_needs_no_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    monkeypatch.setattr(preflight, "_SYSTEM_BCC", tmp_path)
    monkeypatch.setattr(preflight.sys, "prefix", "/somewhere/.venv")
    check = check_bcc()
    assert not check.ok
    assert "--system-site-packages" in check.fix


@pytest.mark.parametrize(
    ("text", "ok", "found"),
    [
        ("[none] integrity confidentiality\n", True, "none"),
        ("none [integrity] confidentiality\n", True, "integrity"),
        ("none integrity [confidentiality]\n", False, "confidentiality"),
    ],
)
def test_only_confidentiality_forbids_reading_the_kernel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, ok: bool, found: str
) -> None:
    (tmp_path / "lockdown").write_text(text)
    monkeypatch.setattr(preflight, "_LOCKDOWN", tmp_path / "lockdown")
    check = preflight._lockdown()
    assert (check.ok, check.found) == (ok, found)


def test_lockdown_that_cannot_be_read_is_not_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preflight, "_LOCKDOWN", tmp_path / "missing")
    check = preflight._lockdown()
    assert (check.required, check.found) == (False, "not known: No such file or directory")


def test_unmounted_tracefs_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_TRACEFS", ())
    check = preflight._tracefs()
    assert check.ok
    assert check.found == "not mounted, or not to be seen; raw tracepoints do without it"


def run(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> tuple[int, list[str]]:
    monkeypatch.setattr(module, "checks", lambda: iter(checks))
    done = CliRunner().invoke(module.command)
    return done.exit_code, done.stdout.splitlines()


def test_optional_things_missing_do_not_forbid_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Check("timer:timer_start", False, "hidden", False, "TIME_WAIT", "sysctl x=1")
    code, lines = run(monkeypatch, Check("rights", True, "root"), missing)
    assert code == 0
    assert lines == [
        "ok  rights                    root",
        "no  timer:timer_start         hidden",
        "      lost: TIME_WAIT",
        "      fix: sysctl x=1",
        "tcptrace record works here.",
    ]


def test_required_things_missing_do(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Check("bcc", False, "missing", True, "everything", "apt-get install " + "x " * 60)
    code, lines = run(monkeypatch, missing)
    assert code == 1
    assert lines[0] == "NO  bcc                       missing"
    assert lines[-1] == "tcptrace record does not work here yet."
    assert max(map(len, lines)) <= 80
