/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few privileged instructions of the loader. Must not know firmware or hypervisor.
 */
#ifndef BOOT_INSN_H
#define BOOT_INSN_H

#include "hv/lib/types.h"

struct insn_cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct insn_cpuid insn_cpuid(uint32_t leaf)
{
	struct insn_cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(0));
	return r;
}

static inline uint64_t insn_read_cr4(void)
{
	uint64_t v;

	__asm__ volatile("mov %%cr4, %0" : "=r"(v));
	return v;
}

static inline uint64_t insn_rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}

static inline void insn_wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr"
			 :
			 : "a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(msr)
			 : "memory");
}

static inline void insn_outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void insn_cli(void)
{
	__asm__ volatile("cli" : : : "memory");
}

#endif
