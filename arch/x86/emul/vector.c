/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector moves. The registers themselves are the guest's, live in the CPU: two callbacks reach
 * them. Before an access come the checks of SDM vol. 2, "Exceptions Type 1" to 7 and "x87 FPU
 * Instructions and MMX": whether the operating system has enabled these registers at all.
 */
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute_parts.h"

#define XCR0_VEX      (XCR0_SSE | XCR0_AVX)
#define VECTOR_MAX    32u
#define MXCSR_DEFINED 0xffffu

static enum emul_result check_enabled(struct execution *x, bool vex, bool mmx)
{
	struct emul_ctx *ctx = x->ctx;

	if (!ctx->env->vectors)
		return EMUL_UNSUPPORTED;
	if (vex && (!emul_is_protected(ctx) || !(ctx->cr4 & CR4_OSXSAVE) ||
			   (ctx->env->vectors->xcr0(ctx) & XCR0_VEX) != XCR0_VEX))
		return emul_raise_plain(ctx, EXC_UD);
	if (!vex && ((ctx->cr0 & CR0_EM) || (!mmx && !(ctx->cr4 & CR4_OSFXSR))))
		return emul_raise_plain(ctx, EXC_UD);
	if (ctx->cr0 & CR0_TS)
		return emul_raise_plain(ctx, EXC_NM);
	return EMUL_DONE;
}

static void repeat(uint8_t *value, unsigned unit, unsigned size)
{
	for (unsigned at = unit; at < size; at++)
		value[at] = value[at - unit];
}

/* Copies unit number i & ~1 or i | 1 to both of a pair. */
static void pair_up(uint8_t *value, unsigned unit, unsigned size, bool odd)
{
	for (unsigned at = 0; at < size; at += 2 * unit)
		__builtin_memcpy(odd ? value + at : value + at + unit,
			odd ? value + at + unit : value + at, unit);
}

/* value holds the memory operand, and zeroes behind it. */
static enum emul_result arrange(struct execution *x, uint8_t *value)
{
	const struct emul_insn *insn = x->insn;
	unsigned size = insn->dst.size, part = insn->vector.part;
	uint8_t other[VECTOR_MAX];
	enum emul_result r;

	switch (part) {
	case EMUL_VECTOR_EACH: repeat(value, insn->src.size, size); return EMUL_DONE;
	case EMUL_VECTOR_EVEN4: pair_up(value, 4, size, false); return EMUL_DONE;
	case EMUL_VECTOR_ODD4: pair_up(value, 4, size, true); return EMUL_DONE;
	case EMUL_VECTOR_EVEN8: pair_up(value, 8, size, false); return EMUL_DONE;
	case EMUL_VECTOR_HALF0:
	case EMUL_VECTOR_HALF1: break;
	default: return EMUL_DONE;
	}
	r = x->ctx->env->vectors->get(x->ctx, insn->vector.other, other, 16);
	if (r != EMUL_DONE)
		return r;
	if (part == EMUL_VECTOR_HALF1) {
		__builtin_memcpy(value + 8, value, 8);
		__builtin_memcpy(value, other, 8);
	} else {
		__builtin_memcpy(value + 8, other + 8, 8);
	}
	return EMUL_DONE;
}

static enum emul_result vector_load(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	struct emul_ctx *ctx = x->ctx;
	uint8_t value[VECTOR_MAX] = {0};
	enum emul_result r = ctx->env->read(ctx, x->linear, value, insn->src.size, 0);

	if (r == EMUL_DONE)
		r = arrange(x, value);
	if (r != EMUL_DONE)
		return r;
	return ctx->env->vectors->set(ctx, insn->dst.reg, value, insn->dst.size, insn->vector.vex);
}

static enum emul_result vector_store(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	struct emul_ctx *ctx = x->ctx;
	unsigned from = insn->vector.part == EMUL_VECTOR_HALF1 ? 8 : 0;
	uint8_t value[VECTOR_MAX];
	enum emul_result r = ctx->env->vectors->get(ctx, insn->src.reg, value, insn->src.size);

	if (r != EMUL_DONE)
		return r;
	return ctx->env->write(ctx, x->linear, value + from, insn->dst.size, EMUL_ACCESS_WRITE);
}

enum emul_result execute_vector(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	bool load = insn->op == EMUL_OP_VECTOR_LOAD;
	const struct emul_operand *reg = load ? &insn->dst : &insn->src;
	const struct emul_operand *mem = load ? &insn->src : &insn->dst;
	enum emul_result r = check_enabled(x, insn->vector.vex, reg->size == 8);

	if (r != EMUL_DONE)
		return r;
	if (reg->size > VECTOR_MAX || mem->size > reg->size)
		return EMUL_UNSUPPORTED;
	if (insn->vector.aligned && (x->linear & (mem->size - 1)))
		return emul_raise(x->ctx, EXC_GP, 0);
	return load ? vector_load(x) : vector_store(x);
}

/* A bit that this CPU's MXCSR has not got is #GP; the callback knows which. */
enum emul_result execute_mxcsr(struct execution *x)
{
	const struct emul_vector_regs *vectors = x->ctx->env->vectors;
	enum emul_result r = check_enabled(x, false, false);
	uint32_t mxcsr;
	uint64_t value;

	if (r != EMUL_DONE)
		return r;
	if (x->insn->op == EMUL_OP_STMXCSR) {
		r = vectors->mxcsr_get(x->ctx, &mxcsr);
		return r == EMUL_DONE ? emul_operand_set(x, &x->insn->dst, mxcsr) : r;
	}
	r = emul_operand_get(x, &x->insn->src, &value);
	if (r != EMUL_DONE)
		return r;
	if (value & ~(uint64_t)MXCSR_DEFINED)
		return emul_raise(x->ctx, EXC_GP, 0);
	return vectors->mxcsr_set(x->ctx, (uint32_t)value);
}
