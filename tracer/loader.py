"""Compile and attach the programs, in a process of its own.

``python -m tcptrace.tracer.loader SOCKET EVENTS COUNTS CANCELLED MARKS`` is started by
:mod:`tcptrace.tracer.capture` with inherited file descriptors: a Unix socket and the
maps. It answers with one message on the socket: a JSON object (``probes``, ``lacks``,
``reset_reasons``, ``tracepoints`` or ``error``) and descriptors: so many of attached
tracepoints, then those of the programs behind which a second one stands. Then it ends, and
LLVM's 100 MB end with it.
"""

import contextlib
import json
import os
import socket
import sys
from typing import Any

from tcptrace.tracer.bpf import attach
from tcptrace.tracer.btf import Btf
from tcptrace.tracer.compiled import MAPS, compiled, with_maps
from tcptrace.tracer.errors import PreflightError
from tcptrace.tracer.offsets import KernelFacts, kernel_facts
from tcptrace.tracer.probes import PROBES, Probe


class _Programs:
    """The programs, as this kernel takes them."""

    def __init__(self, btf: Btf, facts: KernelFacts, maps: dict[str, int]) -> None:
        self._btf, self._facts, self._maps = btf, facts, maps
        self._typed = self._compiled({"TYPED": 1})
        self._plain: dict[str, bytes] = {}

    def _compiled(self, more: dict[str, int]) -> dict[str, bytes]:
        names = [
            name
            for probe in PROBES
            if probe.family not in self._facts.missing
            for name in probe.programs
        ]
        return compiled(self._facts.defines | more, names)

    def _attach(
        self, probe: Probe, programs: dict[str, bytes], type_id: int | None
    ) -> list[tuple[int, int]]:
        """Attach all that a probe consists of, or nothing."""
        with contextlib.ExitStack() as undo:
            descriptors = []
            for name in probe.programs:
                code = with_maps(programs[name], self._maps)
                descriptors.append(attach(name, code, probe.tracepoint, type_id))
                for each in descriptors[-1]:
                    undo.callback(os.close, each)
            undo.pop_all()
        return descriptors

    def attach(self, probe: Probe) -> list[tuple[int, int]]:
        """Attach what a probe consists of; give what :func:`attach` gives for each program."""
        type_id = self._btf.tracepoint(probe.tracepoint) if probe.typed else None
        if type_id is not None or not probe.typed:
            with contextlib.suppress(OSError):
                return self._attach(probe, self._typed, type_id)
        # A kernel whose verifier does not take it.
        self._plain = self._plain or self._compiled({})
        return self._attach(probe, self._plain, None)


def load(maps: dict[str, int]) -> tuple[dict[str, Any], list[int]]:
    """Attach every probe that can be; say why of each that cannot.

    Gives the answer to the recorder and the descriptors that go with it.
    """
    btf = Btf()
    facts = kernel_facts(btf)
    programs = _Programs(btf, facts, maps)
    statuses: dict[str, Any] = {}
    tracepoints: list[int] = []
    firsts: list[int] = []
    for probe in PROBES:
        reason = facts.missing.get(probe.family)
        if reason is None:
            try:
                attached = programs.attach(probe)
            except Exception as error:
                reason = str(error) or type(error).__name__
            else:
                tracepoints += [tracepoint for tracepoint, _ in attached]
                firsts += [program for _, program in attached[:-1]]
                os.close(attached[-1][1])
        statuses[probe.name] = {"attached": reason is None, "reason": reason}
    answer = {
        "probes": statuses,
        "lacks": facts.lacks,
        "reset_reasons": facts.reset_reasons,
        "tracepoints": len(tracepoints),
    }
    return answer, tracepoints + firsts


def main() -> None:
    """Answer the parent over the inherited socket."""
    channel_fd, *descriptors = map(int, sys.argv[1:])
    maps = dict(zip(MAPS, descriptors, strict=True))
    made: list[int] = []
    try:
        answer, made = load(maps)
    except PreflightError as error:
        answer = {"error": str(error)}
    with socket.socket(fileno=channel_fd) as channel:
        socket.send_fds(channel, [json.dumps(answer).encode()], made)


if __name__ == "__main__":
    main()
