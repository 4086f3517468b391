/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiplication, division, shifts and bit scans with exact flags; those that the manual leaves
 * undefined come out as current CPUs leave them (tests/unit/test_emul_native.c compares).
 */
#ifndef ARCH_X86_EMUL_ALU_WIDE_H
#define ARCH_X86_EMUL_ALU_WIDE_H

#include "arch/x86/emul/decode.h"

/* The low half of the product; the high half in *high. */
uint64_t alu_multiply(
	uint64_t a, uint64_t b, unsigned size, bool is_signed, uint64_t *high, uint64_t *rflags);

/* high:*low divided: quotient in *low. False: #DE. */
bool alu_divide(uint64_t *low, uint64_t high, uint64_t divisor, unsigned size, bool is_signed,
	uint64_t *remainder) MUST_CHECK;

/* EMUL_OP_ROL..EMUL_OP_SAR; of the count only the bits that the size allows matter. */
uint64_t alu_shift(enum emul_op op, uint64_t a, unsigned count, unsigned size, uint64_t *rflags);

/* SHLD, SHRD: bits of b move into a. */
uint64_t alu_double_shift(
	enum emul_op op, uint64_t a, uint64_t b, unsigned count, unsigned size, uint64_t *rflags);

/* BSF, BSR, TZCNT, LZCNT, POPCNT of *value. False: *value is not a result. */
bool alu_scan(enum emul_op op, uint64_t *value, unsigned size, uint64_t *rflags);

uint32_t alu_crc32c(uint32_t crc, uint64_t value, unsigned size);

#endif
