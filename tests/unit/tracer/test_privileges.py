"""Rights that are given up are gone, for what is run from here, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcptrace.tracer import privileges

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")

# Tells what it has, and what a program run from it has.
TELL = """
import json, os, re, subprocess
from pathlib import Path
from tcptrace.tracer import privileges
{do}
def read(text):
    found = dict(re.findall(r"^(Uid|Gid|Groups|Cap\\w+|NoNewPrivs):\\s*(.*)$", text, re.M))
    return {{name: value.split() for name, value in found.items()}}
run = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True)
print(json.dumps([read(Path("/proc/self/status").read_text()), read(run.stdout)]))
"""


def after(do: str, **environment: str) -> list[dict[str, list[str]]]:
    done = subprocess.run(
        [sys.executable, "-c", TELL.format(do=do)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    found: list[dict[str, list[str]]] = json.loads(done.stdout)
    return found


def bits(*names: str) -> list[str]:
    return [f"{sum(1 << privileges.CAPABILITIES[name] for name in names):016x}"]


SETS = ("CapPrm", "CapEff", "CapBnd")


def test_only_what_is_kept_is_left() -> None:
    own, run = after("privileges.restrict({'CAP_BPF'})")
    for name in SETS:
        assert own[name] == bits("CAP_BPF")
    assert own["NoNewPrivs"] == run["NoNewPrivs"] == ["1"]
    assert own["CapInh"] == own["CapAmb"] == bits()


def test_what_was_not_held_is_not_gained() -> None:
    do = "privileges.restrict({'CAP_BPF', 'CAP_KILL'});"
    own, _ = after(do + "privileges.restrict({'CAP_KILL', 'CAP_CHOWN'})")
    assert own["CapPrm"] == bits("CAP_KILL")


def test_another_user_is_become_with_all_groups() -> None:
    do = "privileges.restrict({'CAP_KILL'}, (54321, 54322))"
    own, run = after(do)
    for each in (own, run):
        assert each["Uid"] == ["54321"] * 4
        assert each["Gid"] == ["54322"] * 4
        assert each["Groups"] == ["54322"]
    assert own["CapEff"] == bits("CAP_KILL")
    assert run["CapEff"] == run["CapPrm"] == bits()


def test_what_is_inherited_is_what_is_kept() -> None:
    _, run = after("privileges.restrict({'CAP_BPF', 'CAP_KILL'}, inherited=True)")
    assert run["CapEff"] == run["CapPrm"] == bits("CAP_BPF", "CAP_KILL")
    do = "privileges.restrict({'CAP_KILL'}, (54321, 54322), inherited=True)"
    assert after(do)[1]["CapEff"] == bits("CAP_KILL")


def test_a_command_inherits_no_capability_of_a_user() -> None:
    do = "privileges.restrict({'CAP_KILL'}, (54321, 54322), inherited=True);"
    own, run = after(do + "privileges.hand_on_none()")
    assert own["CapEff"] == bits("CAP_KILL")
    assert run["CapEff"] == bits()


def test_numpy_and_pyarrow_start_no_threads_and_the_environment_stays() -> None:
    do = (
        "before = dict(os.environ)\n"
        "with privileges.one_thread():\n"
        "    import numpy, pyarrow\n"
        "assert dict(os.environ) == before\n"
        "assert len(os.listdir('/proc/self/task')) == 1"
    )
    after(do)
    after(do, OPENBLAS_NUM_THREADS="4")


def test_what_is_in_force_is_read_from_a_status_file(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("CapPrm:\tffff\nCapEff:\t0000008000000020\n")
    assert privileges.effective(tmp_path / "status") == {"CAP_BPF", "CAP_KILL"}
