/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "drivers/phys/hpet.h"
#include "drivers/phys/pmtimer.h"

#define FS_PER_SEC    1000000000000000ull
#define MEASURE_FS    (FS_PER_SEC / 50)
#define MEASURE_POLLS 20000000u
#define PIT_PERIOD_FS (FS_PER_SEC / 1193182u)
#define PIT_COUNTS    23864u /* 20 ms */

#define PIT_CHANNEL2 0x42u
#define PIT_COMMAND  0x43u
#define PORT_61      0x61u
#define PORT_61_GATE 0x01u
#define PORT_61_SPKR 0x02u
#define PORT_61_OUT  0x20u

static struct {
	uint64_t hz;
	const char *source;
	bool has_adjust;
	uint64_t adjust; /* the boot CPU's TSC_ADJUST */
} tsc;
struct tsc_scale tsc_scale;

/* A counter to compare with. */
struct clock {
	uint32_t (*read)(const struct clock *clock);
	uint64_t period_fs;
	uint32_t mask;
	struct hpet_clock hpet;
	uint16_t port;
};

static uint32_t read_hpet(const struct clock *clock)
{
	return hpet_clock_read(&clock->hpet);
}

static uint32_t read_pmtimer(const struct clock *clock)
{
	return pmtimer_read(clock->port);
}

/*
 * Both clocks at the same moment: the best of five tries, so that an SMI or a slow bus does not
 * spoil it.
 */
static uint64_t read_pair(const struct clock *clock, uint32_t *count)
{
	uint64_t best = UINT64_MAX, at = 0;

	for (unsigned i = 0; i < 5; i++) {
		uint64_t before = rdtsc();
		uint32_t value = clock->read(clock);
		uint64_t took = rdtsc() - before;

		if (took < best) {
			best = took;
			at = before + took / 2;
			*count = value;
		}
	}
	return at;
}

/* TSC ticks per second by this clock, 0 if it does not count. */
static uint64_t measure(const struct clock *clock)
{
	uint32_t first, last, counts = (uint32_t)(MEASURE_FS / clock->period_fs);
	uint64_t start = read_pair(clock, &first), end;
	unsigned polls = 0;

	while (((clock->read(clock) - first) & clock->mask) < counts) {
		if (++polls == MEASURE_POLLS)
			return 0;
		cpu_relax();
	}
	end = read_pair(clock, &last);
	return mul_div(end - start, FS_PER_SEC,
		(uint64_t)((last - first) & clock->mask) * clock->period_fs);
}

static uint64_t measure_hpet(hpa_t base)
{
	struct clock clock = {.read = read_hpet, .mask = UINT32_MAX};
	void *regs = host_map_mmio(base ? base : HPET_DEFAULT_BASE, HPET_SIZE);
	uint64_t hz;

	if (!regs || hpet_clock_start(&clock.hpet, regs))
		return 0;
	clock.period_fs = clock.hpet.period_fs;
	hz = measure(&clock);
	hpet_clock_stop(&clock.hpet);
	return hz;
}

static uint64_t measure_pmtimer(uint16_t port)
{
	struct clock clock = {
		.read = read_pmtimer,
		.mask = PMTIMER_MASK,
		.period_fs = FS_PER_SEC / PMTIMER_HZ,
		.port = pmtimer_find(port),
	};

	return clock.port ? measure(&clock) : 0;
}

static uint64_t measure_pit(void)
{
	uint8_t saved = inb(PORT_61);
	uint64_t start, end;
	unsigned polls = 0;

	outb(PORT_61, (uint8_t)((saved & ~PORT_61_SPKR) | PORT_61_GATE));
	outb(PIT_COMMAND, 0xb0); /* channel 2, both bytes, mode 0: OUT rises at the end */
	outb(PIT_CHANNEL2, PIT_COUNTS & 0xff);
	outb(PIT_CHANNEL2, PIT_COUNTS >> 8);
	start = rdtsc();
	while (!(inb(PORT_61) & PORT_61_OUT) && polls < MEASURE_POLLS)
		polls++;
	end = rdtsc();
	outb(PORT_61, saved);
	/* A port that floats answers at once. */
	if (polls < 100 || polls == MEASURE_POLLS)
		return 0;
	return mul_div(end - start, FS_PER_SEC, PIT_COUNTS * PIT_PERIOD_FS);
}

