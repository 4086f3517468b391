/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loader handed over, copied into the hypervisor's own memory, and the frame pool made
 * from it. Written once at start-up by the boot CPU, read-only afterwards.
 */
#ifndef HV_CORE_MACHINE_H
#define HV_CORE_MACHINE_H

#include "boot/bootinfo.h"
#include "drivers/phys/power.h"
#include "hv/lib/types.h"

#define MACHINE_MEM_MAX   512u
#define MACHINE_FILES_MAX 128u
#define MACHINE_CPUS_MAX  256u

struct machine {
	struct bootinfo bi; /* files and cpus are the loader's, until machine_release_loader() */
	struct bootinfo_mem mem[MACHINE_MEM_MAX];
	struct bootinfo_file files[MACHINE_FILES_MAX];
	struct bootinfo_cpu cpus[MACHINE_CPUS_MAX];
};
extern struct machine machine;

/* Copy the hand-over; panics when it is not ours. The direct map must work. */
void machine_init(const struct bootinfo *bi);
/* Make the frame pool; before any frame is allocated. */
void machine_init_frames(void);
/* Everything of the loader has been read: its memory is free. */
void machine_release_loader(void);

/* Registers that power off and reset the machine, as ACPI gives them. */
const struct power_acpi *machine_power(void);

/* A file of the config, or NULL if the loader does not know the path. */
const struct bootinfo_file *machine_find_file(const char *path);

#endif
