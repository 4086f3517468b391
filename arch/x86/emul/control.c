/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls, jumps and returns, near and far (SDM vol. 2). The target is checked before anything is
 * pushed; RIP, CS, SS and flags change last. Not emulated: gates, task switches, returns to
 * virtual-8086 mode.
 */
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute_parts.h"
#include "arch/x86/emul/walk.h"

#define FLAGS_ANYBODY                                                                              \
	(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_TF | RFLAGS_DF |       \
		RFLAGS_OF | RFLAGS_NT | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)

static enum emul_result check_target(
	struct emul_ctx *ctx, bool code64, uint32_t limit, uint64_t target)
{
	if (code64 ? walk_is_canonical(ctx->cr4, target) : target <= limit)
		return EMUL_DONE;
	return emul_raise(ctx, EXC_GP, 0);
}

static enum emul_result near_target(struct emul_ctx *ctx, unsigned size, uint64_t *target)
{
	struct emul_seg cs = {0};

	*target &= mask_bytes(size);
	if (ctx->code != EMUL_CODE64)
		ctx->env->segment(ctx, EMUL_CS, &cs);
	return check_target(ctx, ctx->code == EMUL_CODE64, cs.limit, *target);
}

static uint64_t next_rip(const struct execution *x)
{
	return (x->ctx->rip + x->insn->length) & mask_bytes(x->insn->op_size);
}

enum emul_result execute_jmp(struct execution *x)
{
	uint64_t target;
	enum emul_result r = emul_operand_get(x, &x->insn->src, &target);

	if (r == EMUL_DONE)
		r = near_target(x->ctx, x->insn->op_size, &target);
	if (r == EMUL_DONE)
		x->ctx->rip = target;
	return r;
}

enum emul_result execute_call(struct execution *x)
{
	unsigned size = x->insn->op_size;
	struct emul_stack stack;
	uint64_t target;
	enum emul_result r = emul_operand_get(x, &x->insn->src, &target);

	if (x->insn->op == EMUL_OP_CALL_REL)
		target += x->ctx->rip + x->insn->length;
	if (r == EMUL_DONE)
		r = near_target(x->ctx, size, &target);
	if (r != EMUL_DONE)
		return r;
	emul_stack_open(&stack, x->ctx);
	r = emul_stack_push(&stack, next_rip(x), size, size);
	if (r != EMUL_DONE)
		return r;
	emul_stack_close(&stack);
	x->ctx->rip = target;
	return EMUL_DONE;
}

enum emul_result execute_ret(struct execution *x)
{
	struct emul_stack stack;
	uint64_t target;
	enum emul_result r;

	emul_stack_open(&stack, x->ctx);
	r = emul_stack_pop(&stack, &target, x->insn->op_size);
	if (r == EMUL_DONE)
		r = near_target(x->ctx, x->insn->op_size, &target);
	if (r != EMUL_DONE)
		return r;
	emul_stack_move(&stack, x->insn->imm);
	emul_stack_close(&stack);
	x->ctx->rip = target;
	return EMUL_DONE;
}

static bool is_code64(const struct emul_ctx *ctx, const struct emul_selector *cs)
{
	return ctx->long_mode && (cs->seg.attr & EMUL_SEG_L);
}

/* Selector and offset of a far pointer, in the instruction or in memory. */
static enum emul_result far_pointer(struct execution *x, uint16_t *selector, uint64_t *offset)
{
	struct emul_ctx *ctx = x->ctx;
	unsigned size = x->insn->op_size;
	enum emul_result r;

	*selector = x->insn->imm2;
	*offset = x->insn->imm;
	if (x->insn->src.kind != EMUL_OPERAND_MEM)
		return EMUL_DONE;
	*offset = 0;
	r = ctx->env->read(ctx, x->linear, offset, size, 0);
	if (r != EMUL_DONE)
		return r;
	return ctx->env->read(ctx, x->linear + size, selector, 2, 0);
}

