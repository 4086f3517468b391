/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment registers, descriptor tables and the machine status word to and from memory (SDM vol. 2).
 * Privilege is checked before memory is touched, as the CPU does.
 */
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute_parts.h"
#include "arch/x86/emul/walk.h"

#define LMSW_BITS   0xfull
#define LAR_BITS    0x00f0ff00u
#define SYSTEM_KIND 0x1fu /* type with S */

static bool umip_denies(const struct emul_ctx *ctx)
{
	return ctx->cpl > 0 && (ctx->cr4 & CR4_UMIP);
}

enum emul_result execute_mov_seg(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	struct emul_ctx *ctx = x->ctx;
	struct emul_selector s;
	uint64_t value;
	enum emul_result r;

	if (!ctx->env->system)
		return EMUL_UNSUPPORTED;
	if (insn->op == EMUL_OP_MOV_FROM_SEG) {
		ctx->env->system->get(ctx, insn->src.reg, &s);
		return emul_operand_set(x, &insn->dst, s.selector);
	}
	r = emul_operand_get(x, &insn->src, &value);
	if (r == EMUL_DONE)
		r = emul_selector_data(ctx, insn->dst.reg, (uint16_t)value, &s);
	if (r != EMUL_DONE)
		return r;
	ctx->env->system->set(ctx, insn->dst.reg, &s);
	ctx->stack_shadow = insn->dst.reg == EMUL_SS;
	return EMUL_DONE;
}

static unsigned far_segment(const struct emul_insn *insn)
{
	switch (insn->opcode) {
	case 0xc4: return EMUL_ES;
	case 0xc5: return EMUL_DS;
	case 0xb2: return EMUL_SS;
	case 0xb4: return EMUL_FS;
	default: return EMUL_GS;
	}
}

enum emul_result execute_load_far(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	struct emul_ctx *ctx = x->ctx;
	unsigned size = insn->op_size, reg = far_segment(insn);
	uint16_t selector = 0;
	uint64_t offset = 0;
	struct emul_selector s;
	enum emul_result r;

	if (!ctx->env->system)
		return EMUL_UNSUPPORTED;
	r = ctx->env->read(ctx, x->linear, &offset, size, 0);
	if (r == EMUL_DONE)
		r = ctx->env->read(ctx, x->linear + size, &selector, 2, 0);
	if (r == EMUL_DONE)
		r = emul_selector_data(ctx, reg, selector, &s);
	if (r != EMUL_DONE)
		return r;
	ctx->env->system->set(ctx, reg, &s);
	emul_reg_set(ctx, insn->dst.reg, size, offset);
	return EMUL_DONE;
}

enum emul_result execute_store_selector(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	struct emul_selector s;

	if (!ctx->env->system)
		return EMUL_UNSUPPORTED;
	if (!emul_is_protected(ctx))
		return emul_raise_plain(ctx, EXC_UD);
	if (umip_denies(ctx))
		return emul_raise(ctx, EXC_GP, 0);
	ctx->env->system->get(ctx, x->insn->op == EMUL_OP_SLDT ? EMUL_LDTR : EMUL_TR, &s);
	return emul_operand_set(x, &x->insn->dst, s.selector);
}

enum emul_result execute_load_selector(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	bool task = x->insn->op == EMUL_OP_LTR;
	struct emul_selector s;
	uint64_t value;
	enum emul_result r;

	if (!ctx->env->system)
		return EMUL_UNSUPPORTED;
	if (!emul_is_protected(ctx))
		return emul_raise_plain(ctx, EXC_UD);
	if (ctx->cpl)
		return emul_raise(ctx, EXC_GP, 0);
	r = emul_operand_get(x, &x->insn->src, &value);
	if (r == EMUL_DONE)
		r = emul_selector_system(ctx, (uint16_t)value, task, &s);
	if (r == EMUL_DONE)
		ctx->env->system->set(ctx, task ? EMUL_TR : EMUL_LDTR, &s);
	return r;
}

/* System descriptors that LAR and LSL look at (SDM vol. 2, their tables of types). */
static bool system_is_visible(const struct emul_ctx *ctx, uint32_t type, bool limit)
{
	const uint32_t segments = BIT(2) | BIT(9) | BIT(11), old = BIT(1) | BIT(3);
	const uint32_t gates = BIT(12), old_gates = BIT(4) | BIT(5);
	uint32_t visible = segments | (limit ? 0 : gates);

	if (!ctx->long_mode)
		visible |= old | (limit ? 0 : old_gates);
	return visible >> type & 1;
}

