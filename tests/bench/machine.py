"""What the bench needs of the machine: packages, headers for bcc's tools, its two programs."""

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import click

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent

#: Peers, a compiler for the loads, bpftool for bpf_stats, setpriv-free tools of util-linux.
PACKAGES = (
    "bpfcc-tools",
    "libbpf-tools",
    "bpftrace",
    "bpftool",
    "gcc",
    "libc6-dev",
    "iproute2",
    "util-linux",
    "linux-headers-amd64" if platform.machine() == "x86_64" else "linux-headers-arm64",
)
#: For the plot and for a rival of `report`; neither is needed by tcptrace.
MODULES = ("matplotlib", "duckdb")


def output_of(*command: str) -> str:
    """Run a command; give what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f=${Status}", package]
    return "ok installed" in subprocess.run(query, capture_output=True, text=True).stdout


def install() -> None:
    """Install what is missing: Debian packages, and Python modules into this environment."""
    missing = [package for package in PACKAGES if not _installed(package)]
    if missing:
        click.echo(f"Installing {' '.join(missing)}", err=True)
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    modules = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if modules:
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *modules], check=True)


def keep_bytecode(folder: Path) -> None:
    """Have Python programs find their modules compiled, as they do where they are installed."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    for command in ("record", "report"):
        program = [sys.executable, "-m", "tcptrace.tracer", command, "--help"]
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)


def build(into: Path) -> dict[str, Path]:
    """Compile the load generators; give their paths by name."""
    programs = {}
    for name in ("load", "timers"):
        programs[name] = into / name
        source = HERE / f"{name}.c"
        subprocess.run(["gcc", "-O2", "-Wall", "-o", programs[name], source], check=True)
    return programs


def kernel_headers(into: Path) -> Path:
    """Join Debian's two header packages into the one folder that BCC_KERNEL_SOURCE wants.

    BCC's tools include kernel headers; any version's will do for tcpstates, which reads
    tracepoint arguments only. Nothing is changed outside ``into``: the machine
    goes on having no headers for the kernel that runs.
    """
    headers = max(Path("/usr/src").glob("linux-headers-*-common"))
    arch = max(Path("/usr/src").glob(headers.name.removesuffix("common") + "a*64"))
    merged = into / "headers"
    for part in (headers, arch):
        subprocess.run(["cp", "-rsf", f"{part}/.", merged], check=True)
    return merged


def describe() -> dict[str, str | int]:
    """Say on what this ran."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    memory = int(Path("/proc/meminfo").read_text().split()[1])
    os_release = platform.freedesktop_os_release()
    return {
        "cpu": cpus[0].partition(":")[2].strip() if cpus else platform.machine(),
        "cores": len(cpus),
        "memory_gib": round(memory / 2**20),
        "kernel": platform.release(),
        "system": os_release.get("PRETTY_NAME", ""),
        "virtual": output_of("sh", "-c", "systemd-detect-virt 2>/dev/null || true").strip(),
        "commit": output_of(
            "git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"
        ).strip(),
    }
