"""What this machine offers, what is lost without it, and how to get it."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tcptrace.tracer.errors import PreflightError

_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_TRACEFS = (Path("/sys/kernel/tracing/events"), Path("/sys/kernel/debug/tracing/events"))
_CAPABILITIES = {"CAP_BPF": 39, "CAP_PERFMON": 38, "CAP_SYS_ADMIN": 21}


@dataclass(frozen=True)
class Check:
    """One thing looked at. ``required``: nothing can be recorded without it.

    ``lost``: what a recording lacks without it. ``fix``: what to do, in one line.
    """

    name: str
    ok: bool
    found: str
    required: bool = True
    lost: str = ""
    fix: str = ""


def check_rights() -> Check:
    """Look at the rights BPF needs: root, or CAP_BPF and CAP_PERFMON."""
    held = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
    has = {name: bool(held >> bit & 1) for name, bit in _CAPABILITIES.items()}
    ok = has["CAP_SYS_ADMIN"] or (has["CAP_BPF"] and has["CAP_PERFMON"])
    return Check(
        "rights",
        ok,
        "root" if os.geteuid() == 0 and ok else f"user {os.geteuid()}",
        lost="everything",
        fix="run it as root: sudo tcptrace record",
    )


def check_bcc() -> Check:
    """Look for the Python module bcc, without importing it."""
    found = find_spec("bcc") is not None
    return Check(
        "bcc",
        found,
        "found" if found else "missing",
        lost="everything",
        fix="apt-get install python3-bpfcc (Debian, Ubuntu); dnf install python3-bcc (Fedora)",
    )


def _lockdown() -> Check:
    try:
        text = _LOCKDOWN.read_text()
    except OSError:
        text = "[none]"
    mode = text.partition("[")[2].partition("]")[0] or "none"
    return Check(
        "lockdown",
        mode != "confidentiality",
        mode,
        lost="everything",
        fix="boot without lockdown=confidentiality",
    )


def _tracefs() -> Check:
    mounted = any(path.is_dir() for path in _TRACEFS)
    return Check(
        "tracefs",
        True,
        "mounted" if mounted else "not mounted; not needed, raw tracepoints do without it",
        required=False,
    )


def _kernel_features() -> Iterator[Check]:
    """Look at BTF, the ring buffer, each tracepoint."""
    # Imported late: numpy and pyarrow are not needed to say that rights are missing.
    from tcptrace.tracer import bpf
    from tcptrace.tracer.btf import VMLINUX, Btf
    from tcptrace.tracer.offsets import kernel_facts
    from tcptrace.tracer.probes import PROBES, REQUIRED

    try:
        os.close(bpf.create_map(bpf.MAP_RINGBUF, 0, 0, 4096 * 16, 0, "check"))
        yield Check("ring buffer", True, "works")
    except OSError as error:
        yield Check(
            "ring buffer",
            False,
            error.strerror or str(error),
            lost="everything",
            fix="Linux 5.8 or newer, and kernel.unprivileged_bpf or rights as above",
        )
    try:
        btf = Btf()
        facts = kernel_facts(btf)
    except PreflightError as error:
        yield Check(
            "BTF",
            False,
            str(error),
            lost="everything",
            fix="use a distribution kernel (CONFIG_DEBUG_INFO_BTF)",
        )
        return
    yield Check("BTF", True, str(VMLINUX))
    for probe in PROBES:
        reason = facts.missing.get(probe.family)
        if reason is None and btf.tracepoint_arguments(probe.tracepoint) is None:
            reason = "this kernel does not have it"
        yield Check(
            probe.name,
            reason is None,
            reason or "available",
            required=probe.name in REQUIRED,
            lost=probe.without,
            fix="a newer kernel" if "kptr_restrict" not in (reason or "") else "see above",
        )
    for note in facts.notes:
        yield Check("note", True, note, required=False)


def checks() -> Iterator[Check]:
    """Look at everything, what is cheapest first."""
    yield Check("kernel", True, f"{platform.release()} {platform.machine()}", required=False)
    yield check_rights()
    yield check_bcc()
    yield _lockdown()
    yield _tracefs()
    yield from _kernel_features()


def require_rights_and_bcc() -> None:
    """Raise :class:`PreflightError` with the fix if one of the two is missing."""
    for check in (check_rights(), check_bcc()):
        if not check.ok:
            what = "this needs root" if check.name == "rights" else "the module bcc is missing"
            raise PreflightError(f"{what}: {check.fix}")
