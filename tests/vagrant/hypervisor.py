"""A libvirt of our own, in namespaces of our own (run.py makes them): its folders, its daemons."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: libvirt's folders. The machine's own are not touched: others are mounted in their place.
FOLDERS = ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")
#: No other user to become, no cgroups, no security module: neither is to be had in a container.
QEMU = """
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
"""
PATIENCE = 60


@contextmanager
def libvirt(scratch: Path) -> Iterator[None]:
    """Start libvirt's daemons here, and end them."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    for folder in FOLDERS:
        own = scratch / folder.strip("/").replace("/", "-")
        # Only what its package brought, and not what the machine's libvirt has made since.
        shutil.copytree(folder, own, ignore=shutil.ignore_patterns("*.img", "*.xml", "*.qcow2"))
        subprocess.run(["mount", "--bind", own, folder], check=True)
    Path("/etc/libvirt/qemu.conf").write_text(QEMU)
    with (scratch / "libvirt.log").open("w") as log:
        daemons = [subprocess.Popen([name], stdout=log, stderr=log) for name in DAEMONS]
        try:
            _wait_until_it_answers(daemons)
            yield
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
            for daemon in daemons:
                daemon.wait()


DAEMONS = ("/usr/sbin/virtlogd", "/usr/sbin/libvirtd")


def _wait_until_it_answers(daemons: list[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + PATIENCE
    while subprocess.run(["virsh", "--quiet", "connect"], capture_output=True).returncode:
        if time.monotonic() > end or any(daemon.poll() is not None for daemon in daemons):
            raise RuntimeError("libvirt does not start")
        time.sleep(0.2)


def virsh(*words: str) -> list[str]:
    """Give the lines that virsh prints."""
    done = subprocess.run(["virsh", "--quiet", *words], check=True, capture_output=True, text=True)
    return done.stdout.split("\n")


def things() -> dict[str, list[str]]:
    """Name what libvirt holds: machines, networks, volumes."""
    pools = [name.strip() for name in virsh("pool-list", "--all", "--name") if name.strip()]
    volumes = [line.split()[0] for pool in pools for line in virsh("vol-list", pool) if line]
    return {
        "domains": [name for name in virsh("list", "--all", "--name") if name],
        "networks": [name for name in virsh("net-list", "--all", "--name") if name],
        "volumes": volumes,
    }
