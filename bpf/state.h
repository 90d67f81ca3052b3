/* SPDX-License-Identifier: GPL-2.0 */
/* sock:inet_sock_set_state(sk, oldstate, newstate): the spine. */
#ifndef TCPTRACE_STATE_H
#define TCPTRACE_STATE_H

#include "emit.h"

/* Typed: 339 to 361 ns an event instead of 409 to 513, both kinds attached at once. */
INLINE void fill_state_tuple(struct event *event, __u64 sk)
{
#ifdef TYPED
	fill_addresses(event, (const struct common *)sk);
	event->netns = *(__u32 *)(*(__u64 *)(sk + OFFSET_SKC_NET) + OFFSET_NET_INUM);
#else
	struct common c;

	READ(c, sk, 0);
	fill_tuple(event, &c);
#endif
}

INLINE int on_set_state(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 sk = ctx->args[0];
	struct event *event;
	__u16 protocol = 0;
	__u64 flags = 0;
	int error = 0;

	/* It fires for MPTCP (262) and SCTP too. */
	GET(protocol, sk, OFFSET_SK_PROTOCOL);
	if (protocol != PROTOCOL_TCP)
		return 0;
	event = reserve();
	if (!event)
		return 0;
	fill_task(event);
	fill_state_tuple(event, sk);
	event->kind = KIND_STATE;
	event->socket = sk;
	event->old_state = ctx->args[1];
	event->new_state = ctx->args[2];
	event->detail = 0;
	if (event->new_state == STATE_CLOSE) {
		fill_lost_port(event, sk);
		/* tcp_fin() sets SOCK_DONE: it tells a TIME_WAIT that was due
		 * from an orphan whose peer's FIN never came. */
		GET(flags, sk, OFFSET_SK_FLAGS);
		/* Set before tcp_done(); for an orphan inet_sk_error_report,
		 * which older kernels lack, never tells it. */
		GET(error, sk, OFFSET_SK_ERR);
		event->detail = (flags >> SOCK_DONE & 1) * DETAIL_FIN_RECEIVED |
				(flags >> SOCK_DEAD & 1) * DETAIL_ORPHAN |
				(__u64)error << DETAIL_ERROR_SHIFT;
	}
	submit(event);
	return 0;
}

#endif
