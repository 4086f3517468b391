/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of measure.h; tests/bench/bench.py reads them. Runs on the guest's own CPU, takes no
 * lock.
 */
#include "hv/core/measure.h"
#ifdef EXIT_TIMING
#include "arch/x86/cpu/cpu.h"
#include "hv/core/log.h"
#include "hv/mm/memory.h"

/* What vm_create() allocates for a vCPU: itself, its LAPIC's page, the vendor's two frames. */
#define VCPU_BYTES ((sizeof(struct vm_cpu) + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE + 3 * PAGE_SIZE)

static uint64_t built_at[CPUS_MAX];

void measure_built(const struct guest *g)
{
	const struct vm *vm = g->vm;
	uint64_t owned = frame_owned_bytes(&host_frames, vm->owner);

	log_line("measure %s memory %lu vcpus %lu tables %lu", g->name,
		(unsigned long)(owned - vm->ram_size), (unsigned long)(vm->cpu_count * VCPU_BYTES),
		(unsigned long)(vm->stage2.tables * PAGE_SIZE));
	built_at[this_cpu()->index] = rdtsc();
}

#define OWN_SAMPLES 1000u

/*
 * What so many pairs of readings take by themselves: with several CPUs Bochs' TSC moves in steps of
 * 5.
 */
static uint64_t own_ticks(void)
{
	struct exit_timing probe = {.first = 1};

	for (unsigned i = 0; i < OWN_SAMPLES; i++) {
		timing_exit(&probe);
		timing_enter(&probe);
	}
	return probe.host;
}

void measure_ended(const struct guest *g)
{
	const struct exit_timing *t = &g->vm->cpu[0]->vcpu.timing;
	uint64_t start = g->start_ticks + t->first - built_at[this_cpu()->index];

	log_line("measure %s start %lu copied %lu", g->name, (unsigned long)start,
		(unsigned long)g->vm->bytes_copied);
	log_line("measure %s host %lu of %lu idle %lu exits %lu own %lu/1000", g->name,
		(unsigned long)t->host, (unsigned long)(rdtsc() - t->first), (unsigned long)t->idle,
		(unsigned long)t->exits, (unsigned long)own_ticks());
}
#endif
