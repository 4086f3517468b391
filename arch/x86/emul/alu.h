/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer arithmetic with exact flags (SDM vol. 1, "EFLAGS Cross-Reference"). Flags that the manual
 * leaves undefined come out as current CPUs leave them: AF clear after logic, untouched after BT.
 */
#ifndef ARCH_X86_EMUL_ALU_H
#define ARCH_X86_EMUL_ALU_H

#include "arch/x86/emul/decode.h"

/*
 * One operation on operands of `size` bytes: EMUL_OP_ADD..EMUL_OP_CMP, TEST, NOT, NEG, INC, DEC (b
 * is ignored by the last four). Returns the result, cut to size; updates *rflags.
 */
uint64_t alu_compute(enum emul_op op, uint64_t a, uint64_t b, unsigned size, uint64_t *rflags);

/* EMUL_OP_BT..EMUL_OP_BTC on bit number `bit`, taken modulo the operand width. */
uint64_t alu_bit(enum emul_op op, uint64_t a, uint64_t bit, unsigned size, uint64_t *rflags);

/* Condition 0..15 of Jcc, CMOVcc and SETcc. */
bool alu_condition(unsigned cond, uint64_t rflags);

/* Sign-extend a value of `size` bytes. */
static inline uint64_t alu_sign_extend(uint64_t value, unsigned size)
{
	unsigned shift = 64 - size * 8;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

#endif
