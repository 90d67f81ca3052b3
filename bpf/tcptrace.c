// SPDX-License-Identifier: GPL-2.0
/*
 * The programs, each attached by name (tracer/probes.py) to one raw
 * tracepoint. BCC takes only functions of its main file for programs, so
 * they stand here and what they do stands in a file per family.
 * Each family is compiled only where BTF has what it needs (HAVE_*).
 */
#include "once.h"
#include "state.h"

/* Of a socket that is born not all kernels tell yet whose it is; the next that happens to
 * it, at once and on the same CPU, takes such a mark away if it still lies there. */
INLINE __u64 state_of(struct bpf_raw_tracepoint_args *ctx)
{
	__u8 state = ctx->args[2];

	return event_of(ctx->args[0], state,
			state == STATE_SYN_RECV ? 0 : connection(ctx->args[0]));
}

int set_state(struct bpf_raw_tracepoint_args *ctx)
{
	leave_mark(0, state_of(ctx));
	if (ctx->args[1] == STATE_SYN_RECV) {
		struct marks *marks = this_cpus_marks();

		if (marks)
			take_mark(marks, event_of(ctx->args[0], STATE_SYN_RECV, 0));
	}
	return on_set_state(ctx);
}

int set_state_again(struct bpf_raw_tracepoint_args *ctx)
{
	SECOND(0, state_of(ctx), on_set_state(ctx));
}

/* One program each: nothing that happens to a timer interrupts them, since the
 * kernel starts and cancels timers with interrupts off, and softirqs, in which
 * timers expire, do not interrupt each other. */
#ifdef HAVE_TIMEWAIT
#include "timewait.h"

int timer_start(struct bpf_raw_tracepoint_args *ctx)
{
	return on_timer_start(ctx);
}

int timer_expire(struct bpf_raw_tracepoint_args *ctx)
{
	return on_timer_expire(ctx);
}

int timer_cancel(struct bpf_raw_tracepoint_args *ctx)
{
	return on_timer_cancel(ctx);
}
#endif

#ifdef HAVE_RESET
#include "reset.h"

int receive_reset(struct bpf_raw_tracepoint_args *ctx)
{
	leave_mark(1, event_of(ctx->args[0], RESET_RECEIVED, connection(ctx->args[0])));
	return on_receive_reset(ctx);
}

int receive_reset_again(struct bpf_raw_tracepoint_args *ctx)
{
	SECOND(1, event_of(ctx->args[0], RESET_RECEIVED, connection(ctx->args[0])),
	       on_receive_reset(ctx));
}

/* A reset may be sent for no socket, or for a listener by two CPUs: the segment
 * that it answers tells. */
INLINE __u64 reset_of(struct bpf_raw_tracepoint_args *ctx)
{
	return event_of(ctx->args[0] ^ ctx->args[1], RESET_SENT, sequence_of(ctx->args[1]));
}

int send_reset(struct bpf_raw_tracepoint_args *ctx)
{
	leave_mark(2, reset_of(ctx));
	return on_send_reset(ctx);
}

int send_reset_again(struct bpf_raw_tracepoint_args *ctx)
{
	SECOND(2, reset_of(ctx), on_send_reset(ctx));
}
#endif

#ifdef HAVE_ERROR
#include "error.h"

int error_report(struct bpf_raw_tracepoint_args *ctx)
{
	leave_mark(3, event_of(ctx->args[0], ERROR_REPORTED, connection(ctx->args[0])));
	return on_error_report(ctx);
}

int error_report_again(struct bpf_raw_tracepoint_args *ctx)
{
	SECOND(3, event_of(ctx->args[0], ERROR_REPORTED, connection(ctx->args[0])),
	       on_error_report(ctx));
}
#endif