static enum emul_result far_target(struct execution *x, struct emul_selector *cs, uint64_t *offset)
{
	uint16_t selector;
	enum emul_result r;

	if (!x->ctx->env->system)
		return EMUL_UNSUPPORTED;
	r = far_pointer(x, &selector, offset);
	if (r == EMUL_DONE)
		r = emul_selector_code(x->ctx, selector, false, cs);
	if (r == EMUL_DONE)
		r = check_target(x->ctx, is_code64(x->ctx, cs), cs->seg.limit, *offset);
	return r;
}

enum emul_result execute_jmp_far(struct execution *x)
{
	struct emul_selector cs;
	uint64_t offset;
	enum emul_result r = far_target(x, &cs, &offset);

	if (r != EMUL_DONE)
		return r;
	x->ctx->env->system->set(x->ctx, EMUL_CS, &cs);
	x->ctx->rip = offset;
	return EMUL_DONE;
}

enum emul_result execute_call_far(struct execution *x)
{
	unsigned size = x->insn->op_size;
	struct emul_selector cs, old;
	struct emul_stack stack;
	uint64_t offset;
	enum emul_result r = far_target(x, &cs, &offset);

	if (r != EMUL_DONE)
		return r;
	x->ctx->env->system->get(x->ctx, EMUL_CS, &old);
	emul_stack_open(&stack, x->ctx);
	r = emul_stack_push(&stack, old.selector, size, size);
	if (r == EMUL_DONE)
		r = emul_stack_push(&stack, next_rip(x), size, size);
	if (r != EMUL_DONE)
		return r;
	emul_stack_close(&stack);
	x->ctx->env->system->set(x->ctx, EMUL_CS, &cs);
	x->ctx->rip = offset;
	return EMUL_DONE;
}

/* What a far return or IRET has found on the stack. */
struct far_return {
	struct emul_stack stack;
	struct emul_selector cs, ss;
	uint64_t rip, flags, rsp;
	bool has_stack; /* SS:RSP come from the stack too */
};

/*
 * Data segments that the outer level may not use become null (SDM vol. 2, RET). Their bases stay,
 * which FS and GS of 64-bit code go on using.
 */
static void drop_data_segments(struct emul_ctx *ctx, unsigned cpl)
{
	static const uint8_t regs[] = {EMUL_ES, EMUL_DS, EMUL_FS, EMUL_GS};

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
		const uint32_t conforming = EMUL_SEG_CODE | EMUL_SEG_EXPAND_DOWN;
		struct emul_selector s;

		ctx->env->system->get(ctx, regs[i], &s);
		if ((s.seg.attr & EMUL_SEG_UNUSABLE) || (s.seg.attr & conforming) == conforming ||
			(s.seg.attr >> EMUL_SEG_DPL_SHIFT & 3) >= cpl)
			continue;
		s.selector = 0;
		s.seg.attr = EMUL_SEG_UNUSABLE;
		ctx->env->system->set(ctx, regs[i], &s);
	}
}

static enum emul_result pop_stack_pointer(struct execution *x, struct far_return *f, unsigned cpl)
{
	unsigned size = x->insn->op_size;
	uint64_t selector;
	enum emul_result r = emul_stack_pop(&f->stack, &f->rsp, size);

	if (r == EMUL_DONE)
		r = emul_stack_pop(&f->stack, &selector, size);
	if (r != EMUL_DONE)
		return r;
	return emul_selector_stack(
		x->ctx, (uint16_t)selector, cpl, is_code64(x->ctx, &f->cs), &f->ss);
}

/* RIP, CS and, for IRET, flags; with them the privilege that is returned to. */
static enum emul_result pop_frame(struct execution *x, struct far_return *f, bool flags)
{
	unsigned size = x->insn->op_size, cpl;
	struct emul_ctx *ctx = x->ctx;
	uint64_t selector;
	enum emul_result r;

