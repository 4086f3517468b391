/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The physical local APIC: xAPIC through an uncached mapping, x2APIC wherever the CPU has it. Not
 * the model that guests see.
 *
 * Locking: each CPU touches only its own. IPIs may be sent at any time outside NMI context.
 */
#ifndef ARCH_X86_CPU_HOST_LAPIC_H
#define ARCH_X86_CPU_HOST_LAPIC_H

#include "hv/lib/types.h"

/*
 * Enable this CPU's LAPIC. The boot CPU comes first and decides the mode; it also masks the 8259s.
 * Needs host_map. E_UNSUP without a usable LAPIC.
 */
int host_lapic_init(void) MUST_CHECK;
bool host_lapic_is_x2apic(void);
uint32_t host_lapic_id(void);

void host_lapic_eoi(void);
bool host_lapic_in_service(unsigned vector);

void host_lapic_send_ipi(uint32_t apic_id, unsigned vector);
void host_lapic_send_nmi(uint32_t apic_id);
void host_lapic_send_init(uint32_t apic_id);
void host_lapic_send_sipi(uint32_t apic_id, hpa_t entry); /* entry: page aligned, below 1 MiB */

/*
 * Measure the timer against the TSC (boot CPU, after tsc_init(), host_lapic_init()). ~10 ms
 * without TSC deadline.
 */
int host_lapic_timer_calibrate(void) MUST_CHECK;
bool host_lapic_timer_has_deadline(void);
/*
 * VECTOR_TIMER on this CPU when its TSC reaches `tsc` (now, if it has); replaces what was armed.
 * Far deadlines may fire early where there is no TSC deadline mode: check the time and arm again.
 */
void host_lapic_timer_arm(uint64_t tsc);
void host_lapic_timer_stop(void);

#endif
