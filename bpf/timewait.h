/* SPDX-License-Identifier: GPL-2.0 */
/*
 * timer:timer_start, timer:timer_expire_entry, timer:timer_cancel: what
 * happens to a timewait socket, which the state tracepoint never says.
 * These fire for every timer of the machine, so the timer's function is
 * looked at first.
 */
#ifndef TCPTRACE_TIMEWAIT_H
#define TCPTRACE_TIMEWAIT_H

#include "emit.h"

/* The timewait socket last cancelled on this CPU. */
struct cancelled {
	__u64 time;
	__u64 socket;
	__u64 net;
	__u8 local_address[16];
	__u8 remote_address[16];
	__u16 local_port;
	__u16 remote_port;
	__u32 pad;
};

/* An incoming SYN that takes a TIME_WAIT's place cancels it and starts the
 * request socket's timer in the same softirq: microseconds, unless a
 * hypervisor stops the CPU in between. */
#define REUSE_WITHIN_NS 2000000

/* This is all that the machine's other timers cost: typed, 51 ns for each, like an
 * empty program, instead of 77. */
INLINE __u64 timer_function(__u64 timer)
{
	__u64 function = 0;

	GET(function, timer, OFFSET_TIMER_FUNCTION);
	return function;
}

INLINE void fill_timewait(struct event *event, __u64 timer, __u8 kind)
{
	__u64 tw = timer - OFFSET_TW_TIMER;
	unsigned long expires = 0;
	struct common c;
	__u8 substate = 0;

	READ(c, tw, 0);
	READ(substate, tw, OFFSET_TW_SUBSTATE);
	READ(expires, timer, OFFSET_TIMER_EXPIRES);
	fill_task(event);
	fill_tuple(event, &c);
	event->kind = kind;
	event->socket = tw;
	event->old_state = substate;
	event->new_state = substate;
	/* A re-arm within one bucket of the timer wheel is silent
	 * (__mod_timer): `expires` at the end is what tells of it. */
	event->detail = (__s64)(expires - (unsigned long)bpf_jiffies64());
}

INLINE int emit_timewait(__u64 timer, __u8 kind)
{
	struct event *event = reserve();

	if (!event)
		return 0;
	fill_timewait(event, timer, kind);
	submit(event);
	return 0;
}

INLINE void remember_cancelled(__u64 timer)
{
	__u64 tw = timer - OFFSET_TW_TIMER;
	__u32 zero = 0;
	struct cancelled *last = bpf_map_lookup_elem(MAP(MAP_CANCELLED), &zero);
	struct common c;
	struct event tuple;

	if (!last)
		return;
	READ(c, tw, 0);
	fill_tuple(&tuple, &c);
	last->time = bpf_ktime_get_ns();
	last->socket = tw;
	last->net = COMMON(&c, __u64, OFFSET_SKC_NET);
	__builtin_memcpy(last->local_address, tuple.local_address, 16);
	__builtin_memcpy(last->remote_address, tuple.remote_address, 16);
	last->local_port = tuple.local_port;
	last->remote_port = tuple.remote_port;
}

INLINE int same_address(const __u8 *a, const __u8 *b)
{
	return *(__u64 *)a == *(__u64 *)b && *(__u64 *)(a + 8) == *(__u64 *)(b + 8);
}

/* A request socket's timer started: did its SYN take a TIME_WAIT's place? */
INLINE int on_request_start(__u64 timer)
{
	__u32 zero = 0;
	struct cancelled *last = bpf_map_lookup_elem(MAP(MAP_CANCELLED), &zero);
	struct event *event;
	struct common c;
	struct event tuple;

	if (!last || !last->socket)
		return 0;
	READ(c, timer - OFFSET_REQUEST_TIMER, 0);
	fill_tuple(&tuple, &c);
	if (last->local_port != tuple.local_port ||
	    last->remote_port != tuple.remote_port ||
	    last->net != COMMON(&c, __u64, OFFSET_SKC_NET) ||
	    !same_address(last->local_address, tuple.local_address) ||
	    !same_address(last->remote_address, tuple.remote_address) ||
	    bpf_ktime_get_ns() - last->time > REUSE_WITHIN_NS)
		return 0;
	event = reserve();
	if (event) {
		fill_task(event);
		fill_tuple(event, &c);
		event->kind = KIND_TIMEWAIT_REUSED;
		event->socket = last->socket;
		event->old_state = STATE_TIME_WAIT;
		event->new_state = STATE_NEW_SYN_RECV;
		event->detail = 0;
		submit(event);
	}
	last->socket = 0;
	return 0;
}

INLINE int on_timer_start(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 timer = ctx->args[0];
	__u64 function = timer_function(timer);

	if (function == TIMEWAIT_HANDLER)
		return emit_timewait(timer, KIND_TIMEWAIT_START);
#ifdef REQUEST_HANDLER
	if (function == REQUEST_HANDLER)
		return on_request_start(timer);
#endif
	return 0;
}

INLINE int on_timer_expire(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 timer = ctx->args[0];

	if (timer_function(timer) != TIMEWAIT_HANDLER)
		return 0;
	return emit_timewait(timer, KIND_TIMEWAIT_EXPIRE);
}

INLINE int on_timer_cancel(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 timer = ctx->args[0];

	if (timer_function(timer) != TIMEWAIT_HANDLER)
		return 0;
#ifdef REQUEST_HANDLER
	remember_cancelled(timer);
#endif
	return emit_timewait(timer, KIND_TIMEWAIT_CANCEL);
}

#endif
