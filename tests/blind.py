"""Does this kernel hide some of its tasks from BPF programs?

Kernels of sandboxes do: while a task of the sandbox's own is current, no program runs at a
tracepoint, and no softirq that interrupts the task is seen. What TCP does in such a softirq is
in no recording: of 381,448 transitions that ftrace told of while two CPUs passed each other
segments, 168 were not in tcptrace's, and in all of these one task was current, which is in no
recording. It shows in the task switches: the task that a CPU leaves is not the one it was last
seen to go to.

``python tests/blind.py [SECONDS]`` counts, prints, and exits with 0 if any is hidden, else 1.
"""

from __future__ import annotations

import os
import sys
import time

from tcptrace.bpf import SOURCES
from tcptrace.tracer.btf import Btf

PROGRAM = r"""
#include <linux/types.h>
BPF_PERCPU_ARRAY(going_to, __u64, 1);
BPF_PERCPU_ARRAY(counts, __u64, 2);

int on_switch(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 leaving = ctx->args[1];
	int zero = 0, one = 1;
	__u64 *expected = going_to.lookup(&zero);
	__u64 *all = counts.lookup(&zero), *unseen = counts.lookup(&one);

	if (!expected || !all || !unseen)
		return 0;
	*all += 1;
	if (*expected && *expected != leaving)
		*unseen += 1;
	*expected = ctx->args[2];
	return 0;
}
"""


def main() -> None:
    """Watch for so many seconds, 5 unless told."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    if Btf().tracepoint_arguments("sched_switch") is None:
        sys.exit("this kernel does not tell of task switches")
    os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES)
    from bcc import BPF

    bpf = BPF(text=PROGRAM, cflags=[f"-I{SOURCES}", f"-I{SOURCES / 'include'}"])
    bpf.attach_raw_tracepoint("sched_switch", "on_switch")
    time.sleep(seconds)
    switches, unseen = (bpf["counts"].sum(index).value for index in (0, 1))
    sys.stdout.write(f"{unseen} of {switches} task switches were hidden from BPF\n")
    sys.exit(0 if unseen else 1)


if __name__ == "__main__":
    main()
