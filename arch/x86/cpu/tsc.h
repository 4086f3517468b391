/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TSC as the hypervisor's clock: its rate measured at boot, conversions, short waits.
 * Read-only after tsc_init().
 */
#ifndef ARCH_X86_CPU_TSC_H
#define ARCH_X86_CPU_TSC_H

#include "arch/x86/cpu/insn.h"
#include "hv/lib/types.h"

/* Where ACPI says the reference clocks are; zeroes: look for them. */
struct tsc_reference {
	hpa_t hpet;       /* register block */
	uint16_t pm_port; /* PM_TMR_BLK */
};

/*
 * Measure against the HPET, the ACPI PM timer or the PIT, whichever answers first (~20 ms), and
 * take CPUID's figure only where it agrees within 1%. Needs host_map. E_UNSUP: nothing to measure
 * with and CPUID is silent.
 */
int tsc_init(const struct tsc_reference *ref) MUST_CHECK;
/*
 * On another CPU: its TSC is brought to the boot CPU's, as far as its TSC_ADJUST says that firmware
 * has set them apart. Where there is no TSC_ADJUST they are taken as they are.
 */
void tsc_join(void);
uint64_t tsc_hz(void);
const char *tsc_source(void); /* "HPET", "PM timer", "PIT", "CPUID" */

uint64_t tsc_to_ns(uint64_t ticks);
uint64_t tsc_from_ns(uint64_t ns); /* saturates */
/* Nanoseconds since tsc_init(). */
#ifdef HOST_BUILD
ns_t tsc_now_ns(void);
#else
/* 32.32 fixed point: enough for 10^-9 at any rate above 1 MHz. */
extern struct tsc_scale {
	uint64_t base, ns_per_tick_32;
} tsc_scale;

static inline uint64_t tsc_scale_ns(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * tsc_scale.ns_per_tick_32 >> 32);
}

static inline ns_t tsc_now_ns(void)
{
	return tsc_scale_ns(rdtsc() - tsc_scale.base);
}
#endif
/* The TSC value at which tsc_now_ns() reaches `when`; NS_NEVER gives UINT64_MAX. */
uint64_t tsc_at_ns(ns_t when);

/* Busy waits, for bring-up and dying only. */
void tsc_delay_us(unsigned us);

#endif
