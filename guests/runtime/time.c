/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time of a payload: the TSC, whose rate CPUID tells or the PM timer measures, and the LAPIC
 * timer.
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "guests/runtime/guest.h"

#define PM_TIMER_PORT 0x608
#define PM_TIMER_HZ   3579545u
#define PM_TIMER_MASK 0xffffffu
#define MEASURE_TICKS (PM_TIMER_HZ / 100)
#define SAMPLES       16u

static uint64_t hz;
static bool has_deadline;
static uint64_t timer_hz; /* LAPIC timer with divisor 1, where there is no deadline mode */

uint32_t pm_timer(void)
{
	return inl(PM_TIMER_PORT) & PM_TIMER_MASK;
}

/* Another clock and the TSC at the same moment. */
struct sample {
	uint32_t value;
	uint64_t tsc;
};

static uint32_t timer_count(void)
{
	return apic_read(APIC_TIMER_CCT);
}

/*
 * The quickest of several readings: the machine below an emulator may do something else for
 * milliseconds between two instructions.
 */
static struct sample read_both(uint32_t (*clock)(void))
{
	struct sample best = {0, 0};
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t before = rdtsc(), after;
		uint32_t value = clock();

		after = rdtsc();
		if (after - before >= least)
			continue;
		least = after - before;
		best = (struct sample){value, before + least / 2};
	}
	return best;
}

static uint64_t measure_tsc(void)
{
	struct sample start = read_both(pm_timer), end;
	uint32_t ticks;

	do {
		end = read_both(pm_timer);
		ticks = (end.value - start.value) & PM_TIMER_MASK;
	} while (ticks < MEASURE_TICKS);
	return (end.tsc - start.tsc) * PM_TIMER_HZ / ticks;
}

static uint64_t measure_timer(void)
{
	struct sample start, end;
	uint64_t until;

	apic_write(APIC_TIMER_DCR, APIC_TIMER_DIV_1);
	apic_write(APIC_TIMER_ICT, UINT32_MAX);
	start = read_both(timer_count);
	until = rdtsc() + hz / 100;
	while (rdtsc() < until)
		cpu_relax();
	end = read_both(timer_count);
	apic_write(APIC_TIMER_ICT, 0);
	return mul_div(start.value - end.value, hz, end.tsc - start.tsc);
}

void time_init(void)
{
	struct cpuid_regs r = {0};

	if (cpuid(0, 0).eax >= CPUID_LEAF_TSC)
		r = cpuid(CPUID_LEAF_TSC, 0);
	hz = r.eax && r.ebx && r.ecx ? (uint64_t)r.ecx * r.ebx / r.eax : measure_tsc();
	has_deadline = cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_1_ECX_TSC_DEADLINE;
}

uint64_t time_hz(void)
{
	return hz;
}

uint64_t time_us_to_tsc(uint64_t us)
{
	return mul_div(us, hz, 1000000);
}

uint64_t time_tsc_to_us(uint64_t tsc)
{
	return mul_div(tsc, 1000000, hz);
}

void delay_us(uint64_t us)
{
	uint64_t end = rdtsc() + time_us_to_tsc(us);

	while (rdtsc() < end)
		cpu_relax();
}

void time_arm(uint64_t tsc)
{
	uint64_t now;

	if (has_deadline) {
		apic_write(APIC_LVT_TIMER, APIC_LVT_TSC_DEADLINE | TIME_VECTOR);
		mfence(); /* the mode is in effect before the MSR is written, in xAPIC mode too */
		wrmsr(MSR_IA32_TSC_DEADLINE, tsc);
		return;
	}
	if (!timer_hz)
		timer_hz = measure_timer();
	now = rdtsc();
	apic_write(APIC_TIMER_DCR, APIC_TIMER_DIV_1);
	apic_write(APIC_LVT_TIMER, APIC_LVT_ONE_SHOT | TIME_VECTOR);
	apic_write(
		APIC_TIMER_ICT, (uint32_t)MIN(tsc > now ? mul_div(tsc - now, timer_hz, hz) + 1 : 1,
					(uint64_t)UINT32_MAX));
}

void time_sleep_until(uint64_t tsc)
{
	while (rdtsc() < tsc) {
		time_arm(tsc);
		sti_hlt_cli();
	}
}
