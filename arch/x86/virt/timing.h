/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ticks that a vCPU spends in the hypervisor: from each exit to the next entry, without the time it
 * sleeps in HLT. Only in builds with -DEXIT_TIMING (make bench); nothing of it is compiled in
 * others. A vCPU's own CPU only.
 */
#ifndef ARCH_X86_VIRT_TIMING_H
#define ARCH_X86_VIRT_TIMING_H

#include "hv/lib/types.h"
#ifdef EXIT_TIMING
#include "arch/x86/cpu/insn.h"
#endif

struct exit_timing {
#ifdef EXIT_TIMING
	uint64_t first; /* TSC at the first entry */
	uint64_t left;  /* TSC at the last exit, moved on by sleep */
	uint64_t host, idle, exits;
#endif
};

#ifdef EXIT_TIMING
static inline void timing_enter(struct exit_timing *t)
{
	uint64_t now = rdtsc();

	if (t->first)
		t->host += now - t->left;
	else
		t->first = now;
	t->left = now; /* an entry that does not happen is tried again */
}

static inline void timing_exit(struct exit_timing *t)
{
	t->left = rdtsc();
	t->exits++;
}

static inline uint64_t timing_now(void)
{
	return rdtsc();
}

static inline void timing_slept(struct exit_timing *t, uint64_t since)
{
	uint64_t ticks = rdtsc() - since;

	t->left += ticks;
	t->idle += ticks;
}
#else
static inline void timing_enter(struct exit_timing *t UNUSED)
{
}

static inline void timing_exit(struct exit_timing *t UNUSED)
{
}

static inline uint64_t timing_now(void)
{
	return 0;
}

static inline void timing_slept(struct exit_timing *t UNUSED, uint64_t since UNUSED)
{
}
#endif

#endif
