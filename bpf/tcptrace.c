// SPDX-License-Identifier: GPL-2.0
/*
 * The programs, each attached by name (tracer/probes.py) to one raw
 * tracepoint. BCC takes only functions of its main file for programs, so
 * they stand here and what they do stands in a file per family.
 * Each family is compiled only where BTF has what it needs (HAVE_*).
 */
#include "once.h"
#include "state.h"

int set_state(struct bpf_raw_tracepoint_args *ctx)
{
	leave_mark(event_of(ctx->args[0], ctx->args[2], connection(ctx->args[0])));
	return on_set_state(ctx);
}

int set_state_again(struct bpf_raw_tracepoint_args *ctx)
{
	if (marked(event_of(ctx->args[0], ctx->args[2], connection(ctx->args[0]))))
		return 0;
	return on_set_state(ctx);
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
	leave_mark(event_of(ctx->args[0], MARK_RESET_RECEIVED, connection(ctx->args[0])));
	return on_receive_reset(ctx);
}

int receive_reset_again(struct bpf_raw_tracepoint_args *ctx)
{
	if (marked(event_of(ctx->args[0], MARK_RESET_RECEIVED, connection(ctx->args[0]))))
		return 0;
	return on_receive_reset(ctx);
}

/* A reset may be sent for no socket, or for a listener by two CPUs: the segment
 * that it answers tells. */
INLINE __u64 reset_of(struct bpf_raw_tracepoint_args *ctx)
{
	return event_of(ctx->args[0] ^ ctx->args[1], MARK_RESET_SENT, sequence_of(ctx->args[1]));
}

int send_reset(struct bpf_raw_tracepoint_args *ctx)
{
	leave_mark(reset_of(ctx));
	return on_send_reset(ctx);
}

int send_reset_again(struct bpf_raw_tracepoint_args *ctx)
{
	return marked(reset_of(ctx)) ? 0 : on_send_reset(ctx);
}
#endif

#ifdef HAVE_ERROR
#include "error.h"

int error_report(struct bpf_raw_tracepoint_args *ctx)
{
	leave_mark(event_of(ctx->args[0], MARK_ERROR, connection(ctx->args[0])));
	return on_error_report(ctx);
}

int error_report_again(struct bpf_raw_tracepoint_args *ctx)
{
	if (marked(event_of(ctx->args[0], MARK_ERROR, connection(ctx->args[0]))))
		return 0;
	return on_error_report(ctx);
}
#endif