static bool may_look(const struct execution *x, uint16_t selector, const struct emul_seg *seg)
{
	uint32_t attr = seg->attr, dpl = attr >> EMUL_SEG_DPL_SHIFT & 3;
	bool code = attr & EMUL_SEG_CODE;
	bool reachable = dpl >= x->ctx->cpl && dpl >= (selector & 3u);
	bool conforming = code && (attr & EMUL_SEG_EXPAND_DOWN);

	if (!(attr & EMUL_SEG_S))
		return x->insn->op >= EMUL_OP_LAR && reachable &&
		       system_is_visible(
			       x->ctx, attr & EMUL_SEG_TYPE_MASK, x->insn->op == EMUL_OP_LSL);
	if (!conforming && !reachable)
		return false;
	switch (x->insn->op) {
	case EMUL_OP_VERR: return !code || (attr & EMUL_SEG_WRITE);
	case EMUL_OP_VERW: return !code && (attr & EMUL_SEG_WRITE);
	default: return true;
	}
}

/* VERR, VERW, LAR, LSL: ZF says whether the selector could be used. */
enum emul_result execute_verify(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	struct emul_ctx *ctx = x->ctx;
	uint64_t selector, raw[2];
	struct emul_seg seg;
	enum emul_result r;
	bool valid;

	if (!ctx->env->system)
		return EMUL_UNSUPPORTED;
	if (!emul_is_protected(ctx))
		return emul_raise_plain(ctx, EXC_UD);
	r = emul_operand_get(x, &insn->src, &selector);
	if (r == EMUL_DONE)
		r = emul_descriptor_read(ctx, (uint16_t)selector, raw, &valid);
	if (r != EMUL_DONE)
		return r;
	emul_selector_split(raw[0], &seg);
	if (!(raw[0] & DESC_S) && (raw[1] >> 40 & SYSTEM_KIND))
		valid = false;
	valid = valid && may_look(x, (uint16_t)selector, &seg);
	ctx->rflags = (ctx->rflags & ~RFLAGS_ZF) | (valid ? RFLAGS_ZF : 0);
	if (!valid || insn->op < EMUL_OP_LAR)
		return EMUL_DONE;
	return emul_operand_set(x, &insn->dst,
		insn->op == EMUL_OP_LSL ? seg.limit : (uint32_t)(raw[0] >> 32) & LAR_BITS);
}

static enum emul_result load_table(
	struct execution *x, enum emul_table table, uint32_t limit, uint64_t base)
{
	struct emul_ctx *ctx = x->ctx;

	if (ctx->code == EMUL_CODE64 && !walk_is_canonical(ctx->cr4, base))
		return emul_raise(ctx, EXC_GP, 0);
	if (ctx->code != EMUL_CODE64 && x->insn->op_size == 2)
		base &= 0xffffff;
	ctx->env->system->table_set(ctx, table, base, limit);
	return EMUL_DONE;
}

/* SGDT, SIDT, LGDT, LIDT: two bytes of limit, then the base. */
enum emul_result execute_table(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	unsigned op = x->insn->op, base_size = ctx->code == EMUL_CODE64 ? 8 : 4;
	bool store = op == EMUL_OP_SGDT || op == EMUL_OP_SIDT;
	enum emul_table table = op == EMUL_OP_SGDT || op == EMUL_OP_LGDT ? EMUL_GDT : EMUL_IDT;
	enum emul_result r;
	uint64_t base = 0;
	uint32_t limit = 0;

	if (!ctx->env->system)
		return EMUL_UNSUPPORTED;
	if (store ? umip_denies(ctx) : ctx->cpl > 0)
		return emul_raise(ctx, EXC_GP, 0);
	if (!store) {
		r = ctx->env->read(ctx, x->linear, &limit, 2, 0);
		if (r == EMUL_DONE)
			r = ctx->env->read(ctx, x->linear + 2, &base, base_size, 0);
		return r == EMUL_DONE ? load_table(x, table, limit, base) : r;
	}
	ctx->env->system->table_get(ctx, table, &base, &limit);
	r = ctx->env->probe(ctx, x->linear, 2 + base_size, EMUL_ACCESS_WRITE);
	if (r == EMUL_DONE)
		r = ctx->env->write(ctx, x->linear, &limit, 2, EMUL_ACCESS_WRITE);
	if (r == EMUL_DONE)
		r = ctx->env->write(ctx, x->linear + 2, &base, base_size, EMUL_ACCESS_WRITE);
	return r;
}

enum emul_result execute_msw(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	uint64_t value;
	enum emul_result r;

	if (x->insn->op == EMUL_OP_SMSW) {
		if (umip_denies(ctx))
			return emul_raise(ctx, EXC_GP, 0);
		return emul_operand_set(x, &x->insn->dst, ctx->cr0);
	}
	if (!ctx->env->system)
		return EMUL_UNSUPPORTED;
	if (ctx->cpl)
		return emul_raise(ctx, EXC_GP, 0);
	r = emul_operand_get(x, &x->insn->src, &value);
	if (r != EMUL_DONE)
		return r;
	/* It cannot clear PE. */
	value = (ctx->cr0 & ~(LMSW_BITS & ~CR0_PE)) | (value & LMSW_BITS);
	return ctx->env->system->cr0_set(ctx, value) ? EMUL_DONE : emul_raise(ctx, EXC_GP, 0);
}
