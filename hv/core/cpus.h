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
 * Choose and check the backend on the boot CPU; fills in vm_host. Says why and returns an error if
 * it cannot.
 */
int cpus_init(void) MUST_CHECK;
/* Start the others; each one enables virtualization and enters its loop. */
void cpus_start(void);
/* How many CPUs can run guests. A config's CPU n is the n-th of them. */
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
