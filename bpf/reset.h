/* SPDX-License-Identifier: GPL-2.0 */
/* tcp:tcp_receive_reset(sk) and tcp:tcp_send_reset(sk, skb[, reason]). */
#ifndef TCPTRACE_RESET_H
#define TCPTRACE_RESET_H

#include "emit.h"

INLINE void fill_reset(struct event *event, const struct common *c, __u8 kind, __u64 sk)
{
	__u8 state = COMMON(c, __u8, OFFSET_SKC_STATE);

	fill_task(event);
	fill_tuple(event, c);
	event->kind = kind;
	event->socket = sk;
	event->old_state = state;
	if (state == STATE_TIME_WAIT)
		READ(event->old_state, sk, OFFSET_TW_SUBSTATE);
	else if (state != STATE_NEW_SYN_RECV)
		fill_lost_port(event, sk);
	event->new_state = event->old_state;
}

INLINE int on_receive_reset(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 sk = ctx->args[0];
	struct event *event;
	struct common c;

	/* No is_tcp(): an MPTCP subflow's protocol is TCP, and nothing else
	 * comes through tcp_reset(). */
	event = reserve();
	if (!event)
		return 0;
	READ(c, sk, 0);
	fill_reset(event, &c, KIND_RESET_RECEIVED, sk);
	event->detail = 0;
	submit(event);
	return 0;
}

/* The sequence numbers of a segment's first and last byte (struct tcp_skb_cb). */
INLINE __u64 sequence_of(__u64 skb)
{
	__u64 sequence = 0;

	READ(sequence, skb, OFFSET_SKB_CB);
	return sequence;
}

/* A reset that answers a segment for which there is no socket: the tuple is
 * the segment's own, turned round. */
INLINE void fill_segment(struct event *event, __u64 skb, __u64 net)
{
	__u64 head = 0, device = 0;
	__u16 network = 0, transport = 0, ports[2] = {};
	__u8 header[40] = {};

	READ(head, skb, OFFSET_SKB_HEAD);
	READ(network, skb, OFFSET_SKB_NETWORK_HEADER);
	READ(transport, skb, OFFSET_SKB_TRANSPORT_HEADER);
	READ(header, head, network);
	READ(ports, head, transport);
	if (!net) {
		READ(device, skb, OFFSET_SKB_DEV);
		if (device)
			READ(net, device, OFFSET_DEVICE_NET);
	}
	fill_task(event);
	fill_netns(event, net);
	if (header[0] >> 4 == 6) {
		event->family = 6;
		__builtin_memcpy(event->remote_address, header + 8, 16);
		__builtin_memcpy(event->local_address, header + 24, 16);
	} else {
		event->family = 4;
		set_mapped(event->remote_address, *(__u32 *)(header + 12));
		set_mapped(event->local_address, *(__u32 *)(header + 16));
	}
	event->remote_port = from_network16(ports[0]);
	event->local_port = from_network16(ports[1]);
	event->kind = KIND_RESET_SENT;
}

INLINE int on_send_reset(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 sk = ctx->args[0], skb = ctx->args[1];
	struct common c = {};
	struct event *event;
	__u8 state = 0;

	if (!sk && !skb)
		return 0;
	event = reserve();
	if (!event)
		return 0;
	if (sk) {
		READ(c, sk, 0);
		state = COMMON(&c, __u8, OFFSET_SKC_STATE);
	}
	if (sk && (state != STATE_LISTEN || !skb)) {
		fill_reset(event, &c, KIND_RESET_SENT, sk);
	} else {
		fill_segment(event, skb, sk ? COMMON(&c, __u64, OFFSET_SKC_NET) : 0);
		event->socket = sk;
		event->old_state = event->new_state = sk ? state : STATE_CLOSE;
	}
#ifdef SEND_RESET_HAS_REASON
	event->detail = (__u32)ctx->args[2];
#else
	event->detail = DETAIL_UNKNOWN;
#endif
	submit(event);
	return 0;
}

#endif
