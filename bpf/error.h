/* SPDX-License-Identifier: GPL-2.0 */
/* sock:inet_sk_error_report(sk): why a connection failed. */
#ifndef TCPTRACE_ERROR_H
#define TCPTRACE_ERROR_H

#include "emit.h"

INLINE int is_tcp(__u64 sk)
{
	__u16 protocol = 0;

	READ(protocol, sk, OFFSET_SK_PROTOCOL);
	return protocol == PROTOCOL_TCP;
}

INLINE int on_error_report(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 sk = ctx->args[0];
	struct event *event;
	struct common c;
	int error = 0;

	if (!is_tcp(sk))
		return 0;
	event = reserve();
	if (!event)
		return 0;
	READ(c, sk, 0);
	READ(error, sk, OFFSET_SK_ERR);
	fill_task(event);
	fill_tuple(event, &c);
	fill_lost_port(event, sk);
	event->kind = KIND_ERROR;
	event->socket = sk;
	event->old_state = event->new_state = COMMON(&c, __u8, OFFSET_SKC_STATE);
	event->detail = error;
	submit(event);
	return 0;
}

#endif
