"""What it costs to be there at all: programs that do nothing, attached as the recorder's are.

On states there are two (bpf/once.h). With one on each tracepoint 3.8 % of the connections
were lost when these lost 5.1 (16 runs each, in turn).
"""

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
                for each in attach(name, _NOTHING, probe.tracepoint, type_id):
                    attached.callback(os.close, each)
        yield


def floor(bench: Bench, seconds: float, repeats: int) -> Figures:
    """Run the churn with programs that do nothing and without, in turn: connections/s of each."""
    rates: Figures = {"none": [], "nothing": []}
    options = ("--mode", "server", "--seconds", str(seconds))
    # The difference is small: more runs than of others.
    for _ in range(3 * repeats):
        rates["none"].append({"rate": run(bench, None, *options).load["rate"]})
        with programs_that_do_nothing():
            rates["nothing"].append({"rate": run(bench, None, *options).load["rate"]})
        none, nothing = (rates[name][-1]["rate"] for name in ("none", "nothing"))
        click.echo(f"  {none:,} connections/s, {nothing:,} with programs that do nothing", err=True)
    return rates
