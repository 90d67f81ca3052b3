"""Compile and attach the programs, in a process of its own; the only file with bcc.

``python -m tcptrace.tracer.loader SOCKET EVENTS LOST CANCELLED`` is started by
:mod:`tcptrace.tracer.capture` with four inherited file descriptors: a Unix socket
and the three maps. It answers with one message on the socket: a JSON object
(``probes``, ``notes``, ``reset_reasons``, ``tracepoints`` or ``error``) and
descriptors: first of the attached tracepoints, so many as ``tracepoints`` says, then of
the programs that may miss events by being interrupted. Then it ends, and LLVM's 100 MB end with it.
"""

import json
import os
import socket
import sys
import tempfile
from typing import Any

from tcptrace.bpf import SOURCES
from tcptrace.tracer.btf import Btf
from tcptrace.tracer.errors import PreflightError
from tcptrace.tracer.offsets import KernelFacts, kernel_facts
from tcptrace.tracer.probes import INTERRUPTIBLE, PROBES, Probe

NO_BCC = (
    "the Python module bcc is missing: "
    "apt-get install python3-bpfcc (Debian, Ubuntu), dnf install python3-bcc (Fedora)"
)


def _compile(facts: KernelFacts, maps: dict[str, int]) -> Any:
    """Compile bpf/tcptrace.c without the kernel's headers."""
    # BCC looks for kernel headers here and is content with the few it needs.
    os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES)
    try:
        from bcc import BPF
    except ImportError as error:
        raise PreflightError(NO_BCC) from error
    defines = [f"-D{name}={value:#x}" for name, value in (facts.defines | maps).items()]
    includes = [f"-I{SOURCES}", f"-I{SOURCES / 'include'}"]
    with tempfile.TemporaryFile() as messages:
        saved = os.dup(2)
        os.dup2(messages.fileno(), 2)
        try:
            return BPF(src_file=str(SOURCES / "tcptrace.c"), cflags=[*includes, *defines])
        except Exception as error:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").splitlines()
            detail = next((line for line in lines if "error" in line.lower()), str(error))
            raise PreflightError(f"the BPF programs do not compile: {detail}") from error
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _attach(bpf: Any, probe: Probe, name: str) -> tuple[int, int]:
    """Load and attach a program of a probe; give the tracepoint's and the program's descriptors."""
    from bcc import BPF
    from bcc.libbcc import lib

    devnull = os.open(os.devnull, os.O_WRONLY)
    saved = os.dup(2)
    os.dup2(devnull, 2)  # bcc prints the verifier's log; the reason goes to the caller
    try:
        program = bpf.load_func(name, BPF.RAW_TRACEPOINT)
        # Not attach_raw_tracepoint(): it allows one program a tracepoint.
        attached: int = lib.bpf_attach_raw_tracepoint(program.fd, probe.tracepoint.encode())
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)
    if attached < 0:
        raise OSError(f"raw tracepoint {probe.tracepoint} refused")
    return attached, program.fd


def load(maps: dict[str, int]) -> tuple[dict[str, Any], list[int]]:
    """Attach every probe that can be; say why of each that cannot.

    Gives the answer to the recorder and the descriptors that go with it.
    """
    facts = kernel_facts(Btf())
    bpf = _compile(facts, maps)
    statuses: dict[str, Any] = {}
    tracepoints: list[int] = []
    programs: list[int] = []
    for probe in PROBES:
        reason = facts.missing.get(probe.family)
        if reason is None:
            try:
                if probe.calls is not None:
                    # What it misses is the other's to record: no loss.
                    tracepoints.append(_attach(bpf, probe, probe.calls)[0])
                tracepoint, program = _attach(bpf, probe, probe.program)
                tracepoints.append(tracepoint)
                if probe.family in INTERRUPTIBLE:
                    programs.append(program)
            except Exception as error:
                reason = str(error) or type(error).__name__
        statuses[probe.name] = {"attached": reason is None, "reason": reason}
    answer = {
        "probes": statuses,
        "notes": facts.notes,
        "reset_reasons": facts.reset_reasons,
        "tracepoints": len(tracepoints),
    }
    return answer, tracepoints + programs


def main() -> None:
    """Answer the parent over the inherited socket."""
    channel_fd, events, lost, cancelled = map(int, sys.argv[1:5])
    maps = {"MAP_EVENTS": events, "MAP_LOST": lost, "MAP_CANCELLED": cancelled}
    descriptors: list[int] = []
    try:
        answer, descriptors = load(maps)
    except PreflightError as error:
        answer = {"error": str(error)}
    with socket.socket(fileno=channel_fd) as channel:
        socket.send_fds(channel, [json.dumps(answer).encode()], descriptors)


if __name__ == "__main__":
    main()