	if (!ctx->env->system)
		return EMUL_UNSUPPORTED;
	emul_stack_open(&f->stack, ctx);
	r = emul_stack_pop(&f->stack, &f->rip, size);
	if (r == EMUL_DONE)
		r = emul_stack_pop(&f->stack, &selector, size);
	if (r == EMUL_DONE && flags)
		r = emul_stack_pop(&f->stack, &f->flags, size);
	if (r != EMUL_DONE)
		return r;
	if (flags && size >= 4 && (f->flags & RFLAGS_VM) && emul_is_protected(ctx) &&
		ctx->cpl == 0 && !ctx->long_mode)
		return EMUL_UNSUPPORTED;
	r = emul_selector_code(ctx, (uint16_t)selector, true, &f->cs);
	if (r != EMUL_DONE)
		return r;
	emul_stack_move(&f->stack, flags ? 0 : x->insn->imm);
	cpl = emul_is_protected(ctx) ? selector & 3 : ctx->cpl;
	f->has_stack = cpl != ctx->cpl || (flags && ctx->code == EMUL_CODE64);
	if (f->has_stack)
		r = pop_stack_pointer(x, f, cpl);
	if (r != EMUL_DONE)
		return r;
	return check_target(ctx, is_code64(ctx, &f->cs), f->cs.seg.limit, f->rip);
}

static void finish_return(struct execution *x, struct far_return *f)
{
	struct emul_ctx *ctx = x->ctx;
	const struct emul_system *system = ctx->env->system;
	unsigned cpl = f->has_stack ? f->cs.selector & 3u : ctx->cpl;
	unsigned width = is_code64(ctx, &f->cs) ? 8 : f->ss.seg.attr & EMUL_SEG_DB ? 4 : 2;

	if (!f->has_stack) {
		emul_stack_close(&f->stack);
	} else {
		system->set(ctx, EMUL_SS, &f->ss);
		/* RET n drops the parameters from the outer stack too. */
		if (x->insn->op == EMUL_OP_RET_FAR)
			f->rsp += x->insn->imm;
		emul_reg_set(ctx, EMUL_RSP, width, f->rsp);
	}
	system->set(ctx, EMUL_CS, &f->cs);
	if (cpl > ctx->cpl)
		drop_data_segments(ctx, cpl);
	ctx->cpl = (uint8_t)cpl;
	ctx->rip = f->rip;
}

enum emul_result execute_ret_far(struct execution *x)
{
	struct far_return f;
	enum emul_result r = pop_frame(x, &f, false);

	if (r == EMUL_DONE)
		finish_return(x, &f);
	return r;
}

uint64_t emul_flags_loaded(const struct emul_ctx *ctx, uint64_t value, unsigned size)
{
	uint64_t may = FLAGS_ANYBODY;
	unsigned iopl = (ctx->rflags & RFLAGS_IOPL) >> 12;

	if (ctx->cpl <= iopl || !(ctx->cr0 & CR0_PE))
		may |= RFLAGS_IF;
	if (ctx->cpl == 0)
		may |= RFLAGS_IOPL;
	may &= mask_bytes(size);
	return (ctx->rflags & ~may) | (value & may) | RFLAGS_RESERVED;
}

enum emul_result execute_iret(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	bool vm86 = (ctx->cr0 & CR0_PE) && (ctx->rflags & RFLAGS_VM);
	struct far_return f;
	uint64_t flags;
	enum emul_result r;

	if (vm86 && (ctx->rflags & RFLAGS_IOPL) != RFLAGS_IOPL)
		return emul_raise(ctx, EXC_GP, 0);
	if (emul_is_protected(ctx) && (ctx->rflags & RFLAGS_NT))
		return ctx->long_mode ? emul_raise(ctx, EXC_GP, 0) : EMUL_UNSUPPORTED;
	r = pop_frame(x, &f, true);
	if (r != EMUL_DONE)
		return r;
	flags = emul_flags_loaded(ctx, f.flags, x->insn->op_size); /* by the old CPL */
	finish_return(x, &f);
	ctx->rflags = flags;
	ctx->nmi_done = true;
	return EMUL_DONE;
}
