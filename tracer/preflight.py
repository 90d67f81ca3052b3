"""What this machine offers, what is lost without it, and how to get it."""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tcptrace.tracer.errors import PreflightError
from tcptrace.tracer.privileges import effective

_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_TRACEFS = (Path("/sys/kernel/tracing/events"), Path("/sys/kernel/debug/tracing/events"))
_STATUS = Path("/proc/self/status")
_USER_NAMESPACE = Path("/proc/self/ns/user")
_INITIAL_USER_NAMESPACE = 0xEFFFFFFD  # PROC_USER_INIT_INO (include/linux/proc_ns.h)
#: Where Debian's python3-bpfcc puts bcc.
_SYSTEM_BCC = Path("/usr/lib/python3/dist-packages/bcc")
_RING_SIZE = 1 << 20
#: What to do, by what the reason speaks of.
_FIXES = {
    "kptr_restrict": "sysctl kernel.kptr_restrict=1",
    "CAP_SYSLOG": "run it as root, or with CAP_SYSLOG, too",
    "kallsyms": "a kernel with CONFIG_KALLSYMS, and /proc mounted",
}


@dataclass(frozen=True)
class Check:
    """One thing looked at. ``required``: nothing can be recorded without it.

    ``lost``: what a recording lacks without it. ``fix``: what to do.
    """

    name: str
    ok: bool
    found: str
    required: bool = True
    lost: str = ""
    fix: str = ""


def check_rights() -> Check:
    """Look at the rights BPF needs: root, or CAP_BPF and CAP_PERFMON, of the machine itself."""
    held = effective(_STATUS)
    lacking = [] if "CAP_SYS_ADMIN" in held else sorted({"CAP_BPF", "CAP_PERFMON"} - held)
    root = os.geteuid() == 0
    found = "root" if root else f"user {os.geteuid()}"
    fix = "sudo tcptrace record"
    if _USER_NAMESPACE.stat().st_ino != _INITIAL_USER_NAMESPACE:
        found += " in a user namespace, where no capability counts for BPF"
        fix = "run it outside; of containers, in one that is not rootless"
        return Check("rights", False, found, lost="everything", fix=fix)
    if root and lacking:
        found += f", without {' and '.join(lacking)}"
        fix = "in a container: docker run --cap-add=BPF --cap-add=PERFMON"
    elif not root and not lacking:
        found += ", with CAP_BPF"
    return Check("rights", not lacking, found, lost="everything", fix=fix)


def check_bcc() -> Check:
    """Look for the Python module bcc, without importing it."""
    found = find_spec("bcc") is not None
    fix = "apt-get install python3-bpfcc (Debian, Ubuntu) or dnf install python3-bcc (Fedora)"
    if not found and sys.prefix != sys.base_prefix and _SYSTEM_BCC.exists():
        fix = (
            f"it is in {_SYSTEM_BCC.parent}, which the virtual environment {sys.prefix} does not "
            "see: make it with --system-site-packages and the distribution's python3"
        )
    return Check("bcc", found, "found" if found else "missing", lost="everything", fix=fix)


def _lockdown() -> Check:
    try:
        text = _LOCKDOWN.read_text()
    except OSError as error:
        return Check("lockdown", True, f"not known: {error.strerror}", required=False)
    mode = text.partition("[")[2].partition("]")[0] or "none"
    return Check(
        "lockdown",
        mode != "confidentiality",
        mode,
        lost="everything",
        fix="boot with lockdown=integrity, or without",
    )


def _tracefs() -> Check:
    mounted = any(os.access(path, os.F_OK) for path in _TRACEFS)
    found = "mounted" if mounted else "not mounted, or not to be seen"
    return Check("tracefs", True, f"{found}; raw tracepoints do without it", required=False)


def _ring_buffer() -> Check:
    from tcptrace.tracer import bpf

    try:
        os.close(bpf.create_map(bpf.MAP_RINGBUF, 0, 0, _RING_SIZE, 0, "check"))
    except OSError as error:
        return Check(
            "BPF ring buffer",
            False,
            error.strerror or str(error),
            lost="everything",
            fix="Linux 5.8 or newer; in a container, its seccomp profile must allow bpf(2)",
        )
    return Check("BPF ring buffer", True, "works")


def _tracepoints(*, privileged: bool) -> Iterator[Check]:
    """Look at BTF and each tracepoint; what only root can see, only with rights."""
    from tcptrace.tracer.btf import VMLINUX, Btf
    from tcptrace.tracer.offsets import kernel_facts
    from tcptrace.tracer.probes import PROBES, REQUIRED

    try:
        btf = Btf()
        facts = kernel_facts(btf)
    except PreflightError as error:
        yield Check(
            "BTF",
            False,
            str(error),
            lost="everything",
            fix="a distribution's kernel (built with CONFIG_DEBUG_INFO_BTF)",
        )
        return
    yield Check("BTF", True, str(VMLINUX))
    for probe in PROBES:
        reason = facts.missing.get(probe.family) if privileged else None
        if btf.tracepoint_arguments(probe.tracepoint) is None:
            reason = "this kernel does not have it"
        fix = next((fix for word, fix in _FIXES.items() if word in (reason or "")), "")
        yield Check(
            probe.name,
            reason is None,
            reason or "available",
            required=probe.name in REQUIRED,
            lost=probe.without,
            fix=fix or "a newer kernel",
        )
    for note in facts.lacks.values() if privileged else ():
        yield Check("note", True, note, required=False)


def _attach() -> Check:
    """Attach the probes for a moment: nothing else is proof."""
    from tcptrace.tracer.capture import Capture

    try:
        with Capture.start(_RING_SIZE) as capture:
            attached = sum(bool(probe["attached"]) for probe in capture.probes.values())
            return Check("attach", True, f"{attached} of {len(capture.probes)} probes attached")
    except PreflightError as error:
        return Check("attach", False, str(error), lost="everything")


def checks() -> Iterator[Check]:
    """Look at everything, what is cheapest first; at last, try it."""
    yield Check("kernel", True, f"{platform.release()} {platform.machine()}", required=False)
    rights = check_rights()
    seen = [rights, check_bcc(), _lockdown()]
    yield from seen
    yield _tracefs()
    if rights.ok:
        seen.append(_ring_buffer())
        yield seen[-1]
    for check in _tracepoints(privileged=rights.ok):
        seen.append(check)
        yield check
    if all(check.ok for check in seen if check.required):
        yield _attach()


def require_rights_and_bcc() -> None:
    """Raise :class:`PreflightError` with the fix if one of the two is missing, or forbidden."""
    rights = check_rights()
    for check, what in (
        (rights, f"recording needs {'more than this ' if os.geteuid() == 0 else ''}root"),
        (check_bcc(), "the Python module bcc is missing"),
        (_lockdown(), "lockdown is confidentiality, which forbids BPF to read the kernel"),
    ):
        if not check.ok:
            raise PreflightError(f"{what}: {check.fix}")
