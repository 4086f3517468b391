/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine-check registers of a guest (SDM vol. 3, "Machine-Check Architecture"): a few banks
 * that never have anything to report, since the machine's errors are the hypervisor's. Pure.
 * Locking: a vCPU's own.
 */
#ifndef ARCH_X86_POLICY_MCE_H
#define ARCH_X86_POLICY_MCE_H

#include "hv/lib/types.h"

#define MCE_BANKS 6u

struct mce {
	uint64_t status, ctl;
	uint64_t bank[MCE_BANKS][4]; /* CTL, STATUS, ADDR, MISC */
};

/* As after a reset: nothing is reported, everything is switched on. */
void mce_reset(struct mce *m);

/* IA32_MCG_* and the registers of the banks. False: #GP. */
bool mce_read(const struct mce *m, uint32_t msr, uint64_t *value) MUST_CHECK;
bool mce_write(struct mce *m, uint32_t msr, uint64_t value) MUST_CHECK;

#endif
