/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory type that the host's MTRRs give to physical memory (SDM vol. 3, "Memory Type Range
 * Registers"). RAM that they do not call write-back is never given out: a guest's write-back view
 * of it and the hypervisor's own would disagree. Pure: the registers' values are passed in. No
 * locks.
 */
#ifndef ARCH_X86_POLICY_MTRR_H
#define ARCH_X86_POLICY_MTRR_H

#include "hv/lib/types.h"

#define MTRR_FIXED        11u /* 64K_00000, 16K_80000, 16K_A0000, 4K_C0000 .. 4K_F8000 */
#define MTRR_VARIABLE_MAX 32u

struct mtrr_state {
	uint64_t cap, def_type; /* IA32_MTRRCAP, IA32_MTRR_DEF_TYPE */
	uint64_t fixed[MTRR_FIXED];
	uint64_t base[MTRR_VARIABLE_MAX], mask[MTRR_VARIABLE_MAX];
	/*
	 * AMD's Tom2ForceMemTypeWB: from 4 GiB to here the default type is write-back; 0: no such
	 * thing.
	 */
	hpa_t wb_top;
};

/* The type at pa (MEMTYPE_*); *end: it stays the same up to here, which is beyond pa. */
unsigned mtrr_type(const struct mtrr_state *m, hpa_t pa, hpa_t *end);

/* The first stretch in [from, end) that is (wanted) or is not write-back; false: there is none. */
bool mtrr_find(const struct mtrr_state *m, hpa_t from, hpa_t end, bool wanted, hpa_t *base,
	uint64_t *size);

#endif
