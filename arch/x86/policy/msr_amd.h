/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSRs that only AMD's CPUs have and that kernels touch without asking CPUID first. None of them
 * holds anything in a guest: each reads as a constant that is true there, and takes what changes
 * nothing. The table of msr_amd.c and docs/cpu.md say why. Pure, no state. Locking: none.
 */
#ifndef ARCH_X86_POLICY_MSR_AMD_H
#define ARCH_X86_POLICY_MSR_AMD_H

#include "hv/lib/types.h"

/* False: the guest gets #GP, as for every MSR that is not in the table. */
bool msr_amd_read(uint32_t msr, uint64_t *value);
bool msr_amd_write(uint32_t msr, uint64_t value);

#endif
