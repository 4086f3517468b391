/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One list of CPUs out of the firmware's two, MP Services' and ACPI's. A CPU is used if both call
 * it usable: the first have started it, and the second says what an operating system may touch.
 * The order is ACPI's, so that a CPU has the number that it has in other systems. Pure, no locks.
 */
#ifndef BOOT_CPUS_H
#define BOOT_CPUS_H

#include "boot/bootinfo.h"
#include "hv/lib/types.h"

struct boot_cpus_list {
	const struct bootinfo_cpu *cpu;
	unsigned count; /* 0: the firmware has no such list */
};

/* How the two differ. */
struct boot_cpus_diff {
	/* CPUs that one calls usable and the other does not, and the first of them. */
	unsigned only_mp, only_acpi;
	uint32_t only_mp_id, only_acpi_id;
	bool other_order; /* of those that both call usable */
	/* ACPI does not know the CPU that this runs on: its list is not about this machine. */
	bool acpi_ignored;
	uint32_t boot_id;
};

/* Fill `out` (room for the longer of the lists); returns how many. */
unsigned boot_cpus_merge(const struct boot_cpus_list *mp, const struct boot_cpus_list *acpi,
	struct bootinfo_cpu *out, struct boot_cpus_diff *diff);

/* The difference in a sentence; empty where there is none. */
#define BOOT_CPUS_TEXT_MAX 200u
void boot_cpus_text(const struct boot_cpus_diff *diff, char text[BOOT_CPUS_TEXT_MAX]);

#endif
