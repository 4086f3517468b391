/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A payload with several CPUs. CPU 0 runs payload_run(); the others, once started, do what they are
 * asked to. Whoever waits lets interrupts in, for a second at most: then there is a FAIL line.
 * Nothing here is for two CPUs that ask the same third one at the same time.
 */
#ifndef GUESTS_RUNTIME_SMP_H
#define GUESTS_RUNTIME_SMP_H

#include "guests/runtime/guest.h"

#define SMP_CPUS_MAX  8u
#define SMP_STACK     16384u
/* Two pages for the trampoline, so that a SIPI can choose; and one that is free. */
#define SMP_PAGE_A    0x8000u
#define SMP_PAGE_B    0x9000u
#define SMP_FREE_PAGE 0xc000u

/* Registers as the trampoline found them, at SMP_FOUND in its page. */
#define SMP_FOUND 0x800u
struct PACKED smp_found {
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t eflags, cr0, cr2, cr3, cr4, dr0, dr6, dr7, efer;
	uint16_t cs, ds, ss, fs;
	uint16_t gdt_limit;
	uint32_t gdt_base;
	uint16_t reserved;
	uint16_t idt_limit;
	uint32_t idt_base;
};
_Static_assert(sizeof(struct smp_found) == 90, "smp_start.S");

static inline const volatile struct smp_found *smp_found(unsigned page)
{
	return (const volatile struct smp_found *)(uint64_t)(page + SMP_FOUND);
}

static inline unsigned smp_count(void)
{
	return MIN(guest_info->cpu_count, SMP_CPUS_MAX);
}

/*
 * Once round a loop that waits. Interrupts are let in, and the guest is left meanwhile: Bochs keeps
 * the machine's own from a CPU that entered a guest with IF = 0.
 */
static inline void smp_relax(void)
{
	cpu_relax();
	sti();
	outb(0x80, 0);
	cli();
}

/* Prepare the pages; before anything else. */
void smp_init(void);
/* INIT and one SIPI to each CPU but this one, one after the other. False: some did not come. */
bool smp_start_all(void);

/* The messages alone, and how often a CPU has come through the trampoline. */
void smp_send_init(unsigned cpu);
void smp_send_sipi(unsigned cpu, unsigned page);
unsigned smp_arrivals(unsigned cpu);
/* Wait until that number is reached. */
bool smp_await(unsigned cpu, unsigned arrivals);

/* Have a CPU, not this one, call fn(arg), and do not wait. */
void smp_run_async(unsigned cpu, void (*fn)(uint64_t), uint64_t arg);
bool smp_is_done(unsigned cpu);
bool smp_wait(unsigned cpu);
/* Both; on this CPU a plain call. */
bool smp_run(unsigned cpu, void (*fn)(uint64_t), uint64_t arg);
/* Wait for *word to be at least `value`. */
bool smp_wait_for(const volatile unsigned *word, unsigned value);

#endif
