/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions whose second operand is the stack (SDM vol. 1, "Procedure Stack"). Memory is written
 * as the instruction goes, RSP and the other registers at its end.
 */
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute_parts.h"

#define ENTER_LEVELS 31u

void emul_stack_open(struct emul_stack *s, struct emul_ctx *ctx)
{
	struct emul_seg ss = {0};

	*s = (struct emul_stack){.ctx = ctx, .width = 8, .pointer = ctx->gpr[EMUL_RSP]};
	if (ctx->code == EMUL_CODE64)
		return;
	ctx->env->segment(ctx, EMUL_SS, &ss);
	s->width = ss.attr & EMUL_SEG_DB ? 4 : 2;
}

void emul_stack_move(struct emul_stack *s, uint64_t by)
{
	uint64_t mask = mask_bytes(s->width);

	s->pointer = (s->pointer & ~mask) | ((s->pointer + by) & mask);
}

static enum emul_result stack_linear(
	const struct emul_stack *s, unsigned size, unsigned access, gva_t *linear)
{
	return emul_linear(
		s->ctx, EMUL_SS, s->pointer & mask_bytes(s->width), size, access, linear);
}

enum emul_result emul_stack_push(struct emul_stack *s, uint64_t value, unsigned slot, unsigned size)
{
	struct emul_ctx *ctx = s->ctx;
	enum emul_result r;
	gva_t linear;

	emul_stack_move(s, -(uint64_t)slot);
	r = stack_linear(s, size, EMUL_ACCESS_WRITE, &linear);
	return r == EMUL_DONE ? ctx->env->write(ctx, linear, &value, size, EMUL_ACCESS_WRITE) : r;
}

enum emul_result emul_stack_pop(struct emul_stack *s, uint64_t *value, unsigned size)
{
	struct emul_ctx *ctx = s->ctx;
	gva_t linear;
	enum emul_result r = stack_linear(s, size, 0, &linear);

	*value = 0;
	if (r == EMUL_DONE)
		r = ctx->env->read(ctx, linear, value, size, 0);
	emul_stack_move(s, size);
	return r;
}

void emul_stack_close(const struct emul_stack *s)
{
	emul_reg_set(s->ctx, EMUL_RSP, s->width, s->pointer);
}

enum emul_result execute_push(struct execution *x)
{
	struct emul_stack stack;
	uint64_t value;
	enum emul_result r = emul_operand_get(x, &x->insn->src, &value);

	if (r != EMUL_DONE)
		return r;
	emul_stack_open(&stack, x->ctx);
	r = emul_stack_push(&stack, value, x->insn->op_size, x->insn->op_size);
	if (r == EMUL_DONE)
		emul_stack_close(&stack);
	return r;
}

enum emul_result execute_pop(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	bool memory = insn->dst.kind == EMUL_OPERAND_MEM;
	struct emul_stack stack;
	uint64_t value;
	enum emul_result r = EMUL_DONE;

	emul_stack_open(&stack, x->ctx);
	if (memory)
		r = x->ctx->env->probe(x->ctx, x->linear, insn->op_size, EMUL_ACCESS_WRITE);
	if (r == EMUL_DONE)
		r = emul_stack_pop(&stack, &value, insn->op_size);
	if (r == EMUL_DONE && memory)
		r = emul_operand_set(x, &insn->dst, value);
	if (r != EMUL_DONE)
		return r;
	emul_stack_close(&stack); /* before POP RSP */
	return memory ? EMUL_DONE : emul_operand_set(x, &insn->dst, value);
}

/* A doubleword slot gets two bytes, as CPUs do it (SDM vol. 2, PUSH). */
enum emul_result execute_push_seg(struct execution *x)
{
	unsigned slot = x->insn->op_size;
	struct emul_selector s;
	struct emul_stack stack;
	enum emul_result r;

	if (!x->ctx->env->system)
		return EMUL_UNSUPPORTED;
	x->ctx->env->system->get(x->ctx, x->insn->src.reg, &s);
	emul_stack_open(&stack, x->ctx);
	r = emul_stack_push(&stack, s.selector, slot, slot == 4 ? 2 : slot);
	if (r == EMUL_DONE)
		emul_stack_close(&stack);
	return r;
}

enum emul_result execute_pop_seg(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	unsigned reg = x->insn->dst.reg;
	struct emul_selector s;
	struct emul_stack stack;
	uint64_t value;
	enum emul_result r;

	if (!ctx->env->system)
		return EMUL_UNSUPPORTED;
	emul_stack_open(&stack, ctx);
	r = emul_stack_pop(&stack, &value, x->insn->op_size);
	if (r == EMUL_DONE)
		r = emul_selector_data(ctx, reg, (uint16_t)value, &s);
	if (r != EMUL_DONE)
		return r;
	emul_stack_close(&stack);
	ctx->env->system->set(ctx, reg, &s);
	ctx->stack_shadow = reg == EMUL_SS;
	return EMUL_DONE;
}

enum emul_result execute_pusha(struct execution *x)
{
	unsigned size = x->insn->op_size;
	struct emul_stack stack;

