/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String instructions. Each iteration makes all its checks and accesses before it moves RSI, RDI,
 * RCX or flags, so that a fault leaves a state from which the instruction can be run again.
 */
#include "arch/x86/defs/cr.h"
#include "arch/x86/emul/alu.h"
#include "arch/x86/emul/execute_parts.h"

struct string_op {
	struct emul_ctx *ctx;
	const struct emul_insn *insn;
	gva_t src; /* linear addresses of this iteration */
	gva_t dst;
	bool mismatch; /* CMPS, SCAS: REPE or REPNE ends here */
};

enum { USES_SRC = 1, USES_DST = 2, WRITES_DST = 4 };

static unsigned string_uses(const struct emul_insn *insn)
{
	switch (insn->op) {
	case EMUL_OP_MOVS: return USES_SRC | USES_DST | WRITES_DST;
	case EMUL_OP_CMPS: return USES_SRC | USES_DST;
	case EMUL_OP_LODS:
	case EMUL_OP_OUTS: return USES_SRC;
	case EMUL_OP_SCAS: return USES_DST;
	default: return USES_DST | WRITES_DST; /* STOS, INS */
	}
}

static enum emul_result string_addresses(struct string_op *s)
{
	const struct emul_insn *insn = s->insn;
	unsigned uses = string_uses(insn);
	enum emul_result r = EMUL_DONE;

	if (uses & USES_SRC)
		r = emul_linear(s->ctx, insn->segment,
			emul_reg_get(s->ctx, EMUL_RSI, insn->addr_size), insn->op_size, 0, &s->src);
	if (r == EMUL_DONE && (uses & USES_DST))
		r = emul_linear(s->ctx, EMUL_ES, emul_reg_get(s->ctx, EMUL_RDI, insn->addr_size),
			insn->op_size, uses & WRITES_DST ? EMUL_ACCESS_WRITE : 0, &s->dst);
	return r;
}

static enum emul_result string_read(struct string_op *s, gva_t gva, uint64_t *value)
{
	*value = 0;
	return s->ctx->env->read(s->ctx, gva, value, s->insn->op_size, 0);
}

static enum emul_result string_write(struct string_op *s, uint64_t value)
{
	return s->ctx->env->write(s->ctx, s->dst, &value, s->insn->op_size, EMUL_ACCESS_WRITE);
}

static enum emul_result string_movs(struct string_op *s)
{
	uint64_t value;
	enum emul_result r = s->ctx->env->probe(
		s->ctx, s->dst, s->insn->op_size, EMUL_ACCESS_WRITE);

	if (r == EMUL_DONE)
		r = string_read(s, s->src, &value);
	return r == EMUL_DONE ? string_write(s, value) : r;
}

static enum emul_result string_ins(struct string_op *s)
{
	struct emul_ctx *ctx = s->ctx;
	uint32_t value = 0;
	enum emul_result r = ctx->env->probe(ctx, s->dst, s->insn->op_size, EMUL_ACCESS_WRITE);

	if (r == EMUL_DONE)
		r = ctx->env->io_in(ctx, emul_reg_get(ctx, EMUL_RDX, 2), s->insn->op_size, &value);
	return r == EMUL_DONE ? string_write(s, value) : r;
}

static enum emul_result string_outs(struct string_op *s)
{
	struct emul_ctx *ctx = s->ctx;
	uint64_t value;
	enum emul_result r = string_read(s, s->src, &value);

	if (r != EMUL_DONE)
		return r;
	return ctx->env->io_out(ctx, emul_reg_get(ctx, EMUL_RDX, 2), s->insn->op_size, value);
}

static enum emul_result string_lods(struct string_op *s)
{
	uint64_t value;
	enum emul_result r = string_read(s, s->src, &value);

	if (r == EMUL_DONE)
		emul_reg_set(s->ctx, EMUL_RAX, s->insn->op_size, value);
	return r;
}

/* CMPS compares [src] with [dst], SCAS the accumulator. */
static enum emul_result string_compare(struct string_op *s)
{
	struct emul_ctx *ctx = s->ctx;
	unsigned size = s->insn->op_size;
	uint64_t left = emul_reg_get(ctx, EMUL_RAX, size), right;
	enum emul_result r = EMUL_DONE;

	if (s->insn->op == EMUL_OP_CMPS)
		r = string_read(s, s->src, &left);
	if (r == EMUL_DONE)
		r = string_read(s, s->dst, &right);
	if (r != EMUL_DONE)
		return r;
	alu_compute(EMUL_OP_CMP, left, right, size, &ctx->rflags);
	s->mismatch = !(ctx->rflags & RFLAGS_ZF) == (s->insn->rep == EMUL_REP_E);
	return EMUL_DONE;
}

static enum emul_result string_access(struct string_op *s)
{
	switch (s->insn->op) {
	case EMUL_OP_MOVS: return string_movs(s);
	case EMUL_OP_STOS: return string_write(s, s->ctx->gpr[EMUL_RAX]);
	case EMUL_OP_LODS: return string_lods(s);
	case EMUL_OP_CMPS:
	case EMUL_OP_SCAS: return string_compare(s);
	case EMUL_OP_INS: return string_ins(s);
	case EMUL_OP_OUTS: return string_outs(s);
	default: return EMUL_UNSUPPORTED;
	}
}

static void string_advance(struct emul_ctx *ctx, const struct emul_insn *insn, unsigned reg)
{
	uint64_t step = insn->op_size;

	if (ctx->rflags & RFLAGS_DF)
		step = -step;
	emul_reg_set(ctx, reg, insn->addr_size, ctx->gpr[reg] + step);
}

static enum emul_result string_once(struct string_op *s)
{
	unsigned uses = string_uses(s->insn);
	enum emul_result r = string_addresses(s);

	if (r == EMUL_DONE)
		r = string_access(s);
	if (r != EMUL_DONE)
		return r;
	if (uses & USES_SRC)
		string_advance(s->ctx, s->insn, EMUL_RSI);
	if (uses & USES_DST)
		string_advance(s->ctx, s->insn, EMUL_RDI);
	return EMUL_DONE;
}

enum emul_result emul_string(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	const struct emul_insn *insn = x->insn;
	struct string_op s = {.ctx = x->ctx, .insn = x->insn};
	uint64_t left = emul_reg_get(ctx, EMUL_RCX, insn->addr_size);
	unsigned batch;

	if (insn->rep == EMUL_REP_NONE)
		return string_once(&s);
	/* A single step comes after each iteration (SDM vol. 3, "Single-Step Exception"). */
	batch = (ctx->rflags & RFLAGS_TF) || ctx->watched ? 1 : EMUL_REP_BATCH;
	for (unsigned i = 0; i < batch; i++) {
		enum emul_result r;

		if (left == 0 || s.mismatch)
			return EMUL_DONE;
		r = string_once(&s);
		if (r != EMUL_DONE)
			return r;
		emul_reg_set(ctx, EMUL_RCX, insn->addr_size, --left);
	}
	return left == 0 || s.mismatch ? EMUL_DONE : EMUL_PARTLY;
}
