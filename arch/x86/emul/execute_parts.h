/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the executor share. Private to arch/x86/emul. */
#ifndef ARCH_X86_EMUL_EXECUTE_PARTS_H
#define ARCH_X86_EMUL_EXECUTE_PARTS_H

#include "arch/x86/defs/cr.h"
#include "arch/x86/emul/execute.h"

/* Registers by width: 4 bytes zero-extend, 1 and 2 leave the rest alone. */
static inline uint64_t emul_reg_get(const struct emul_ctx *ctx, unsigned reg, unsigned size)
{
	return ctx->gpr[reg & 15] & mask_bytes(size);
}

static inline void emul_reg_set(struct emul_ctx *ctx, unsigned reg, unsigned size, uint64_t value)
{
	uint64_t keep = size == 4 ? 0 : ~mask_bytes(size);

	ctx->gpr[reg & 15] = (ctx->gpr[reg & 15] & keep) | (value & mask_bytes(size));
}

struct execution {
	struct emul_ctx *ctx;
	const struct emul_insn *insn;
	gva_t linear;    /* of the memory operand */
	unsigned access; /* EMUL_ACCESS_*, for reading the first operand */
};

typedef enum emul_result (*execute_fn)(struct execution *x);

/* Operands of at most 8 bytes. Setting a register cannot fail. */
enum emul_result emul_operand_get(
	struct execution *x, const struct emul_operand *o, uint64_t *value) MUST_CHECK;
enum emul_result emul_operand_set(
	struct execution *x, const struct emul_operand *o, uint64_t value) MUST_CHECK;

static inline bool emul_is_protected(const struct emul_ctx *ctx)
{
	return (ctx->cr0 & CR0_PE) && !(ctx->rflags & RFLAGS_VM);
}

/* EMUL_FAULT with ctx->fault filled in; the error code is dropped where real mode has none. */
enum emul_result emul_raise(struct emul_ctx *ctx, uint8_t vector, uint32_t error);
enum emul_result emul_raise_plain(struct emul_ctx *ctx, uint8_t vector);

/* MOVS, CMPS, STOS, LODS, SCAS, INS and OUTS, with or without REP; moves RIP on no account. */
enum emul_result emul_string(struct execution *x);

/* arith.c */
enum emul_result execute_multiply(struct execution *x);
enum emul_result execute_imul(struct execution *x);
enum emul_result execute_divide(struct execution *x);
enum emul_result execute_shift(struct execution *x);
enum emul_result execute_double_shift(struct execution *x);
enum emul_result execute_scan(struct execution *x);
enum emul_result execute_movbe(struct execution *x);
enum emul_result execute_crc32(struct execution *x);
enum emul_result execute_cmpxchg_wide(struct execution *x);
enum emul_result execute_xlat(struct execution *x);

#endif
