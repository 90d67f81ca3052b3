"""What a user does with the Vagrantfile, step by step, each checked and timed.

session.py BOX SCRATCH        (started by run.py, in namespaces of its own)
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from hypervisor import libvirt, things

from tcptrace.analysis import read
from tcptrace.analysis.demo.experiments import EXPERIMENTS

ROOT = Path(__file__).resolve().parents[2]
#: For this machine: emulated machines start slowly; no network outside.
SETTINGS = """
Vagrant.configure("2") do |config|
  config.vm.boot_timeout = 1200
  config.vm.provider "libvirt" do |libvirt|
    libvirt.management_network_mode = "none"
    libvirt.storage_pool_path = "{pool}"
    libvirt.disk_driver cache: "unsafe"
  end
end
"""
#: What provisioning makes: run again, it must leave all of it as it was, and not have made the
#: command anew. (No single quotes.)
PROVISIONED = r"""
dpkg-query -W
find /usr/local ! -name "*.pyc" -type f -printf "%p %s %T@ %m %u\n" | sort | sha256sum
find /etc/ssh /root/.ssh /etc/hosts -type f -exec stat -c "%n %a %U" {} + -exec sha256sum {} + \
    | sort
"""


class CheckError(Exception):
    """Something is not as the documentation says."""


class Session:
    """A user's folder and terminal."""

    def __init__(self, box: Path, scratch: Path) -> None:
        self.box, self.scratch = box, scratch
        self.project = scratch / "project"
        self.result: dict[str, Any] = {"steps": {}}
        self.log = (scratch / "log").open("a")
        home = scratch / "home"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "LIBVIRT_DEFAULT_URI": "qemu:///system",
            "VAGRANT_HOME": str(home / ".vagrant.d"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "TCPTRACE_BOX": "tcptrace-test",
            "TCPTRACE_DRIVER": "qemu",
        }

    def clone(self) -> None:
        """Copy what git knows: what a user's clone would hold."""
        self.project.mkdir()
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        subprocess.run(
            [
                "rsync",
                "-a",
                "--from0",
                "--files-from=-",
                "--ignore-missing-args",
                ROOT,
                self.project,
            ],
            input=names,
            check=True,
        )
        pool = self.scratch / "pool"
        vagrant_home = Path(self.environment["VAGRANT_HOME"])
        pool.mkdir()
        vagrant_home.mkdir(parents=True)
        (vagrant_home / "Vagrantfile").write_text(SETTINGS.format(pool=pool))

    def vagrant(self, step: str, *words: str, must: bool = True) -> str:
        """Run `vagrant WORDS`, timed under the name of a step; give (and keep) its stdout."""
        began = time.monotonic()
        self.note(f"$ vagrant {' '.join(words)}")
        with (self.scratch / "stdout").open("w+") as stdout:
            done = subprocess.run(
                ["vagrant", *words],
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=self.log,
            )
            stdout.seek(0)
            self.said = stdout.read()
        seconds = round(time.monotonic() - began, 1)
        self.note(f"{self.said}(ended with {done.returncode} after {seconds} s)")
        self.result["steps"][step] = seconds
        click.echo(f"  {step}: {seconds} s", err=True)
        if done.returncode and must:
            raise CheckError(f"`vagrant {' '.join(words)}` ended with {done.returncode}")
        return self.said

    def note(self, text: str) -> None:
        """Add to the log."""
        self.log.write(f"{text}\n")
        self.log.flush()

    def ssh(self, step: str, machine: str, command: str, must: bool = True) -> str:
        """Run a command in a machine, as the documentation does."""
        return self.vagrant(step, "ssh", machine, "-c", command, must=must)

    def fetched(self, machine: str) -> set[str]:
        """Name the files that have come from a machine."""
        folder = self.project / "recordings" / machine
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def expect(true: bool, otherwise: str) -> None:
    """Raise unless it is so."""
    if not true:
        raise CheckError(otherwise)


def up(session: Session) -> None:
    """Two machines; tcptrace works on both at once."""
    session.vagrant("box add", "box", "add", "--name", "tcptrace-test", str(session.box))
    session.vagrant("validate", "validate")
    session.vagrant("up", "up")
    for machine in ("client", "server"):
        said = session.ssh(f"check, {machine}", machine, "sudo tcptrace check")
        session.result.setdefault("check", {})[machine] = said.splitlines()


def record(session: Session) -> None:
    """Record on the server while root of the client connects; the file comes to the host."""
    session.ssh(
        "record",
        "server",
        "python3 -m http.server 8000 >/dev/null 2>&1 & server=$!; "
        "until ss -Hltn sport = :8000 | grep -q .; do sleep 0.1; done; "
        "sudo tcptrace record -o web.arrows --port 8000 -- "
        "sudo ssh client ': </dev/tcp/server/8000'; "
        "code=$?; kill $server; exit $code",
    )
    connections = read(session.project / "recordings" / "server" / "web.arrows").connections
    seen = connections[["local_address", "remote_address", "role", "closed_by"]].to_dict("records")
    expect(
        seen
        == [
            {
                "local_address": "192.168.56.11",
                "remote_address": "192.168.56.10",
                "role": "server",
                "closed_by": "remote",
            }
        ],
        f"recorded on the server: {seen}",
    )


