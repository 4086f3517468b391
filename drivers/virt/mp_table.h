/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generates the table of the Intel MultiProcessor Specification 1.4 for guests that do not read
 * ACPI: CPUs, a PCI and an ISA bus, one IOAPIC. Must not know guests or guest memory; no lock, no
 * state.
 */
#ifndef DRIVERS_VIRT_MP_TABLE_H
#define DRIVERS_VIRT_MP_TABLE_H

#include "hv/lib/types.h"

#define MP_TABLE_SIZE 0x1800u /* always enough for buf */

struct mp_build {
	unsigned vcpu_count;                  /* 1 .. 254; APIC ids 0 .. n - 1 */
	uint32_t cpu_signature, cpu_features; /* CPUID leaf 1: EAX and EDX */
	uint8_t *buf; /* floating pointer first, the configuration table behind it */
	uint32_t size;
	gpa_t base; /* where the guest sees buf: 16-byte aligned, in F0000h - FFFFFh */

	uint32_t used; /* result: bytes of buf written */
};

/* E_INVAL: count or base; E_NOMEM: buf is too small. */
int mp_table_build(struct mp_build *build) MUST_CHECK;

#endif
