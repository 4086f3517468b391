/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the other CPUs, one at a time, each with a bounded wait. One that does not come up is
 * named and left out.
 */
#ifndef ARCH_X86_CPU_SMP_H
#define ARCH_X86_CPU_SMP_H

#include "arch/x86/cpu/cpu.h"
#include "boot/bootinfo.h"
#include "hv/lib/types.h"

typedef void smp_say(const char *format, ...);

/*
 * Start every enabled CPU of bi but this one; `say` gets one line (no newline) per CPU. bi lies in
 * the direct map, its pointers are physical. Needs host_map, LAPIC, TSC. The trampoline page is
 * wiped afterwards. Every enabled CPU has a number, in the order of the firmware behind this one,
 * whether it starts or not: a config's numbers never shift. *enabled: how many have one; returns
 * how many run.
 */
unsigned smp_start(const struct bootinfo *bi, smp_say *say, unsigned *enabled);

/* An NMI to every other CPU: for panic and for stops that must not wait for IF=1. */
void smp_nmi_others(void);

/*
 * Supplied by hv/core: where a started CPU continues, on its own stack, interrupts off, LAPIC
 * enabled.
 */
NORETURN void hv_ap_main(struct cpu *cpu);

#endif
