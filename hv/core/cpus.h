/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each physical CPU does: enables the virtualization extension, then runs the guest it is
 * given, scrubs memory or sleeps. The housekeeping CPU also runs housekeeping.h's work between all
 * of this.
 */
#ifndef HV_CORE_CPUS_H
#define HV_CORE_CPUS_H

#include "hv/core/guests.h"

/*
 * Fills in vm_host, then chooses and checks the backend on the boot CPU. When no guest can run:
 * says why, returns an error and leaves cpus_virt NULL; everything but guests works.
 */
int cpus_init(void) MUST_CHECK;
/* Start the others; each one enables virtualization and enters its loop. */
void cpus_start(void);
/*
 * The firmware's enabled CPUs, started or not: a config's CPU n is the n-th of them, 0 the boot
 * CPU.
 */
unsigned cpus_count(void);
/* Why one of them cannot run guests, in words; NULL: it can, unless none can. */
const char *cpus_problem(unsigned cpu);
/* How many can run guests. */
unsigned cpus_usable(void);

/* Give a CPU a guest to run; the CPU must be free. From the housekeeping CPU. */
void cpus_assign(unsigned cpu, struct guest *g);
/* The guest that a CPU runs or is about to, NULL: free. */
struct guest *cpus_guest(unsigned cpu);

/* This CPU's endless loop. */
NORETURN void cpus_loop(void);
void cpus_kick(unsigned cpu);

extern const struct virt_ops *cpus_virt;

#endif
