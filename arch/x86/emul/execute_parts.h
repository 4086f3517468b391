/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the executor share. Private to arch/x86/emul. */
#ifndef ARCH_X86_EMUL_EXECUTE_PARTS_H
#define ARCH_X86_EMUL_EXECUTE_PARTS_H

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

/* MOVS, CMPS, STOS, LODS, SCAS, INS and OUTS, with or without REP; moves RIP on no account. */
enum emul_result emul_string(struct emul_ctx *ctx, const struct emul_insn *insn);

#endif
