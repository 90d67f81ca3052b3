"""`vagrant up`, the demos, `vagrant destroy`, for real: with a local box, under emulation.

    python tests/vagrant/run.py [--out RESULT.json]

All of it (session.py) runs in namespaces of its own, without a network to the outside, and with
libvirt's folders replaced. They end with it, however it ends: nothing else can be left behind.
That nothing is, is checked here.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "bench"))

from machine import describe  # noqa: E402

BUILD = ROOT / "build" / "vagrant"
#: Namespaces of a run that nothing outside is in.
KINDS = ("pid", "net")
#: Where libvirt and Vagrant keep what is theirs, if they are used on this machine otherwise.
ELSEWHERE = ("/etc/libvirt", "/var/lib/libvirt", "/run/libvirt", Path.home() / ".vagrant.d")


def say(text: str) -> None:
    click.echo(f"  {text}", err=True)


def box() -> Path:
    """Build the box unless there is one made from the same sources; others go."""
    sources = [(HERE / "box.sh").read_text(), (ROOT / "pyproject.toml").read_text()]
    sources += re.findall(r"^PACKAGES := .*", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made_from = hashlib.sha256("".join(sources).encode()).hexdigest()
    path = BUILD / f"{made_from[:12]}.box"
    if not path.exists():
        for old in BUILD.glob("*.box"):
            old.unlink()
        say("building the box (some minutes)")
        subprocess.run([HERE / "box.sh", path], check=True, stdout=sys.stderr)
    return path


def outside() -> dict[str, list[str]]:
    """Tell what libvirt's and Vagrant's own folders hold on this machine."""
    return {
        str(folder): sorted(str(path) for path in Path(folder).rglob("*")) for folder in ELSEWHERE
    }


def processes(namespaces: list[int]) -> list[str]:
    """Give the processes in one of these namespaces (held open): what keeps one alive."""
    own = {(os.fstat(held).st_dev, os.fstat(held).st_ino) for held in namespaces}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            theirs = [(folder / "ns" / kind).stat() for kind in KINDS]
            if own & {(one.st_dev, one.st_ino) for one in theirs}:
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has ended
    return found


def left_behind(namespaces: list[int], scratch: Path, before: dict[str, list[str]]) -> list[str]:
    """Tell what is still there of a run that has ended."""
    left = [f"process: {line}" for line in processes(namespaces)]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    left += [f"mount: {line}" for line in mounts if str(scratch) in line]
    links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    left += [f"interface: {line}" for line in links.splitlines() if " virbr" in line]
    after = outside()
    left += [
        f"file: {path}" for folder in after for path in set(after[folder]) - set(before[folder])
    ]
    if scratch.exists():
        left.append(f"folder: {scratch}")
    return left


def play(image: Path, scratch: Path, namespaces: list[int]) -> int:
    """Run session.py; give its exit code. Descriptors of its namespaces are added to the list."""
    # bash is the namespace's init: it takes in qemu when the daemon that started it has gone.
    # If this process ends, or is killed, so do unshare, bash, and with bash everything inside.
    inside = f'{sys.executable} "$@"; exit $?'
    process = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("bash", "-c", inside, "-", str(HERE / "session.py"), str(image), str(scratch)),
        ]
    )
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (scratch / "log").exists() and process.poll() is None:
            time.sleep(0.1)
        if process.poll() is None:
            (bash,) = children.read_text().split()
            # While they are held, their numbers cannot be given to others.
            namespaces += [os.open(f"/proc/{bash}/ns/{kind}", os.O_RDONLY) for kind in KINDS]
        return process.wait()
    finally:
        process.kill()
        process.wait()


def ended(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.command()
@click.option("--out", type=click.Path(path_type=Path))
def main(out: Path | None) -> None:
    """Run; write what was found; exit with 1 unless all is well."""
    if os.geteuid():
        raise click.ClickException("this needs root: it runs a libvirt of its own")
    signal.signal(signal.SIGTERM, ended)
    out = out or HERE / "results" / f"{time.strftime('%Y%m%d-%H%M', time.gmtime())}.json"
    BUILD.mkdir(parents=True, exist_ok=True)
    image = box()
    before = outside()
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": describe(),
    }
    scratch = Path(tempfile.mkdtemp(prefix="run.", dir=BUILD))
    namespaces: list[int] = []
    code = None
    try:
        code = play(image, scratch, namespaces)
    finally:
        found = scratch / "result.json"
        if found.exists():
            result |= json.loads(found.read_text())
        log = scratch / "log"
        if code and log.exists():
            shutil.copy(log, BUILD / "failed.log")
            say(f"what was said: {BUILD / 'failed.log'}")
        shutil.rmtree(scratch)
        result["left_behind"] = left_behind(namespaces, scratch, before)
        for line in result["left_behind"]:
            say(f"LEFT BEHIND {line}")
    result["well"] = code == 0 and not result["left_behind"]
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    say(f"{out}: {'all well' if result['well'] else 'NOT WELL'}")
    sys.exit(not result["well"])


if __name__ == "__main__":
    main()
