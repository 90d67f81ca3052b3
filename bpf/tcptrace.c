// SPDX-License-Identifier: GPL-2.0
/*
 * The programs, each attached by name (tracer/probes.py) to one raw
 * tracepoint. BCC takes only functions of its main file for programs, so
 * they stand here and what they do stands in a file per family.
 * Each family is compiled only where BTF has what it needs (HAVE_*).
 */
#include "state.h"

int set_state(struct bpf_raw_tracepoint_args *ctx)
{
	return on_set_state(ctx);
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
