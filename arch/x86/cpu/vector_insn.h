/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves between memory and the vector registers, which the hypervisor itself never uses: what is in
 * them is the guest's. A register's number is part of an instruction, so each function jumps to the
 * one of sixteen that is meant. They fault where the guest has these registers switched off (XCR0
 * stays the guest's) or an x87 exception is pending: E_FAULT. Part of insn.h.
 */
#ifndef ARCH_X86_CPU_VECTOR_INSN_H
#define ARCH_X86_CPU_VECTOR_INSN_H

#include "arch/x86/cpu/insn.h"

#ifndef HOST_BUILD

#define VECTOR_CASE(n, insn)                                                                       \
	case n:                                                                                    \
		__asm__ volatile("1: " insn "\n\t"                                                 \
				 "xorl %0, %0\n\t"                                                 \
				 "2:\n\t" EXTABLE("1b", "2b")                                      \
				 : "+r"(status)                                                    \
				 : "r"(buf)                                                        \
				 : "memory", "cc");                                                \
		break
#define VECTOR_LOW8(name, a, b)                                                                    \
	VECTOR_CASE(0, a name "0" b);                                                              \
	VECTOR_CASE(1, a name "1" b);                                                              \
	VECTOR_CASE(2, a name "2" b);                                                              \
	VECTOR_CASE(3, a name "3" b);                                                              \
	VECTOR_CASE(4, a name "4" b);                                                              \
	VECTOR_CASE(5, a name "5" b);                                                              \
	VECTOR_CASE(6, a name "6" b);                                                              \
	VECTOR_CASE(7, a name "7" b)
#define VECTOR_HIGH8(name, a, b)                                                                   \
	VECTOR_CASE(8, a name "8" b);                                                              \
	VECTOR_CASE(9, a name "9" b);                                                              \
	VECTOR_CASE(10, a name "10" b);                                                            \
	VECTOR_CASE(11, a name "11" b);                                                            \
	VECTOR_CASE(12, a name "12" b);                                                            \
	VECTOR_CASE(13, a name "13" b);                                                            \
	VECTOR_CASE(14, a name "14" b);                                                            \
	VECTOR_CASE(15, a name "15" b)

#define VECTOR_FUNCTION(function, type, cases)                                                     \
	static inline MUST_CHECK int function(unsigned reg, type *buf)                             \
	{                                                                                          \
		int status = E_FAULT;                                                              \
		switch (reg) {                                                                     \
			cases;                                                                     \
		}                                                                                  \
		return status;                                                                     \
	}

#define XMM_CASES(a, b)                                                                            \
	VECTOR_LOW8("%%xmm", a, b);                                                                \
	VECTOR_HIGH8("%%xmm", a, b)
#define YMM_CASES(a, b)                                                                            \
	VECTOR_LOW8("%%ymm", a, b);                                                                \
	VECTOR_HIGH8("%%ymm", a, b)

VECTOR_FUNCTION(mmx_read_safe, void, VECTOR_LOW8("%%mm", "movq ", ", (%1)"))
VECTOR_FUNCTION(mmx_write_safe, const void, VECTOR_LOW8("%%mm", "movq (%1), ", ""))
VECTOR_FUNCTION(xmm_read_safe, void, XMM_CASES("movups ", ", (%1)"))
/* The upper parts of the register stay. */
VECTOR_FUNCTION(xmm_write_safe, const void, XMM_CASES("movups (%1), ", ""))
/* They become zero. */
VECTOR_FUNCTION(xmm_write_zero_safe, const void, XMM_CASES("vmovups (%1), ", ""))
VECTOR_FUNCTION(ymm_read_safe, void, YMM_CASES("vmovups ", ", (%1)"))
VECTOR_FUNCTION(ymm_write_safe, const void, YMM_CASES("vmovups (%1), ", ""))

#undef VECTOR_CASE
#undef VECTOR_LOW8
#undef VECTOR_HIGH8
#undef VECTOR_FUNCTION
#undef XMM_CASES
#undef YMM_CASES

static inline uint32_t mxcsr_read(void)
{
	uint32_t value;

	__asm__ volatile("stmxcsr %0" : "=m"(value));
	return value;
}

static inline MUST_CHECK int mxcsr_write_safe(uint32_t value)
{
	int status = E_FAULT;

	__asm__ volatile("1: ldmxcsr %1\n\t"
			 "xorl %0, %0\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : "+r"(status)
			 : "m"(value)
			 : "cc");
	return status;
}

#endif /* HOST_BUILD */
#endif
