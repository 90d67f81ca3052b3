/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Each event once, also one that interrupts the recording of another.
 *
 * The kernel skips a program that is already running on this CPU
 * (__bpf_trace_run()). A softirq that comes while a program runs for a system
 * call, and most come at the end of the ring buffer's lock, when interrupts are
 * allowed again, would lose all it does: hundreds of events at a time. So two
 * programs sit on each such tracepoint, one behind the other. Only one of them
 * can be the interrupted one; the other is idle and runs. The first leaves a
 * mark that it ran; the second does the work where the mark is missing.
 */
#ifndef TCPTRACE_ONCE_H
#define TCPTRACE_ONCE_H

#include "emit.h"

/* Beside the states that a socket enters. */
#define MARK_RESET_RECEIVED 16
#define MARK_RESET_SENT 17
#define MARK_ERROR 18

/* A mark's place is given by its event, so that events that interrupt each
 * other are seldom at the same one; where they are, the inner one puts the
 * outer one's mark back. */
#define MARK_BITS 8

struct marks {
	struct {
		__u64 event;
		__u64 outer;
	} at[1 << MARK_BITS];
};

/* What tells events that interrupt each other apart: a socket is locked while
 * something happens to it. Sockets are aligned: the low bits are free. Negative,
 * since the verifier allows that much with a pointer whose type it knows. */
INLINE __u64 event_of(__u64 socket, __u8 what)
{
	return -socket ^ what;
}

INLINE __u32 place_of(__u64 event)
{
	return event * 0x9e3779b97f4a7c15ull >> (64 - MARK_BITS);
}

INLINE void leave_mark(__u64 event)
{
	__u32 zero = 0, place = place_of(event);
	struct marks *marks = bpf_map_lookup_elem(MAP(MAP_MARKS), &zero);

	if (!marks)
		return;
	marks->at[place].outer = marks->at[place].event;
	marks->at[place].event = event;
}

/* Did the first program run? Takes its mark away. */
INLINE int marked(__u64 event)
{
	__u32 zero = 0, place = place_of(event);
	struct marks *marks = bpf_map_lookup_elem(MAP(MAP_MARKS), &zero);

	if (!marks || marks->at[place].event != event)
		return 0;
	marks->at[place].event = marks->at[place].outer;
	marks->at[place].outer = 0;
	return 1;
}

#endif
