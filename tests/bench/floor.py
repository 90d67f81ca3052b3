"""What any tool on these tracepoints costs: programs there that do nothing."""

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import Any

import click
from measure import Bench, run

from tcptrace.tracer.bpf import attach
from tcptrace.tracer.btf import Btf
from tcptrace.tracer.probes import PROBES

Figures = dict[str, Any]
#: r0 = 0; exit
_NOTHING = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)


@contextlib.contextmanager
def programs_that_do_nothing() -> Iterator[None]:
    """Attach one wherever the recorder attaches one of its own, in the same way."""
    btf = Btf()
    with contextlib.ExitStack() as attached:
        for probe in PROBES:
            type_id = btf.tracepoint(probe.tracepoint) if probe.typed else None
            for name in probe.programs:
                attached.callback(os.close, attach(name, _NOTHING, probe.tracepoint, type_id))
        yield


def floor(bench: Bench, seconds: float, repeats: int) -> Figures:
    """Run loads with programs that do nothing and without, in turn: connections/s of each."""
    results: Figures = {mode: {"none": [], "nothing": []} for mode in ("server", "web")}
    for _ in range(repeats):
        for mode, rates in results.items():
            options = ("--mode", mode, "--seconds", str(seconds))
            rates["none"].append({"rate": run(bench, None, *options).load["rate"]})
            with programs_that_do_nothing():
                rates["nothing"].append({"rate": run(bench, None, *options).load["rate"]})
            none, nothing = (rates[name][-1]["rate"] for name in ("none", "nothing"))
            click.echo(f"  {mode}: {none:,} connections/s, {nothing:,} with nothing", err=True)
    return results
