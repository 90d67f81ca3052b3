"""The kernel's own functions for TIME_WAIT, watched by kprobes: another witness than timers.

tcptrace knows of timewait sockets from the tracepoints of their timers. Here it is the
functions that TCP itself calls: tcp_time_wait() makes one, inet_twsk_deschedule_put() ends it
early, tw_timer_handler() when its time is over.
"""

from __future__ import annotations

import ctypes
import ipaddress
import mmap
import os
import platform
import struct
from pathlib import Path
from typing import Any, NamedTuple

from tcptrace.bpf import SOURCES
from tcptrace.tracer.btf import Btf

FUNCTIONS = {
    "tcp_time_wait": "on_time_wait",
    "inet_twsk_deschedule_put": "on_deschedule",
    "tw_timer_handler": "on_expiry",
}
KINDS = ("timewait_start", "timewait_cancel", "timewait_expire")

# How a kprobe finds a function's first argument (arch/*/include/asm/ptrace.h).
_FIRST_ARGUMENT = {"x86_64": 14 * 8, "aarch64": 0}  # offset of di, of regs[0]

_PROGRAM = rb"""
#include <linux/types.h>

struct seen {
	__u64 time;
	__u64 kind;
	__u8 local[16];
	__u8 remote[16];
	__u32 netns;
	__u16 local_port;
	__u16 remote_port;
	__u32 cpu;
	__u32 pad;
};
BPF_RINGBUF_OUTPUT(seen, 64);

#define READ(to, from) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(from))

static int see(__u64 socket, __u64 kind)
{
	struct seen one = {.time = bpf_ktime_get_ns(), .kind = kind};
	__u16 family = 0;
	__u64 net = 0;

	READ(family, socket + SKC_FAMILY);
	if (family == 10) {
		READ(one.local, socket + SKC_V6_RCV_SADDR);
		READ(one.remote, socket + SKC_V6_DADDR);
	} else {
		one.local[10] = one.local[11] = one.remote[10] = one.remote[11] = 0xff;
		bpf_probe_read_kernel(one.local + 12, 4, (void *)(socket + SKC_RCV_SADDR));
		bpf_probe_read_kernel(one.remote + 12, 4, (void *)(socket + SKC_DADDR));
	}
	READ(one.local_port, socket + SKC_NUM);
	READ(one.remote_port, socket + SKC_DPORT);
	one.remote_port = __builtin_bswap16(one.remote_port);
	READ(net, socket + SKC_NET);
	READ(one.netns, net + NET_INUM);
	one.cpu = bpf_get_smp_processor_id();
	seen.ringbuf_output(&one, sizeof(one), 0);
	return 0;
}

static __u64 first_argument(void *ctx)
{
	return *(__u64 *)(ctx + FIRST_ARGUMENT);
}

int on_time_wait(void *ctx) { return see(first_argument(ctx), 0); }
int on_deschedule(void *ctx) { return see(first_argument(ctx), 1); }
int on_expiry(void *ctx) { return see(first_argument(ctx) - TW_TIMER, 2); }
"""

_SEEN = struct.Struct("=QQ16s16sIHHI4x")

_OFFSETS = {
    "SKC_FAMILY": "sock_common.skc_family",
    "SKC_V6_RCV_SADDR": "sock_common.skc_v6_rcv_saddr",
    "SKC_V6_DADDR": "sock_common.skc_v6_daddr",
    "SKC_RCV_SADDR": "sock_common.skc_rcv_saddr",
    "SKC_DADDR": "sock_common.skc_daddr",
    "SKC_NUM": "sock_common.skc_num",
    "SKC_DPORT": "sock_common.skc_dport",
    "SKC_NET": "sock_common.skc_net",
    "NET_INUM": "net.ns.inum",
    "TW_TIMER": "inet_timewait_sock.tw_timer",
}


class Call(NamedTuple):
    """One call; `time` is CLOCK_MONOTONIC, ns; `socket` its two ends."""

    time: int
    kind: str
    socket: tuple[str, int, str, int]
    cpu: int


def text(address: bytes) -> str:
    found = ipaddress.IPv6Address(address)
    return str(found.ipv4_mapped or found)


def missing() -> str | None:
    """Why there is no such witness here, or None."""
    if not Path("/sys/bus/event_source/devices/kprobe").exists():
        return "this kernel has no kprobes (CONFIG_KPROBE_EVENTS)"
    return None


class Witness:
    """Watches from the moment it is made until `close()`."""

    def __init__(self) -> None:
        os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES)
        from bcc import BPF

        btf = Btf()
        defines = {name: btf.offset(path) for name, path in _OFFSETS.items()}
        defines["FIRST_ARGUMENT"] = _FIRST_ARGUMENT[platform.machine()]
        defines["PAGE_SIZE"] = mmap.PAGESIZE
        flags = [f"-I{SOURCES}", f"-I{SOURCES / 'include'}"]
        flags += [f"-D{name}={value}" for name, value in defines.items()]
        self._bpf: Any = BPF(text=_PROGRAM, cflags=flags)
        self._calls: list[tuple[int, Call]] = []
        self._bpf[b"seen"].open_ring_buffer(self._take)
        for function, program in FUNCTIONS.items():
            self._bpf.attach_kprobe(event=function.encode(), fn_name=program.encode())

    def _take(self, _context: object, data: int, _size: int) -> None:
        record = ctypes.string_at(data, _SEEN.size)
        time, kind, local, remote, netns, local_port, remote_port, cpu = _SEEN.unpack(record)
        socket = (text(local), local_port, text(remote), remote_port)
        self._calls.append((netns, Call(time, KINDS[kind], socket, cpu)))

    def calls(self, netns: int) -> list[Call]:
        """Every call for a socket of a namespace, in the order they were made."""
        self._bpf.ring_buffer_consume()
        return [call for inode, call in self._calls if inode == netns]

    def close(self) -> None:
        self._bpf.cleanup()
