/* SPDX-License-Identifier: Apache-2.0 */
/* The other CPUs of a payload: how they start, and what they do then. Locking: see smp.h. */
#include "guests/runtime/smp.h"
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "hv/lib/string.h"

#define WAIT_US 1000000u

struct smp_cpu {
	void (*fn)(uint64_t);
	uint64_t arg;
	unsigned asked, done, arrivals; /* atomic */
};

/* smp_start.S */
extern const char smp_trampoline[], smp_trampoline_end[];
uint32_t smp_cr0, smp_cr3, smp_cr4, smp_efer;
uint8_t smp_stacks[SMP_CPUS_MAX * SMP_STACK] ALIGNED(16);
NORETURN void smp_main(uint64_t id);

static struct smp_cpu cpus[SMP_CPUS_MAX];

static unsigned get(const unsigned *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

void smp_init(void)
{
	size_t size = (size_t)(smp_trampoline_end - smp_trampoline);

	/* Tables and modes are this CPU's. The loader's page tables lie below 4 GiB. */
	smp_cr0 = (uint32_t)read_cr0();
	smp_cr3 = (uint32_t)read_cr3();
	smp_cr4 = (uint32_t)read_cr4();
	smp_efer = (uint32_t)rdmsr(MSR_IA32_EFER) & ~(uint32_t)EFER_LMA;
	memcpy((void *)(uint64_t)SMP_PAGE_A, smp_trampoline, size);
	memcpy((void *)(uint64_t)SMP_PAGE_B, smp_trampoline, size);
}

/* Called by smp_start.S. What was asked of it in an earlier life is forgotten. */
void smp_main(uint64_t id)
{
	struct smp_cpu *c = &cpus[id];

	trap_init_cpu((unsigned)id);
	apic_init_cpu();
	__atomic_store_n(&c->done, get(&c->asked), __ATOMIC_RELEASE);
	__atomic_add_fetch(&c->arrivals, 1, __ATOMIC_RELEASE);
	for (;;) {
		while (get(&c->asked) == c->done)
			smp_relax();
		c->fn(c->arg);
		cli();
		__atomic_store_n(&c->done, c->done + 1, __ATOMIC_RELEASE);
	}
}

void smp_send_init(unsigned cpu)
{
	apic_send(cpu, APIC_ICR_ASSERT | APIC_DM_INIT);
}

void smp_send_sipi(unsigned cpu, unsigned page)
{
	apic_send(cpu, APIC_ICR_ASSERT | APIC_DM_STARTUP | page >> 12);
}

unsigned smp_arrivals(unsigned cpu)
{
	return get(&cpus[cpu].arrivals);
}

static bool reached(const unsigned *word, unsigned value)
{
	uint64_t end = rdtsc() + time_us_to_tsc(WAIT_US);

	while (get(word) < value) {
		if (rdtsc() >= end)
			return get(word) >= value;
		smp_relax();
	}
	return true;
}

bool smp_await(unsigned cpu, unsigned arrivals)
{
	return check(reached(&cpus[cpu].arrivals, arrivals), "CPU %u has not started", cpu);
}

bool smp_start_all(void)
{
	bool all = true;

	for (unsigned i = 1; i < smp_count(); i++) {
		unsigned before = smp_arrivals(i);

		smp_send_init(i);
		smp_send_sipi(i, SMP_PAGE_A);
		all &= smp_await(i, before + 1);
	}
	return all;
}

void smp_run_async(unsigned cpu, void (*fn)(uint64_t), uint64_t arg)
{
	struct smp_cpu *c = &cpus[cpu];

	c->fn = fn;
	c->arg = arg;
	__atomic_add_fetch(&c->asked, 1, __ATOMIC_RELEASE);
}

bool smp_is_done(unsigned cpu)
{
	return get(&cpus[cpu].done) == get(&cpus[cpu].asked);
}

bool smp_wait(unsigned cpu)
{
	return check(
		reached(&cpus[cpu].done, get(&cpus[cpu].asked)), "CPU %u does not finish", cpu);
}

bool smp_run(unsigned cpu, void (*fn)(uint64_t), uint64_t arg)
{
	if (cpu == smp_id()) {
		fn(arg);
		return true;
	}
	smp_run_async(cpu, fn, arg);
	return smp_wait(cpu);
}

bool smp_wait_for(const volatile unsigned *word, unsigned value)
{
	return reached((const unsigned *)word, value);
}
