/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generates the ACPI tables that describe the virtual Q35: RSDP, RSDT, XSDT, FADT, FACS, MADT,
 * HPET, MCFG and a fixed DSDT (dsdt.asl). Must not know guests or guest memory; no lock, no state.
 *
 * The addresses here are the platform's; device models are placed where these say.
 */
#ifndef DRIVERS_VIRT_ACPI_TABLES_H
#define DRIVERS_VIRT_ACPI_TABLES_H

#include "hv/lib/types.h"

#define ACPI_PM_BASE          0x600u
#define ACPI_PM1A_EVT         (ACPI_PM_BASE + 0x00)
#define ACPI_PM1A_CNT         (ACPI_PM_BASE + 0x04)
#define ACPI_PM_TIMER         (ACPI_PM_BASE + 0x08)
#define ACPI_GPE0             (ACPI_PM_BASE + 0x20)
#define ACPI_GPE0_LEN         16
#define ACPI_SCI_IRQ          9
#define ACPI_SMI_CMD          0xb2u
#define ACPI_SMI_ENABLE       2
#define ACPI_SMI_DISABLE      3
#define ACPI_RESET_PORT       0xcf9u
#define ACPI_RESET_VALUE      0x06
#define ACPI_SLP_TYP_S5       5 /* SLP_TYP of \_S5 in dsdt.asl */
#define ACPI_CMOS_CENTURY     0x32
#define ACPI_LAPIC_BASE       0xfee00000u
#define ACPI_IOAPIC_BASE      0xfec00000u
#define ACPI_IOAPIC_ID        0
#define ACPI_HPET_BASE        0xfed00000u
#define ACPI_ECAM_BASE        0xb0000000u
#define ACPI_ECAM_SIZE        0x10000000u
#define ACPI_PCI_WINDOW_BASE  0xc0000000u
#define ACPI_PCI_WINDOW_LIMIT 0xfebfffffu

#define ACPI_VCPUS_MAX   254 /* 8-bit APIC ids; 255 is the broadcast address */
#define ACPI_RSDP_SIZE   36
#define ACPI_TABLES_SIZE 0x10000u /* always enough for buf */

struct acpi_build {
	unsigned vcpu_count; /* 1 .. ACPI_VCPUS_MAX; APIC ids 0 .. n - 1 */
	uint8_t *buf;        /* any alignment */
	uint32_t size;
	gpa_t base; /* where the guest sees buf: 64-byte aligned, below 4 GiB */

	uint32_t used;                /* results: bytes of buf written */
	uint8_t rsdp[ACPI_RSDP_SIZE]; /* for a 16-byte boundary in E0000h - FFFFFh */
};

/* Fill buf and rsdp. E_INVAL: count or base; E_NOMEM: buf is too small. */
int acpi_tables_build(struct acpi_build *build) MUST_CHECK;

#endif