/* What CPUID says: exact from leaf 15h, coarse from 16h, or 0. */
static uint64_t cpuid_hz(void)
{
	struct cpuid_regs ratio = cpu_cpuid(CPUID_LEAF_TSC, 0);
	struct cpuid_regs mhz = cpu_cpuid(CPUID_LEAF_FREQUENCY, 0);

	if (ratio.eax && ratio.ebx && ratio.ecx)
		return (uint64_t)ratio.ecx * ratio.ebx / ratio.eax;
	return (mhz.eax & 0xffff) * 1000000ull;
}

static uint64_t choose_hz(const struct tsc_reference *ref)
{
	uint64_t said = cpuid_hz(), hz;

	tsc.source = "HPET";
	hz = measure_hpet(ref->hpet);
	if (!hz) {
		tsc.source = "PM timer";
		hz = measure_pmtimer(ref->pm_port);
	}
	if (!hz) {
		tsc.source = "PIT";
		hz = measure_pit();
	}
	/* CPUID describes the real part, not always what counts here: an emulator, a hypervisor. */
	if (said && (!hz || (said > hz ? said - hz : hz - said) <= hz / 100)) {
		tsc.source = "CPUID";
		hz = said;
	}
	return hz;
}

/* False: this CPU has no such register. */
static bool read_adjust(uint64_t *value)
{
	return (cpu_cpuid(CPUID_LEAF_EXTENDED, 0).ebx & CPUID_7_EBX_TSC_ADJUST) &&
	       rdmsr_safe(MSR_IA32_TSC_ADJUST, value) == OK;
}

int tsc_init(const struct tsc_reference *ref)
{
	uint64_t hz = choose_hz(ref);

	if (hz < 1000000)
		return E_UNSUP;
	tsc.hz = hz;
	tsc.has_adjust = read_adjust(&tsc.adjust);
	tsc_scale.ns_per_tick_32 = mul_div(NS_PER_SEC, BIT(32), hz);
	tsc_scale.base = rdtsc();
	return 0;
}

/* One reset starts all TSCs; what was written to one since then, its TSC_ADJUST remembers. */
void tsc_join(void)
{
	uint64_t mine;

	if (tsc.has_adjust && read_adjust(&mine) && mine != tsc.adjust)
		wrmsr(MSR_IA32_TSC_ADJUST, tsc.adjust);
}

uint64_t tsc_hz(void)
{
	return tsc.hz;
}

const char *tsc_source(void)
{
	return tsc.source;
}

uint64_t tsc_to_ns(uint64_t ticks)
{
	return tsc_scale_ns(ticks);
}

uint64_t tsc_from_ns(uint64_t ns)
{
	/* ns / 10^9 * hz fits as long as the seconds do. */
	if (ns / NS_PER_SEC >= UINT64_MAX / tsc.hz)
		return UINT64_MAX;
	return mul_div(ns, tsc.hz, NS_PER_SEC);
}

uint64_t tsc_at_ns(ns_t when)
{
	uint64_t ticks = when == NS_NEVER ? UINT64_MAX : tsc_from_ns(when);

	return ticks < UINT64_MAX - tsc_scale.base ? tsc_scale.base + ticks : UINT64_MAX;
}

void tsc_delay_us(unsigned us)
{
	/* Before tsc_init(): as on a fast CPU, so that waits are never too short. */
	uint64_t ticks = (uint64_t)us * (tsc.hz ? tsc.hz / 1000000 + 1 : 5000), start = rdtsc();

	while (rdtsc() - start < ticks)
		cpu_relax();
}
