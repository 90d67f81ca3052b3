/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The record that every program writes and tracer/layout.py reads from this
 * very file: one field a line, fixed-width types only, no padding.
 */
#ifndef TCPTRACE_EVENT_H
#define TCPTRACE_EVENT_H

#include <linux/types.h>

/* In the order of `kind` in a recording (tracer/schema.py). */
enum event_kind {
	KIND_STATE,
	KIND_TIMEWAIT_START,
	KIND_TIMEWAIT_EXPIRE,
	KIND_TIMEWAIT_CANCEL,
	KIND_TIMEWAIT_REUSED,
	KIND_RESET_RECEIVED,
	KIND_RESET_SENT,
	KIND_ERROR,
	KIND_EXISTING,
};

/* `detail` of a KIND_STATE record whose new_state is CLOSE: bits, and sk_err. */
#define DETAIL_FIN_RECEIVED 1	/* the peer's FIN had arrived (SOCK_DONE) */
#define DETAIL_ORPHAN 2		/* no program held the socket (SOCK_DEAD) */
#define DETAIL_ERROR_SHIFT 8	/* from here up: the socket's error number */

/* `detail` of a KIND_RESET_SENT record on kernels that give no reason, and of a
 * KIND_EXISTING record that is not a timewait socket's. */
#define DETAIL_UNKNOWN (-1)

struct event {
	__u64 time;		/* CLOCK_MONOTONIC, ns */
	__u64 socket;		/* kernel address: identity within one life only */
	__u64 cgroup;		/* of the current task, which need not be the owner */
	__s64 detail;		/* by kind: see above; timers: jiffies until expiry */
	__u8 local_address[16];	/* IPv4 as ::ffff:a.b.c.d */
	__u8 remote_address[16];
	__u16 local_port;	/* host order */
	__u16 remote_port;	/* host order */
	__u32 netns;		/* inode number */
	__u32 pid;		/* thread group of the current task */
	__u8 kind;
	__u8 old_state;		/* the kernel's numbers: include/net/tcp_states.h */
	__u8 new_state;
	__u8 family;		/* of the socket: 4 or 6 */
	char comm[16];		/* of the current task */
};

_Static_assert(sizeof(struct event) == 96, "struct event has padding");

#endif
