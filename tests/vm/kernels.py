"""Debian's kernels: image, modules and a first root file system for each."""

from __future__ import annotations

import lzma
import tempfile
from dataclasses import dataclass
from pathlib import Path

from apt import Apt
from architecture import Architecture
from cache import kept, key_of, run, say

HERE = Path(__file__).parent

#: A kernel's name here, and the release of Debian that has it.
SUITES = {
    "5.10": "bullseye",
    "6.1": "bookworm",
    "6.12": "trixie",
    "newest": "sid",
    "6.12-16k": "trixie",
}
#: Kernels that are none of the cloud's. With pages of 16 KiB: arm64 only.
PACKAGES = {"6.12-16k": "linux-image-arm64-16k"}

#: What the first root file system needs to mount the real one, which lies in memory or on a
#: drive (guest.py).
FIRST_MODULES = ("virtio_pci", "virtio_blk", "virtio_pmem", "nd_pmem", "crc32c_generic", "ext4")


@dataclass(frozen=True)
class Kernel:
    """``modules``: an ext4 image with lib/modules and boot/config-RELEASE."""

    name: str
    release: str
    image: Path
    initramfs: Path
    modules: Path


def kernel(name: str, architecture: Architecture, *, fresh: bool = False) -> Kernel:
    """Fetch a kernel, unless one of that name is there already; ``fresh``: in any case."""
    suite = SUITES[name]
    package = PACKAGES.get(name, f"linux-image-cloud-{architecture.name}")
    sources = [HERE / "kernels.py", HERE / "apt.py", HERE / "first-init"]
    folder = kept(
        f"kernel-{name}-{architecture.name}",
        key_of(suite, package, architecture, *sources),
        lambda made: _make(made, suite, package, architecture),
        fresh=fresh,
    )
    release = (folder / "release").read_text()
    return Kernel(name, release, folder / "vmlinuz", folder / "initramfs", folder / "modules.img")


def _make(made: Path, suite: str, package: str, architecture: Architecture) -> None:
    say(f"Fetching the kernel of Debian's {suite}")
    with tempfile.TemporaryDirectory(dir=made.parent) as name:
        apt, tree, busybox = (Path(name, each) for each in ("apt", "tree", "busybox"))
        packages = Apt(apt, suite, architecture.name)
        packages.unpack(packages.depends(package, r"linux-(image|binary|modules|base-[0-9])"), tree)
        (folder,) = [*tree.glob("lib/modules/*"), *tree.glob("usr/lib/modules/*")]
        release = folder.name
        modules = _joined_modules(tree, release)
        (image,) = [*tree.glob("boot/vmlinu[xz]-*"), *modules.glob("vmlinu[xz]")]
        run("depmod", "--basedir", modules.parents[2], release)
        image.rename(made / "vmlinuz")
        (made / "release").write_text(release)
        packages.unpack(["busybox-static"], busybox)
        _initramfs(made / "initramfs", busybox, modules)
        _modules_image(made / "modules.img", tree, release)


def _joined_modules(tree: Path, release: str) -> Path:
    """Newer packages have /usr/lib/modules, and the kernel's image in it: one place for both."""
    modules = tree / "lib/modules" / release
    other = tree / "usr/lib/modules" / release
    if other.exists():
        modules.mkdir(parents=True, exist_ok=True)
        run("cp", "--archive", f"{other}/.", modules)
        run("rm", "--recursive", other)
    return modules


def _needed(modules: Path) -> list[Path]:
    """The files of FIRST_MODULES in the order in which they must be loaded."""
    needs: dict[str, tuple[str, list[str]]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        stem = Path(path).name.partition(".")[0].replace("-", "_")
        needs[stem] = (path, others.split())
    found: list[str] = []
    for name in FIRST_MODULES:
        if name in needs:  # else it is built in
            path, others = needs[name]
            found += [each for each in [*reversed(others), path] if each not in found]
    return [modules / each for each in found]


def _initramfs(path: Path, busybox: Path, modules: Path) -> None:
    root = busybox.parent / "first"
    for name in ("bin", "dev", "proc", "sys", "root", "modules"):
        (root / name).mkdir(parents=True)
    (binary,) = busybox.glob("**/bin/busybox")
    run("cp", binary, root / "bin/busybox")
    run("cp", HERE / "first-init", root / "init")
    for number, module in enumerate(_needed(modules)):
        data = module.read_bytes()
        if module.suffix == ".xz":
            data = lzma.decompress(data)
        name = module.name.removesuffix(".xz")
        (root / "modules" / f"{number:02}-{name}").write_bytes(data)
    run("sh", "-c", f"find . | cpio --quiet --create --format=newc >{path}", cwd=root)


def _modules_image(path: Path, tree: Path, release: str) -> None:
    """Modules and configuration, for any guest to mount."""
    content = tree.parent / "content"
    (content / "boot").mkdir(parents=True)
    run("mv", tree / "lib", content / "lib")
    for config in tree.glob(f"boot/config-{release}"):
        run("mv", config, content / "boot")
    options = ("-q", "-F", "-L", "kernel", "-O", "^has_journal", "-b", "4096")
    run("mkfs.ext4", *options, "-d", content, path, "512M")
