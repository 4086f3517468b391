/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers that no control structure switches: a guest owns them from the moment it gets a CPU
 * until another takes over. Taking over is eager: everything is put into its reset state, so that
 * nothing of the previous owner can be read (pitfalls: registers leak between guests).
 */
#ifndef ARCH_X86_VIRT_SWITCH_H
#define ARCH_X86_VIRT_SWITCH_H

#include "hv/lib/types.h"

/*
 * This CPU gets a new owner; interrupts off. xcr0_allowed: what the guest may enable, 0 without
 * XSAVE.
 */
void switch_owner(uint64_t xcr0_allowed, bool has_tsc_aux);

/* DR0 to DR3 and DR6 as after reset or INIT. Part of switch_owner. */
void switch_debug_reset(void);

/*
 * What others' work left in this CPU's predictors, buffers and L1 data cache does not serve whoever
 * runs next: where the CPU has the commands. Part of switch_owner.
 */
void switch_flush(void);

#endif
