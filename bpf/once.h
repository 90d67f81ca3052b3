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
 *
 * Where the kernel may run another task amid a program, both may be at work when a
 * third event comes. That is lost, and counted: the kernel knows how many the first
 * one missed, the second how many of them it did (tracer/missed.py).
 */
#ifndef TCPTRACE_ONCE_H
#define TCPTRACE_ONCE_H

#include "emit.h"

/* Which tracepoint; a mark beside the states that a socket enters. */
#define RESET_RECEIVED 16
#define RESET_SENT 17
#define ERROR_REPORTED 18

/* A mark's place is given by its event, so that events that interrupt each
 * other are seldom at the same one; where they are, the newest lies on top, and
 * what is taken away brings back what was below. */
#define MARK_BITS 7
#define MARK_DEPTH 4

struct marks {
	/* The second half of a place is always empty: what is below the lowest mark. */
	__u64 at[1 << MARK_BITS][2 * MARK_DEPTH];
	/* Of each tracepoint: its second program runs; the mark of what interrupts it. */
	struct {
		volatile __u64 second;
		volatile __u64 inner;
	} of[4];
};

#define MIX 0x9e3779b97f4a7c15ull

/* What tells events that interrupt each other apart: a socket is locked while
 * something happens to it. Sockets are aligned: the low bits are free. Negative,
 * since the verifier allows that much with a pointer whose type it knows.
 *
 * ``number`` tells it from what happened before: an event that interrupts a second
 * program in its first or last instruction leaves its mark there for good, and one
 * that the first missed would by its socket alone, soon used again, be taken for it.
 * 760 of 1.3 million events were lost so while one CPU passed segments on to the
 * other (RPS), when every mark lay among the others and had no number. */
INLINE __u64 event_of(__u64 socket, __u8 what, __u64 number)
{
	return -socket ^ what ^ number * MIX;
}

/* A socket's connection: a random number that it has but when it is born, and the tuple. */
INLINE __u64 connection_of(const struct common *c, __u32 random)
{
	__u32 addresses = COMMON(c, __u32, OFFSET_SKC_DADDR) * 31 +
			  COMMON(c, __u32, OFFSET_SKC_RCV_SADDR);

#ifdef OFFSET_SKC_V6_DADDR
	addresses += COMMON(c, __u32, OFFSET_SKC_V6_DADDR + 12) * 961;
#endif
	return (__u64)(random ^ addresses) << 32 |
	       (__u32)COMMON(c, __u16, OFFSET_SKC_DPORT) << 16 | COMMON(c, __u16, OFFSET_SKC_NUM);
}

#ifdef TYPED
INLINE __u64 connection(__u64 sk)
{
	return connection_of((const struct common *)sk, *(__u32 *)(sk + OFFSET_SK_TXHASH));
}
#else
INLINE __u64 connection(__u64 sk)
{
	__u32 random = 0;
	struct common c;

	READ(c, sk, 0);
	READ(random, sk, OFFSET_SK_TXHASH);
	return connection_of(&c, random);
}
#endif

INLINE __u32 place_of(__u64 event)
{
	return event * MIX >> (64 - MARK_BITS);
}

INLINE struct marks *this_cpus_marks(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(MAP(MAP_MARKS), &zero);
}

/* ``which``: the tracepoint, 0 to 3. What interrupts the second program finds that at
 * work, or, before Linux 6.1, is brought to it at once: one place is enough. */
INLINE void leave_mark(__u32 which, __u64 event)
{
	struct marks *marks = this_cpus_marks();
	__u64 *at;

	if (!marks)
		return;
	if (marks->of[which].second) {
		marks->of[which].inner = event;
		return;
	}
	at = marks->at[place_of(event)];
#pragma unroll
	for (int below = MARK_DEPTH - 1; below > 0; below--)
		at[below] = at[below - 1];
	at[0] = event;
}

/* Takes a mark away, and those on top of it, which nobody will: they were left by what
 * interrupted this program before it came here. Was it there? */
INLINE int take_mark(struct marks *marks, __u64 event)
{
	__u64 *at = marks->at[place_of(event)];

#pragma unroll
	for (int found = 0; found < MARK_DEPTH; found++)
		if (at[found] == event) {
#pragma unroll
			for (int to = 0; to < MARK_DEPTH; to++)
				at[to] = at[to + found + 1];
			return 1;
		}
	return 0;
}

/* The second program: what the first one does, where it did not. */
#define SECOND(which, event, does)                                    \
	struct marks *marks = this_cpus_marks();                      \
	__u64 mark = event;                                           \
                                                                      \
	if (!marks)                                                   \
		return 0;                                             \
	if (marks->of[which].second)                                  \
		return marks->of[which].inner == mark ? 0 : (does);   \
	marks->of[which].second = 1;                                  \
	if (!take_mark(marks, mark)) {                                \
		count(COUNT_BY_SECOND);                               \
		does;                                                 \
	}                                                             \
	marks->of[which].second = 0;                                  \
	return 0

#endif
