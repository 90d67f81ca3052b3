// SPDX-License-Identifier: GPL-2.0
/*
 * The programs, each attached by name (tracer/probes.py) to one raw
 * tracepoint. BCC takes only functions of its main file for programs, so
 * they stand here and what they do stands in a file per family.
 * Each family is compiled only where BTF has what it needs (HAVE_*).
 */
#include "state.h"

/*
 * Two programs for one tracepoint. The kernel skips a program that is already
 * running on this CPU, so whatever a softirq did while it interrupted one for
 * a system call would be lost, dozens of events at a time. With the system
 * calls' transitions in a program of their own, the softirq finds its own idle.
 */
int call_state(struct bpf_raw_tracepoint_args *ctx)
{
	return by_system_call(ctx) ? on_set_state(ctx) : 0;
}

int set_state(struct bpf_raw_tracepoint_args *ctx)
{
	return by_system_call(ctx) ? 0 : on_set_state(ctx);
}

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
	return on_receive_reset(ctx);
}

int send_reset(struct bpf_raw_tracepoint_args *ctx)
{
	return on_send_reset(ctx);
}
#endif

#ifdef HAVE_ERROR
#include "error.h"

int error_report(struct bpf_raw_tracepoint_args *ctx)
{
	return on_error_report(ctx);
}
#endif
