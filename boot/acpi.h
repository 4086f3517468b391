/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few facts that the hypervisor needs from ACPI's tables: how to power off and reset, where the
 * reference clocks are, where PCI's configuration space is, which CPUs there are. No AML is run:
 * \_S5_ is found by its bytes.
 * Pure: tables are reached through a callback, and nothing in them is trusted. No locks.
 */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "boot/bootinfo.h"
#include "hv/lib/types.h"

struct boot_acpi {
	/* Where `size` bytes at a physical address can be read; NULL: they cannot. */
	const void *(*map)(void *ctx, uint64_t phys, uint64_t size);
	void *ctx;
	uint64_t rsdp;
};

/* Fill in what the tables say; the rest is 0. */
void boot_acpi_read(const struct boot_acpi *acpi, struct bootinfo_acpi *facts);

/* The CPUs of the MADT, in its order, none twice, at most `max`; returns how many. */
unsigned boot_acpi_cpus(const struct boot_acpi *acpi, struct bootinfo_cpu *cpus, unsigned max);

#endif
