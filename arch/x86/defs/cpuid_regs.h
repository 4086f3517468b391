/* SPDX-License-Identifier: Apache-2.0 */
/* What CPUID returns: shared by the instruction itself and by code that only computes with it. */
#ifndef ARCH_X86_DEFS_CPUID_REGS_H
#define ARCH_X86_DEFS_CPUID_REGS_H

#include "hv/lib/types.h"

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

#endif
