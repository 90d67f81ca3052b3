"""One command run in a virtual machine: its exit status, its words, and the files it left.

The guest is emulated (TCG): KVM need not be there. It has its own time (icount): each
instruction takes so many nanoseconds, and while nothing is to be done time jumps to the next
timer. So a minute of TIME_WAIT takes no minute here, and a busy host makes nothing in the
guest slower, as seen from inside. It has no network.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from architecture import Architecture
from cache import CACHE, ROOT, run
from kernels import Kernel
from rootfs import SITE

HERE = Path(__file__).parent
PACKAGE = "tcptrace"  # where the repository stands in the guest: /tcptrace
_RESULTS_SIZE = 256 << 20


@dataclass(frozen=True)
class Machine:
    """``memory``: MB. ``shift``: an instruction takes 2**shift ns of the guest's time; None:
    the guest's time is the host's.
    """

    cpus: int = 1
    memory: int = 3072
    shift: int | None = 0


@dataclass(frozen=True)
class Outcome:
    """``status``: the command's exit status; None: the guest did not come to its end.

    ``output``: the command's words. ``console``: the kernel's. ``files``: what the command
    left in /results. ``seconds``: of the host's.
    """

    status: int | None
    output: Path
    console: Path
    files: Path
    seconds: float


def payload(path: Path, command: str, architecture: Architecture) -> None:
    """Write a tar of what is in this working tree, installed, and of the command to run."""
    site = path.with_suffix(".site")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--no-deps", "--no-build-isolation", "--upgrade", "--target", site, ROOT)
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    with tarfile.open(path, "w") as tar:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).exists():
                tar.add(ROOT / name, f"{PACKAGE}/{name}", recursive=False, filter=_as_root)
        for found in site.iterdir():
            if found.name != "bin":
                tar.add(found, f"{SITE}/{found.name}", filter=_as_root)
        _add(tar, "guest/init", (HERE / "guest-init").read_text())
        _add(tar, "guest/command", command)
        _add(tar, "guest/output", architecture.consoles[1])
        _add(tar, "usr/local/bin/tcptrace", '#!/bin/sh\nexec python3 -m tcptrace.tracer "$@"\n')
    run("rm", "--recursive", site)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _add(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(text.encode()), 0o755, int(time.time())
    tar.addfile(member, io.BytesIO(text.encode()))


def boot(
    architecture: Architecture,
    kernel: Kernel,
    root: Path,
    packed: Path,
    machine: Machine,
    limit: float,
) -> Outcome:
    """Run a payload's command on a kernel, ``limit`` seconds of the host's at most.

    What it leaves is in ``build/vm/runs/KERNEL-ARCHITECTURE``, of the last run only.
    """
    folder = CACHE / "runs" / f"{kernel.name}-{architecture.name}"
    run("rm", "--recursive", "--force", folder)
    (folder / "files").mkdir(parents=True)
    output, console, results = (folder / name for name in ("output", "console", "results.tar"))
    with results.open("wb") as file:
        file.truncate(_RESULTS_SIZE)
    drives = {"payload": (packed, "readonly=on"), "results": (results, "cache=unsafe")}
    images = {"root": root, "kernel": kernel.modules}
    memories = images if architecture.pmem else {}
    if not architecture.pmem:
        drives |= {name: (path, "snapshot=on") for name, path in images.items()}
    room = machine.memory + sum(path.stat().st_size >> 20 for path in memories.values())
    command = [
        *("setpriv", "--pdeathsig", "KILL", architecture.qemu),
        *("-nodefaults", "-display", "none", "-no-reboot", "-nic", "none", *architecture.machine),
        *("-smp", str(machine.cpus), *_clock(machine)),
        *("-m", f"{machine.memory},slots=2,maxmem={room + 1024}M"),
        *("-kernel", str(kernel.image), "-initrd", str(kernel.initramfs)),
        *("-append", f"console={architecture.consoles[0]} quiet panic=-1 {architecture.boot}"),
        *("-serial", f"file:{console}", "-chardev", f"file,id=output,path={output}"),
        *("-device", f"{architecture.serial},chardev=output"),
    ]
    for name, (path, option) in drives.items():
        command += ["-drive", f"file={path},id={name},format=raw,if=none,{option}"]
        command += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
    for name, path in memories.items():
        size = path.stat().st_size
        backend = f"memory-backend-file,id={name},mem-path={path},size={size},share=off"
        command += ["-object", backend, "-device", f"virtio-pmem-pci,memdev={name}"]
    began = time.monotonic()
    said = folder / "qemu"
    with said.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
        except BaseException:
            process.kill()
            raise
    seconds = time.monotonic() - began
    return Outcome(_unpack(results, folder / "files"), output, console, folder / "files", seconds)


def _clock(machine: Machine) -> tuple[str, ...]:
    if machine.shift is None:
        return ("-accel", "tcg,thread=multi,tb-size=1024")
    icount = f"shift={machine.shift},sleep=off"
    return ("-accel", "tcg,thread=single,tb-size=1024", "-icount", icount, "-rtc", "clock=vm")


def _unpack(results: Path, into: Path) -> int | None:
    """Unpack what the command left; its exit status, None if the guest never wrote it."""
    command = ["tar", "--extract", "--no-same-owner", f"--file={results}", f"--directory={into}"]
    subprocess.run(command, capture_output=True, check=False)
    results.unlink()
    status = into / "status"
    return int(status.read_text()) if status.exists() else None