	emul_stack_open(&stack, x->ctx);
	for (unsigned reg = EMUL_RAX; reg <= EMUL_RDI; reg++) {
		enum emul_result r = emul_stack_push(&stack, x->ctx->gpr[reg], size, size);

		if (r != EMUL_DONE)
			return r;
	}
	emul_stack_close(&stack);
	return EMUL_DONE;
}

enum emul_result execute_popa(struct execution *x)
{
	unsigned size = x->insn->op_size;
	struct emul_stack stack;
	uint64_t value[8];

	emul_stack_open(&stack, x->ctx);
	for (unsigned i = 0; i < 8; i++) {
		enum emul_result r = emul_stack_pop(&stack, &value[EMUL_RDI - i], size);

		if (r != EMUL_DONE)
			return r;
	}
	emul_stack_close(&stack);
	for (unsigned reg = EMUL_RAX; reg <= EMUL_RDI; reg++) {
		if (reg != EMUL_RSP)
			emul_reg_set(x->ctx, reg, size, value[reg]);
	}
	return EMUL_DONE;
}

/* Virtual-8086 mode needs IOPL 3 for these. */
static bool iopl_denies(const struct emul_ctx *ctx)
{
	return (ctx->cr0 & CR0_PE) && (ctx->rflags & RFLAGS_VM) &&
	       (ctx->rflags & RFLAGS_IOPL) != RFLAGS_IOPL;
}

enum emul_result execute_pushf(struct execution *x)
{
	struct emul_stack stack;
	enum emul_result r;

	if (iopl_denies(x->ctx))
		return emul_raise(x->ctx, EXC_GP, 0);
	emul_stack_open(&stack, x->ctx);
	r = emul_stack_push(&stack, x->ctx->rflags & ~(RFLAGS_VM | RFLAGS_RF), x->insn->op_size,
		x->insn->op_size);
	if (r == EMUL_DONE)
		emul_stack_close(&stack);
	return r;
}

enum emul_result execute_popf(struct execution *x)
{
	struct emul_stack stack;
	uint64_t value;
	enum emul_result r;

	if (iopl_denies(x->ctx))
		return emul_raise(x->ctx, EXC_GP, 0);
	emul_stack_open(&stack, x->ctx);
	r = emul_stack_pop(&stack, &value, x->insn->op_size);
	if (r != EMUL_DONE)
		return r;
	emul_stack_close(&stack);
	x->ctx->rflags = emul_flags_loaded(x->ctx, value & ~RFLAGS_RF, x->insn->op_size);
	return EMUL_DONE;
}

/* The frame pointers of the enclosing procedures, then this one's. */
static enum emul_result enter_display(
	struct execution *x, struct emul_stack *stack, unsigned levels, uint64_t frame)
{
	unsigned size = x->insn->op_size;
	struct emul_stack outer = *stack;
	enum emul_result r;
	uint64_t value;

	outer.pointer = x->ctx->gpr[EMUL_RBP];
	for (unsigned i = 1; i < levels; i++) {
		emul_stack_move(&outer, -(uint64_t)size);
		r = emul_stack_pop(&outer, &value, size);
		emul_stack_move(&outer, -(uint64_t)size);
		if (r == EMUL_DONE)
			r = emul_stack_push(stack, value, size, size);
		if (r != EMUL_DONE)
			return r;
	}
	return emul_stack_push(stack, frame, size, size);
}

enum emul_result execute_enter(struct execution *x)
{
	struct emul_ctx *ctx = x->ctx;
	unsigned size = x->insn->op_size, levels = x->insn->imm2 & ENTER_LEVELS;
	struct emul_stack stack;
	uint64_t frame;
	enum emul_result r;
	gva_t linear;

	emul_stack_open(&stack, ctx);
	r = emul_stack_push(&stack, ctx->gpr[EMUL_RBP], size, size);
	frame = stack.pointer;
	if (r == EMUL_DONE && levels)
		r = enter_display(x, &stack, levels, frame);
	emul_stack_move(&stack, -x->insn->imm);
	/* The new top must be writable, though nothing is written there. */
	if (r == EMUL_DONE)
		r = stack_linear(&stack, size, EMUL_ACCESS_WRITE, &linear);
	if (r == EMUL_DONE)
		r = ctx->env->probe(ctx, linear, size, EMUL_ACCESS_WRITE);
	if (r != EMUL_DONE)
		return r;
	emul_reg_set(ctx, EMUL_RBP, size, frame);
	emul_stack_close(&stack);
	return EMUL_DONE;
}

enum emul_result execute_leave(struct execution *x)
{
	struct emul_stack stack;
	uint64_t value;
	enum emul_result r;

	emul_stack_open(&stack, x->ctx);
	stack.pointer = x->ctx->gpr[EMUL_RBP];
	r = emul_stack_pop(&stack, &value, x->insn->op_size);
	if (r != EMUL_DONE)
		return r;
	emul_stack_close(&stack);
	emul_reg_set(x->ctx, EMUL_RBP, x->insn->op_size, value);
	return EMUL_DONE;
}
