/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reserve, fill and submit a record. Offsets into kernel structures are
 * given as OFFSET_* by tracer/offsets.py, which reads them from BTF; the maps
 * are made by the tracer and known here by their file descriptors.
 */
#ifndef TCPTRACE_EMIT_H
#define TCPTRACE_EMIT_H

#include "event.h"

#define INLINE static inline __attribute__((always_inline))
#define MAP(fd) ((void *)bpf_pseudo_fd(1, fd))

#define STATE_SYN_SENT 2
#define STATE_SYN_RECV 3
#define STATE_FIN_WAIT_1 4
#define STATE_FIN_WAIT_2 5
#define STATE_TIME_WAIT 6
#define STATE_CLOSE 7
#define STATE_CLOSE_WAIT 8
#define STATE_LAST_ACK 9
#define STATE_LISTEN 10
#define STATE_NEW_SYN_RECV 12

#define FAMILY_INET 2
#define FAMILY_INET6 10
#define PROTOCOL_TCP 6

/* The part of struct sock_common that holds the tuple, read in one go:
 * one call of bpf_probe_read_kernel instead of seven. Aligned: its members are
 * read as what they are, the verifier refuses an unaligned read of the stack,
 * and LLVM from 19 on puts bytes anywhere. */
struct common {
	__u8 bytes[COMMON_SIZE] __attribute__((aligned(8)));
};

#define COMMON(c, type, offset) (*(type *)((c)->bytes + (offset)))

/* Read `size` bytes at `base + offset`; zero where the kernel refuses. */
#define READ(to, base, offset) \
	bpf_probe_read_kernel(&(to), sizeof(to), (const void *)((__u64)(base) + (offset)))

/* The same of a program's own argument, in a program that is attached typed where
 * the verifier knows the argument's type (tracer/bpf.py): there read as it is. */
#ifdef TYPED
#define GET(to, base, offset) ((to) = *(typeof(to) *)((base) + (offset)))
#else
#define GET(to, base, offset) READ(to, base, offset)
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NETWORK16(value) __builtin_bswap16(value)
#define NETWORK32(value) __builtin_bswap32(value)
#else
#define NETWORK16(value) (value)
#define NETWORK32(value) (value)
#endif

INLINE __u16 from_network16(__u16 value)
{
	return NETWORK16(value);
}

/* Each CPU's numbers, one behind the other (tracer/capture.py). */
#define COUNT_LOST 0
#define COUNT_BY_SECOND 1
#define COUNTS 2

INLINE void count(__u32 what)
{
	__u32 place = bpf_get_smp_processor_id() * COUNTS + what;
	__u64 *number = bpf_map_lookup_elem(MAP(MAP_COUNTS), &place);

	if (number)
		__sync_fetch_and_add(number, 1);
}

/* Each CPU has its ring, or shares it with few others: with one ring for all an event
 * cost, on the same two busy virtual CPUs, 220 ns at times and 455 at others, with a ring
 * each 233 and 271. A ring that is full loses a record: count each one. */
INLINE struct event *reserve(void)
{
	__u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(MAP(MAP_EVENTS), &cpu);
	struct event *event = NULL;

	if (ring)
		event = bpf_ringbuf_reserve(ring, sizeof(*event), 0);
	if (!event)
		count(COUNT_LOST);
	return event;
}

/* The reader polls: waking it costs an interrupt per record under load. */
INLINE void submit(struct event *event)
{
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

INLINE void set_mapped(__u8 *address, __be32 ipv4)
{
	__builtin_memset(address, 0, 8);
	*(__u32 *)(address + 8) = NETWORK32(0x0000ffff);
	*(__u32 *)(address + 12) = ipv4;
}

#if defined(TYPED) && defined(CURRENT_TASK)
/* The task, its type known to the verifier (Linux 5.11). Read as it is: 213 ns an event
 * instead of 333: three helpers' calls and guarded returns less. */
static __u64 (*const current_task)(void) = (void *)CURRENT_TASK;

/* What follows a name's end is what is left of the name before. */
INLINE __u64 until_nul(__u64 bytes)
{
	__u64 nul = (bytes - 0x0101010101010101ull) & ~bytes & 0x8080808080808080ull;

	return bytes & ((nul & -nul) - 1);
}

INLINE void fill_current(struct event *event)
{
	__u64 task = current_task();
	__u64 cgroup = *(__u64 *)(*(__u64 *)(task + OFFSET_TASK_CGROUPS) + OFFSET_CSS_SET_CGROUP);
	__u64 comm = until_nul(*(__u64 *)(task + OFFSET_TASK_COMM));
	__u64 rest = until_nul(*(__u64 *)(task + OFFSET_TASK_COMM + 8));

	event->pid = *(__u32 *)(task + OFFSET_TASK_TGID);
	event->cgroup = *(__u64 *)(*(__u64 *)(cgroup + OFFSET_CGROUP_NODE) + OFFSET_NODE_ID);
	*(__u64 *)event->comm = comm;
	*(__u64 *)(event->comm + 8) = comm >> 56 ? rest : 0;
}
#else
INLINE void fill_current(struct event *event)
{
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
}
#endif

INLINE void fill_task(struct event *event)
{
	event->time = bpf_ktime_get_ns();
	fill_current(event);
}

INLINE void fill_netns(struct event *event, __u64 net)
{
	__u32 inum = 0;

	if (net)
		READ(inum, net, OFFSET_NET_INUM);
	event->netns = inum;
}

/* Tuple and family of a full, timewait or request socket: all three begin with
 * a struct sock_common. */
INLINE void fill_addresses(struct event *event, const struct common *c)
{
	event->local_port = COMMON(c, __u16, OFFSET_SKC_NUM);
	event->remote_port = from_network16(COMMON(c, __u16, OFFSET_SKC_DPORT));
#ifdef OFFSET_SKC_V6_DADDR
	if (COMMON(c, __u16, OFFSET_SKC_FAMILY) == FAMILY_INET6) {
		event->family = 6;
		__builtin_memcpy(event->local_address,
				 c->bytes + OFFSET_SKC_V6_RCV_SADDR, 16);
		__builtin_memcpy(event->remote_address,
				 c->bytes + OFFSET_SKC_V6_DADDR, 16);
	} else
#endif
	{
		event->family = 4;
		set_mapped(event->local_address, COMMON(c, __u32, OFFSET_SKC_RCV_SADDR));
		set_mapped(event->remote_address, COMMON(c, __u32, OFFSET_SKC_DADDR));
	}
}

INLINE void fill_tuple(struct event *event, const struct common *c)
{
	fill_addresses(event, c);
	fill_netns(event, COMMON(c, __u64, OFFSET_SKC_NET));
}

/* inet_put_port() clears skc_num before a socket reports CLOSE;
 * inet_sport keeps the port. Full sockets only. */
INLINE void fill_lost_port(struct event *event, __u64 sk)
{
	__u16 sport = 0;

	if (event->local_port == 0) {
		READ(sport, sk, OFFSET_INET_SPORT);
		event->local_port = from_network16(sport);
	}
}

#endif
