/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Execution of arithmetic beyond the ALU group: multiplication and division, shifts, bit scans,
 * byte swaps, the wide compare and exchange. Memory is written before registers and flags change.
 */
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/alu_wide.h"
#include "arch/x86/emul/execute_parts.h"

/* rDX:rAX, or AX for bytes. */
static void set_pair(struct emul_ctx *ctx, unsigned size, uint64_t low, uint64_t high)
{
	if (size == 1) {
		emul_reg_set(ctx, EMUL_RAX, 2, (low & 0xff) | (high & 0xff) << 8);
		return;
	}
	emul_reg_set(ctx, EMUL_RAX, size, low);
	emul_reg_set(ctx, EMUL_RDX, size, high);
}

enum emul_result execute_multiply(struct execution *x)
{
	unsigned size = x->insn->op_size;
	bool is_signed = x->insn->op == EMUL_OP_IMUL_WIDE;
	uint64_t a = emul_reg_get(x->ctx, EMUL_RAX, size), b, high;
	enum emul_result r = emul_operand_get(x, &x->insn->src, &b);

	if (r != EMUL_DONE)
		return r;
	a = alu_multiply(a, b, size, is_signed, &high, &x->ctx->rflags);
	set_pair(x->ctx, size, a, high);
	return EMUL_DONE;
}

enum emul_result execute_imul(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	uint64_t a, b, high;
	enum emul_result r = emul_operand_get(x, &insn->src, &a);

	if (r != EMUL_DONE)
		return r;
	b = insn->imm_size ? insn->imm : emul_reg_get(x->ctx, insn->dst.reg, insn->op_size);
	a = alu_multiply(a, b, insn->op_size, true, &high, &x->ctx->rflags);
	return emul_operand_set(x, &insn->dst, a);
}

enum emul_result execute_divide(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	unsigned size = x->insn->op_size;
	uint64_t low = emul_reg_get(ctx, EMUL_RAX, size), high, divisor, remainder;
	enum emul_result r = emul_operand_get(x, &x->insn->src, &divisor);

	if (r != EMUL_DONE)
		return r;
	high = size == 1 ? ctx->gpr[EMUL_RAX] >> 8 & 0xff : emul_reg_get(ctx, EMUL_RDX, size);
	if (!alu_divide(&low, high, divisor, size, x->insn->op == EMUL_OP_IDIV, &remainder))
		return emul_raise_plain(ctx, EXC_DE);
	set_pair(ctx, size, low, remainder);
	return EMUL_DONE;
}

enum emul_result execute_shift(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	uint64_t a, count, rflags = x->ctx->rflags;
	enum emul_result r = emul_operand_get(x, &insn->dst, &a);

	if (r == EMUL_DONE)
		r = emul_operand_get(x, &insn->src, &count);
	if (r != EMUL_DONE)
		return r;
	a = alu_shift(insn->op, a, (unsigned)count, insn->dst.size, &rflags);
	r = emul_operand_set(x, &insn->dst, a);
	if (r == EMUL_DONE)
		x->ctx->rflags = rflags;
	return r;
}

enum emul_result execute_double_shift(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	unsigned count = insn->imm_size ? insn->imm : emul_reg_get(x->ctx, EMUL_RCX, 1);
	uint64_t a, b, rflags = x->ctx->rflags;
	enum emul_result r = emul_operand_get(x, &insn->dst, &a);

	if (r == EMUL_DONE)
		r = emul_operand_get(x, &insn->src, &b);
	if (r != EMUL_DONE)
		return r;
	a = alu_double_shift(insn->op, a, b, count, insn->dst.size, &rflags);
	r = emul_operand_set(x, &insn->dst, a);
	if (r == EMUL_DONE)
		x->ctx->rflags = rflags;
	return r;
}

/* BSF, BSR, TZCNT, LZCNT, POPCNT. The first two leave the register alone when no bit is set. */
enum emul_result execute_scan(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	enum emul_op op = insn->op;
	uint64_t value;
	enum emul_result r = emul_operand_get(x, &insn->src, &value);

	if (r != EMUL_DONE)
		return r;
	if (op == EMUL_OP_TZCNT && !x->ctx->has_tzcnt)
		op = EMUL_OP_BSF;
	if (op == EMUL_OP_LZCNT && !x->ctx->has_lzcnt)
		op = EMUL_OP_BSR;
	if (!alu_scan(op, &value, insn->op_size, &x->ctx->rflags))
		return EMUL_DONE;
	return emul_operand_set(x, &insn->dst, value);
}

enum emul_result execute_movbe(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	uint64_t value;
	enum emul_result r = emul_operand_get(x, &insn->src, &value);

	if (r != EMUL_DONE)
		return r;
	value = __builtin_bswap64(value) >> (64 - insn->op_size * 8);
	return emul_operand_set(x, &insn->dst, value);
}

enum emul_result execute_crc32(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	uint64_t value;
	enum emul_result r = emul_operand_get(x, &insn->src, &value);

	if (r != EMUL_DONE)
		return r;
	value = alu_crc32c((uint32_t)x->ctx->gpr[insn->dst.reg & 15], value, insn->src.size);
	return emul_operand_set(x, &insn->dst, value);
}

/* Memory is written in either case, as with CMPXCHG. The 16-byte form wants its operand aligned. */
enum emul_result execute_cmpxchg_wide(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	unsigned half = x->insn->op_size, size = 2 * half;
	uint64_t old[2] = {0}, new[2] = {0};
	uint8_t bytes[16] = {0};
	enum emul_result r;
	bool equal;

	if (size == 16 && (x->linear & 15))
		return emul_raise(ctx, EXC_GP, 0);
	r = ctx->env->read(ctx, x->linear, bytes, size, x->access);
	if (r != EMUL_DONE)
		return r;
	__builtin_memcpy(&old[0], bytes, 8);
	__builtin_memcpy(&old[1], bytes + 8, 8);
	if (half == 4) {
		old[1] = old[0] >> 32;
		old[0] &= UINT32_MAX;
	}
	equal = old[0] == emul_reg_get(ctx, EMUL_RAX, half) &&
		old[1] == emul_reg_get(ctx, EMUL_RDX, half);
	if (equal) {
		new[0] = emul_reg_get(ctx, EMUL_RBX, half);
		new[1] = emul_reg_get(ctx, EMUL_RCX, half);
		if (half == 4)
			new[0] |= new[1] << 32;
		__builtin_memcpy(bytes, &new[0], 8);
		__builtin_memcpy(bytes + 8, &new[1], 8);
	}
	r = ctx->env->write(ctx, x->linear, bytes, size, x->access | EMUL_ACCESS_WRITE);
	if (r != EMUL_DONE)
		return r;
	ctx->rflags = (ctx->rflags & ~RFLAGS_ZF) | (equal ? RFLAGS_ZF : 0);
	if (!equal)
		set_pair(ctx, half, old[0], old[1]);
	return EMUL_DONE;
}

enum emul_result execute_xlat(struct execution *x)
{
	uint64_t value;
	enum emul_result r = emul_operand_get(x, &x->insn->src, &value);

	if (r == EMUL_DONE)
		emul_reg_set(x->ctx, EMUL_RAX, 1, value);
	return r;
}
