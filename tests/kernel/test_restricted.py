"""Machines that withhold something: what is missing is said, what can be had is had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tcptrace.tracer.btf import Btf
from tcptrace.tracer.offsets import kernel_facts
from tcptrace.tracer.probes import PROBES

from .duo import Duo
from .lab import Lab
from .record_run import RECORD, Start


def where(script: str) -> list[str]:
    """A command line that runs what follows where mounts are changed, for itself alone."""
    return ["unshare", "--mount", "sh", "-e", "-c", f'{script}; exec "$@"', "-"]


def of_this_kernel() -> set[str]:
    """Name the probes that it has, if nothing is withheld: 5.10 lacks inet_sk_error_report."""
    lacking = kernel_facts(Btf()).missing
    return {probe.name for probe in PROBES if probe.family not in lacking}


def check(before: list[str]) -> tuple[int, str]:
    done = subprocess.run([*before, *RECORD[:-1], "check"], capture_output=True, text=True)
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80
    return done.returncode, " ".join(done.stdout.split())


@pytest.fixture
def hidden(tmp_path: Path) -> list[str]:
    """Addresses as kptr_restrict=2 shows them: none."""
    lines = Path("/proc/kallsyms").read_text().splitlines(keepends=True)
    kept = [f"{0:016x}{line[16:]}" for line in lines if "timer_handler" in line]
    (tmp_path / "kallsyms").write_text("".join(kept))
    return where(f"mount --bind {tmp_path / 'kallsyms'} /proc/kallsyms")


def test_with_hidden_addresses_all_but_time_wait_is_recorded(
    lab: Lab, start: Start, hidden: list[str]
) -> None:
    duo = Duo(lab)
    run = start("--netns", duo.pair.client.name, before=hidden)
    probes = run.wait_ready()["probes"]
    assert probes["sock:inet_sock_set_state"]["attached"]
    assert "kptr_restrict=1" in probes["timer:timer_start"]["reason"]
    near, far = duo.connect()
    near.close()
    far.close()
    duo.pair.client.wait_for(TIME_WAIT=1)
    duo.pair.wait_quiet()
    run.process.terminate()
    assert run.end() == 0, run.said
    told = [line for line in run.said if "not attached" in line and "timer:" in line]
    assert len(told) == 3
    assert {name for name, probe in probes.items() if probe["attached"]} == {
        name for name in of_this_kernel() if not name.startswith("timer:")
    }
    assert all("TIME_WAIT" in line and "kptr_restrict=1" in line for line in told)
    from tcptrace.analysis.filters import Filters
    from tcptrace.analysis.summary import summarise
    from tcptrace.analysis.view import choose

    summary = summarise(choose(run.read(), Filters()))
    assert summary["connections"]["total"] == 1
    assert summary["closed_by"]["local"] == 1
    assert summary["time_wait"]["began"] is None
    assert summary["active_closers"][0]["comm"] == "tt-client"


def test_check_says_what_hidden_addresses_cost_and_the_fix(hidden: list[str]) -> None:
    code, said = check(hidden)
    assert code == 0  # record works
    assert "no timer:timer_start" in said
    assert "lost: TIME_WAIT" in said
    assert "fix: sysctl kernel.kptr_restrict=1" in said


WITHOUT = [
    ("mount -t tmpfs none /sys/kernel/btf", "CONFIG_DEBUG_INFO_BTF"),
    ("mount --bind /dev/null /sys/kernel/btf/vmlinux", "not BTF"),
]


@pytest.mark.parametrize(("script", "word"), WITHOUT)
def test_without_btf_it_is_said_in_one_line(start: Start, script: str, word: str) -> None:
    run = start(before=where(script))
    assert run.end() == 1
    (line,) = run.said
    assert line.startswith("tcptrace: /sys/kernel/btf/vmlinux")
    assert word in line
    assert not run.path.exists()
    code, said = check(where(script))
    assert code == 1
    assert "NO BTF" in said
    assert "fix: a distribution's kernel" in said


def test_empty_kallsyms_costs_time_wait_and_no_more(start: Start) -> None:
    run = start("--netns", "1", before=where("mount --bind /dev/null /proc/kallsyms"))
    probes = run.wait_ready()["probes"]
    assert probes["sock:inet_sock_set_state"]["attached"]
    assert not probes["timer:timer_start"]["attached"]
    run.process.terminate()
    assert run.end() == 0, run.said


def test_without_tracefs_everything_is_recorded(start: Start) -> None:
    script = "for each in tracing debug; do umount -l /sys/kernel/$each 2>/dev/null || true; done"
    before = where(f"{script}; test ! -e /sys/kernel/tracing/events")
    run = start("--netns", "1", before=before)
    probes = run.wait_ready()["probes"]
    assert {name for name, probe in probes.items() if probe["attached"]} == of_this_kernel()
    run.process.terminate()
    assert run.end() == 0, run.said
    code, said = check(before)
    assert code == 0
    assert "tracefs not mounted, or not to be seen; raw tracepoints do without it" in said


def test_root_of_a_user_namespace_is_told_so_in_one_line(tmp_path: Path) -> None:
    before = ["unshare", "--user", "--map-root-user"]
    code, said = check(before)
    assert code == 1
    assert "NO rights root in a user namespace" in said
    output = tmp_path / "r"
    done = subprocess.run([*before, *RECORD, "-o", output], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("tcptrace: recording needs more than this root")


#: A kernel that refuses what is patched in: not to be had here.
REFUSING = [
    sys.executable,
    "-c",
    "import os, sys; from tcptrace.tracer import bpf, cli\n"
    "def create_map(*_): raise OSError({code}, os.strerror({code}))\n"
    "bpf.create_map = create_map\n"
    "cli.main()",
]


@pytest.mark.parametrize(
    ("code", "word"),
    [(22, "Linux 5.8 or newer is needed"), (1, "refuses BPF to this user"), (38, "5.8")],
)
def test_kernel_without_ring_buffers_is_told_in_one_line(
    tmp_path: Path, code: int, word: str
) -> None:
    command = [each.format(code=code) for each in REFUSING]
    output = str(tmp_path / "r")
    done = subprocess.run([*command, "record", "-o", output], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("tcptrace: ")
    assert word in line
    assert not Path(output).exists()
    done = subprocess.run([*command, "check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "NO  BPF ring buffer" in done.stdout
    assert done.stderr == ""


#: The kernel's helper refused, as under lockdown=confidentiality.
LOCKED = (
    "import sys; from pathlib import Path; from tcptrace.tracer import capture, cli, preflight\n"
    "from tcptrace.tracer.errors import PreflightError\n"
    "preflight._LOCKDOWN = Path(sys.argv.pop(1))\n"
    "def load(*_): raise PreflightError('sock:inet_sock_set_state cannot be attached: refused')\n"
    "capture._load = load\n"
    "cli.main()"
)


def test_lockdown_confidentiality_is_named_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "lockdown").write_text("none integrity [confidentiality]\n")
    command = [sys.executable, "-c", LOCKED, str(tmp_path / "lockdown")]
    done = subprocess.run([*command, "check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "NO  lockdown                  confidentiality" in done.stdout
    assert "fix: boot with lockdown=integrity" in done.stdout
    output = str(tmp_path / "r")
    done = subprocess.run([*command, "record", "-o", output], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "lockdown" in line
    assert "confidentiality" in line
    assert not Path(output).exists()
