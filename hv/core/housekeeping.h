/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor's own work on its CPU: the physical console, the guests' lifecycle, powering off.
 * Runs in short slices from a timer, whether a guest is on that CPU or not.
 */
#ifndef HV_CORE_HOUSEKEEPING_H
#define HV_CORE_HOUSEKEEPING_H

#include "hv/lib/types.h"

/* Boot CPU, after guests_init(): console sources, focus; then starts it on its CPU. */
void housekeeping_init(void);
/* Do what is due, if this is the housekeeping CPU; cheap otherwise. */
void housekeeping_poll(void);
/* Something has changed that housekeeping should see now; any CPU. */
void housekeeping_wake(void);

/* A guest has stopped: its last line ends here; and whether all of it has been shown. */
void housekeeping_end_output(unsigned guest);
bool housekeeping_output_done(unsigned guest);

#endif
