"""Compile and attach the programs, in a process of its own; the only file with bcc.

``python -m tcptrace.tracer.loader SOCKET EVENTS LOST CANCELLED MARKS`` is started by
:mod:`tcptrace.tracer.capture` with inherited file descriptors: a Unix socket and the
maps. It answers with one message on the socket: a JSON object (``probes``, ``notes``,
``reset_reasons`` or ``error``) and the descriptors of the attached tracepoints. Then it
ends, and LLVM's 100 MB end with it.
"""

import contextlib
import json
import os
import socket
import sys
import tempfile
from typing import Any

from tcptrace.bpf import SOURCES
from tcptrace.tracer.bpf import attach_typed
from tcptrace.tracer.btf import Btf
from tcptrace.tracer.errors import PreflightError
from tcptrace.tracer.offsets import KernelFacts, kernel_facts
from tcptrace.tracer.probes import PROBES, Probe

NO_BCC = (
    "the Python module bcc is missing: "
    "apt-get install python3-bpfcc (Debian, Ubuntu), dnf install python3-bcc (Fedora)"
)

#: The maps' descriptors, in the order of the command line.
MAPS = ("MAP_EVENTS", "MAP_LOST", "MAP_CANCELLED", "MAP_MARKS")


def _compile(facts: KernelFacts, maps: dict[str, int], *, typed: bool) -> Any:
    """Compile bpf/tcptrace.c without the kernel's headers.

    ``typed``: such that typed programs can only be attached as these.
    """
    # BCC looks for kernel headers here and is content with the few it needs.
    os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES)
    try:
        from bcc import BPF
    except ImportError as error:
        raise PreflightError(NO_BCC) from error
    values = facts.defines | maps | ({"TYPED": 1} if typed else {})
    defines = [f"-D{name}={value:#x}" for name, value in values.items()]
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


def _attach(bpf: Any, tracepoint: str, name: str) -> int:
    """Load and attach a program; give the descriptor that keeps it attached."""
    from bcc import BPF
    from bcc.libbcc import lib

    devnull = os.open(os.devnull, os.O_WRONLY)
    saved = os.dup(2)
    os.dup2(devnull, 2)  # bcc prints the verifier's log; the reason goes to the caller
    try:
        program = bpf.load_func(name, BPF.RAW_TRACEPOINT)
        # Not attach_raw_tracepoint(): it allows one program a tracepoint.
        attached: int = lib.bpf_attach_raw_tracepoint(program.fd, tracepoint.encode())
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)
    if attached < 0:
        raise OSError(f"raw tracepoint {tracepoint} refused")
    return attached


class _Programs:
    """The programs, compiled for this kernel."""

    def __init__(self, btf: Btf, facts: KernelFacts, maps: dict[str, int]) -> None:
        self._btf, self._facts, self._maps = btf, facts, maps
        self._typed = _compile(facts, maps, typed=True)
        self._plain: Any = None

    def attach(self, probe: Probe) -> list[int]:
        """Attach what a probe consists of; give the descriptors that keep it attached."""
        if not probe.typed:
            return [_attach(self._typed, probe.tracepoint, name) for name in probe.programs]
        tracepoint = self._btf.tracepoint(probe.tracepoint)
        if tracepoint is not None and self._plain is None:
            with contextlib.suppress(OSError):
                return [
                    attach_typed(self._typed.dump_func(name.encode()), tracepoint, name)
                    for name in probe.programs
                ]
        # A kernel whose verifier does not take it.
        self._plain = self._plain or _compile(self._facts, self._maps, typed=False)
        return [_attach(self._plain, probe.tracepoint, name) for name in probe.programs]


def load(maps: dict[str, int]) -> tuple[dict[str, Any], list[int]]:
    """Attach every probe that can be; say why of each that cannot.

    Gives the answer to the recorder and the attached tracepoints' descriptors.
    """
    btf = Btf()
    facts = kernel_facts(btf)
    programs = _Programs(btf, facts, maps)
    statuses: dict[str, Any] = {}
    tracepoints: list[int] = []
    for probe in PROBES:
        reason = facts.missing.get(probe.family)
        if reason is None:
            try:
                tracepoints += programs.attach(probe)
            except Exception as error:
                reason = str(error) or type(error).__name__
        statuses[probe.name] = {"attached": reason is None, "reason": reason}
    answer = {
        "probes": statuses,
        "notes": facts.notes,
        "reset_reasons": facts.reset_reasons,
    }
    return answer, tracepoints


def main() -> None:
    """Answer the parent over the inherited socket."""
    channel_fd, *descriptors = map(int, sys.argv[1:])
    maps = dict(zip(MAPS, descriptors, strict=True))
    tracepoints: list[int] = []
    try:
        answer, tracepoints = load(maps)
    except PreflightError as error:
        answer = {"error": str(error)}
    with socket.socket(fileno=channel_fd) as channel:
        socket.send_fds(channel, [json.dumps(answer).encode()], tracepoints)


if __name__ == "__main__":
    main()
