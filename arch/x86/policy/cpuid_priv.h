/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that build a guest's CPUID table share. Private to arch/x86/policy. */
#ifndef ARCH_X86_POLICY_CPUID_PRIV_H
#define ARCH_X86_POLICY_CPUID_PRIV_H

#include "arch/x86/policy/cpuid.h"

/* Room for one more subleaf; those of a leaf follow each other. Full: the last one again. */
struct cpuid_regs *cpuid_add_subleaf(struct cpuid_table *t, uint8_t *first, uint8_t *count);

/* Bits of an APIC ID that tell `count` vCPUs apart. */
unsigned cpuid_bits_for(uint32_t count);

/* cpuid_amd.c: what AMD's CPUs say beyond or instead of what is common; after everything else. */
void cpuid_amd_build(struct cpuid_table *t, const struct cpuid_params *p);

#endif