def demos(session: Session) -> None:
    """All experiments in one machine; recordings, captures and reports come to the host."""
    new = play(session, "sudo tcptrace demo --all")
    check_files(session, new, one_of_each=True)


def between(session: Session) -> None:
    """All experiments between the two machines; `report` pairs what each of them recorded."""
    new = play(session, "sudo tcptrace demo --all --hosts client,server")
    check_files(session, new, one_of_each=False)
    folder = session.project / "recordings" / "client"
    paired = {}
    for name in sorted(new):
        if name.endswith(".client.arrows"):
            ends = [folder / name, folder / name.replace(".client.", ".server.")]
            report = [sys.executable, "-m", "tcptrace.tracer", "report", "--json", *map(str, ends)]
            said = subprocess.run(report, check=True, capture_output=True, text=True).stdout
            (pair,) = json.loads(said.splitlines()[0])["pairs"]
            paired[Path(name).name.partition(".")[0]] = pair["connections"]
    session.result["connections paired"] = paired
    expect(bool(paired) and any(paired.values()), f"connections paired: {paired}")


def play(session: Session, command: str) -> set[str]:
    """Run experiments; give the files that came to the host. All must show what they are for."""
    before = session.fetched("client")
    step = command.removeprefix("sudo tcptrace ")
    session.ssh(step, "client", command, must=False)
    said = session.result[step] = session.said.splitlines()
    shown = [re.match(r"(\d+) of (\d+) experiments showed", line) for line in said]
    expect(any(one and one[1] == one[2] for one in shown), f"{step}: not all were shown")
    return session.fetched("client") - before


def check_files(session: Session, new: set[str], one_of_each: bool) -> None:
    """Of each experiment a whole recording, a capture and an HTML report are on the host."""
    counts = Counter(Path(name).suffix for name in new)
    session.result.setdefault("fetched", []).append(counts)
    least = len(EXPERIMENTS) * (1 if one_of_each else 2)
    expect(counts[".arrows"] >= least, f"recordings: {counts['.arrows']} instead of {least}")
    expect(counts[".html"] > len(EXPERIMENTS), f"reports: {counts['.html']}")
    expect(counts[".pcapng"] >= len(EXPERIMENTS), f"captures: {counts['.pcapng']}")
    folder = session.project / "recordings" / "client"
    for name in new:
        if name.endswith(".arrows"):
            recording = read(folder / name)
            expect(recording.complete and not recording.lost, f"{name} is not whole")
        elif name.endswith(".html"):
            expect("</html>" in (folder / name).read_text()[-20:], f"{name} is cut off")


def again(session: Session) -> None:
    """Provisioning once more changes nothing, and does not take long."""
    before = session.ssh("look", "client", f"sudo sh -c '{PROVISIONED}'")
    session.vagrant("provision again", "provision", "client")
    after = session.ssh("look again", "client", f"sudo sh -c '{PROVISIONED}'")
    expect(after == before, "provisioning again changed the machine")
    expect(
        session.result["steps"]["provision again"] < session.result["steps"]["up"] / 2,
        "provisioning again took long",
    )


def destroy(session: Session) -> None:
    """Machines and networks go, and all that is left is the box, for the next `vagrant up`."""
    session.vagrant("destroy", "destroy", "--force")
    left = things()
    session.result["left in libvirt"] = left
    expect(not left["domains"], f"machines are left: {left['domains']}")
    expect(not left["networks"], f"networks are left: {left['networks']}")
    expect(
        all("_vagrant_box_image_" in name for name in left["volumes"]),
        f"disks are left: {left['volumes']}",
    )


def versions() -> dict[str, str]:
    """Name the versions of what this stands on."""
    packages = ("vagrant", "vagrant-libvirt", "libvirt-daemon", "qemu-system-x86")
    query = ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *packages]
    done = subprocess.run(query, check=True, capture_output=True, text=True)
    return dict(line.split() for line in done.stdout.splitlines())


def main() -> int:
    """Give the exit code; what was found is in SCRATCH/result.json."""
    box, scratch = map(Path, sys.argv[1:])
    session = Session(box, scratch)
    session.result |= {"versions": versions(), "errors": []}
    try:
        session.clone()
        with libvirt(scratch):
            # What does not stand on another goes on when that fails.
            if attempt(session, up):
                for step in (record, demos, between, again):
                    attempt(session, step)
            attempt(session, destroy)
    finally:
        (scratch / "result.json").write_text(json.dumps(session.result))
    return bool(session.result["errors"])


def attempt(session: Session, step: Callable[[Session], None]) -> bool:
    """Take a step; keep the line that tells why it failed."""
    try:
        step(session)
    except (CheckError, RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
        session.result["errors"].append(f"{step.__name__}: {error}")
        click.echo(f"  FAILED {step.__name__}: {error}", err=True)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
