/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What smp.c fills in for trampoline.S: a copy of the code lies at the start of the trampoline
 * page, this right behind it.
 */
#ifndef ARCH_X86_CPU_TRAMPOLINE_H
#define ARCH_X86_CPU_TRAMPOLINE_H

#include "hv/lib/types.h"

struct PACKED trampoline_data {
	uint64_t gdt[4]; /* null, 32-bit code, data, 64-bit code */
	uint16_t gdtr_pad, gdtr_limit;
	uint32_t gdtr_base;
	uint32_t far32_offset;
	uint16_t far32_selector;
	uint16_t pad0;
	uint32_t far64_offset;
	uint16_t far64_selector;
	uint16_t pad1;
	uint32_t cr3, pad2;
	uint64_t stack, entry, cpu;
};

#define TRAMPOLINE_SEL_CODE32 0x08
#define TRAMPOLINE_SEL_DATA   0x10
#define TRAMPOLINE_SEL_CODE64 0x18

extern const char trampoline_start[], trampoline_code32[], trampoline_code64[],
	trampoline_data_at[], trampoline_end[];

#endif
