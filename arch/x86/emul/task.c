/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task switch in the manual's order (SDM vol. 3, "Task Switching"): everything that can fail in
 * the old task, the old state saved, then, committed, the new state loaded with its checks.
 */
#include "arch/x86/emul/task.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute_parts.h"

#define SELECTOR_RPL  3u
#define SELECTOR_TI   4u
#define ERROR_EXT     1u
#define TYPE_BUSY     2u
#define TYPE_32       8u
#define TSS_BYTES_MAX 104u
#define TSS_CR3       0x1cu
#define TSS_TRAP      0x64u
#define SEGMENTS      6u
#define TRIES_MAX     64u

/* SDM vol. 3, "32-Bit Task-State Segment", "16-Bit Task-State Segment". */
struct layout {
	uint8_t bytes;
	uint8_t width;         /* of a register; selectors have 2 bytes in as many */
	uint8_t ip, flags;     /* offsets */
	uint8_t gpr;           /* 8 of them in the order of encodings */
	uint8_t segment;       /* from ES on */
	uint8_t segment_count; /* the 16-bit one has no FS and GS */
	uint8_t ldt;
};
static const struct layout layouts[2] = {
	{44, 2, 0x0e, 0x10, 0x12, 0x22, 4, 0x2a},
	{104, 4, 0x20, 0x24, 0x28, 0x48, 6, 0x60},
};

struct tss {
	struct emul_selector s;
	const struct layout *layout;
	uint8_t bytes[TSS_BYTES_MAX];
};

static const struct layout *layout_of(const struct emul_seg *seg)
{
	return &layouts[seg->attr & TYPE_32 ? 1 : 0];
}

/* The error code of a fault that an event's delivery meets says whether that was external. */
static enum emul_result refuse(
	struct emul_ctx *ctx, const struct emul_task *t, uint8_t vector, uint16_t selector)
{
	return emul_raise(ctx, vector, (selector & ~SELECTOR_RPL) | (t->external ? ERROR_EXT : 0));
}

/* What is #GP for an instruction that loads a segment is #TS in a task switch. */
static enum emul_result as_task_fault(
	struct emul_ctx *ctx, const struct emul_task *t, enum emul_result r)
{
	if (r != EMUL_FAULT || ctx->fault.vector == EXC_PF)
		return r;
	if (ctx->fault.vector == EXC_GP)
		ctx->fault.vector = EXC_TS;
	ctx->fault.error_code |= t->external ? ERROR_EXT : 0;
	return r;
}

/* The old task stays busy, and the new one goes back to it by IRET. */
static bool nests(const struct emul_task *t)
{
	return t->cause == EMUL_TASK_CALL || t->cause == EMUL_TASK_GATE;
}

static gva_t tss_at(const struct tss *tss, unsigned offset)
{
	return (tss->s.seg.base + offset) & UINT32_MAX;
}

/*
 * The CPU has looked at type, P and limit before it exited; another CPU may have changed the
 * descriptor since.
 */
static enum emul_result find_new(struct emul_ctx *ctx, const struct emul_task *t, struct tss *new)
{
	uint8_t bad = t->cause == EMUL_TASK_IRET ? EXC_TS : EXC_GP;
	uint32_t busy = t->cause == EMUL_TASK_IRET ? TYPE_BUSY : 0;
	uint64_t raw[2];
	bool valid;
	enum emul_result r = emul_descriptor_read(ctx, t->selector, raw, &valid);

	if (r != EMUL_DONE)
		return r;
	if (!valid || (t->selector & SELECTOR_TI))
		return refuse(ctx, t, bad, t->selector);
	new->s.selector = t->selector;
	emul_selector_split(raw[0], &new->s.seg);
	new->layout = layout_of(&new->s.seg);
	if ((new->s.seg.attr &(EMUL_SEG_S | EMUL_SEG_TYPE_MASK) & ~TYPE_32) != (1u | busy))
		return refuse(ctx, t, bad, t->selector);
	if (!(new->s.seg.attr &EMUL_SEG_P))
		return refuse(ctx, t, EXC_NP, t->selector);
	if (new->s.seg.limit < new->layout->bytes - 1u)
		return refuse(ctx, t, EXC_TS, t->selector);
	return EMUL_DONE;
}

static enum emul_result read_all(struct emul_ctx *ctx, struct tss *tss)
{
	unsigned bytes = tss->layout->bytes;
	enum emul_result r = EMUL_DONE;

	for (unsigned at = 0; at < bytes && r == EMUL_DONE; at += EMUL_ACCESS_MAX)
		r = ctx->env->read(ctx, tss_at(tss, at), tss->bytes + at,
			MIN(bytes - at, EMUL_ACCESS_MAX), EMUL_ACCESS_SYSTEM);
	return r;
}

static enum emul_result probe(struct emul_ctx *ctx, const struct tss *tss, unsigned bytes)
{
	return ctx->env->probe(ctx, tss_at(tss, 0), bytes, EMUL_ACCESS_SYSTEM | EMUL_ACCESS_WRITE);
}

static enum emul_result store(
	struct emul_ctx *ctx, const struct tss *tss, unsigned offset, uint64_t value, unsigned size)
{
	return ctx->env->write(
		ctx, tss_at(tss, offset), &value, size, EMUL_ACCESS_SYSTEM | EMUL_ACCESS_WRITE);
}

/* The old task's state and everything that is written before the commit can be. */
static enum emul_result check_writes(struct emul_ctx *ctx, const struct emul_task *t,
	const struct tss *old, const struct tss *new)
{
	enum emul_result r;

	if (old->s.seg.limit < old->layout->bytes - 1u)
		return refuse(ctx, t, EXC_TS, old->s.selector);
	r = probe(ctx, old, old->layout->bytes);
	if (r == EMUL_DONE)
		r = probe(ctx, new, 2);
	/* Written as they are, to see whether they may be. */
	if (r == EMUL_DONE && !nests(t))
		r = emul_descriptor_type(ctx, old->s.selector, 0, 0);
	if (r == EMUL_DONE && t->cause != EMUL_TASK_IRET)
		r = emul_descriptor_type(ctx, t->selector, 0, 0);
	return r;
}

static enum emul_result save_old(struct emul_ctx *ctx, const struct tss *old, uint64_t flags)
{
	const struct layout *l = old->layout;
	enum emul_result r = store(ctx, old, l->ip, ctx->rip, l->width);

	if (r == EMUL_DONE)
		r = store(ctx, old, l->flags, flags, l->width);
	for (unsigned i = 0; i < 8 && r == EMUL_DONE; i++)
		r = store(ctx, old, l->gpr + i * l->width, ctx->gpr[i], l->width);
	for (unsigned i = 0; i < l->segment_count && r == EMUL_DONE; i++) {
		struct emul_selector s;

		ctx->env->system->get(ctx, i, &s);
		r = store(ctx, old, l->segment + i * l->width, s.selector, 2);
	}
	return r;
}

static uint32_t field(const struct tss *tss, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)tss->bytes[offset + i] << (8 * i);
	return value;
}

static uint16_t selector_in(const struct tss *tss, unsigned segment)
{
	const struct layout *l = tss->layout;

	return segment < l->segment_count ? (uint16_t)field(tss, l->segment + segment * l->width, 2)
					  : 0;
}

/* Busy bits and the link back: the last of what belongs to both tasks. */
static enum emul_result hand_over(
	struct emul_ctx *ctx, const struct emul_task *t, const struct tss *old, struct tss *new)
{
	enum emul_result r;

	if (!nests(t))
		r = emul_descriptor_type(ctx, old->s.selector, 0, TYPE_BUSY);
	else
		r = store(ctx, new, 0, old->s.selector, 2);
	if (r == EMUL_DONE && t->cause != EMUL_TASK_IRET)
		r = emul_descriptor_type(ctx, t->selector, TYPE_BUSY, 0);
	new->s.seg.attr |= TYPE_BUSY;
	return r;
}

static void load_registers(struct emul_ctx *ctx, const struct emul_task *t, const struct tss *new)
{
	const uint64_t defined = 0x3f7fd5;
	const struct layout *l = new->layout;

	ctx->rip = field(new, l->ip, l->width);
	ctx->rflags = (field(new, l->flags, l->width) & defined) | RFLAGS_RESERVED;
	if (nests(t))
		ctx->rflags |= RFLAGS_NT;
	for (unsigned i = 0; i < 8; i++)
		emul_reg_set(ctx, i, l->width, field(new, l->gpr + i * l->width, l->width));
}

/*
 * Until a segment is loaded, it has its new selector and what no check of the CPU or of the
 * hypervisor minds, so that a fault can be delivered on the new task's behalf.
 */
static void prepare_segments(struct emul_ctx *ctx, const struct tss *new)
{
	unsigned cpl = selector_in(new, EMUL_CS) & SELECTOR_RPL;
	const uint32_t flat = EMUL_SEG_S | EMUL_SEG_P | EMUL_SEG_DB | EMUL_SEG_G |
			      EMUL_SEG_ACCESSED | EMUL_SEG_WRITE | cpl << EMUL_SEG_DPL_SHIFT;

	for (unsigned i = 0; i < SEGMENTS; i++) {
		struct emul_selector s = {selector_in(new, i), {0, UINT32_MAX, flat}};

		if (i == EMUL_CS)
			s.seg.attr |= EMUL_SEG_CODE;
		else if (i != EMUL_SS)
			s.seg.attr = EMUL_SEG_UNUSABLE;
		ctx->env->system->set(ctx, i, &s);
	}
	ctx->cpl = (uint8_t)cpl;
}

static void load_virtual8086(struct emul_ctx *ctx, const struct tss *new)
{
	for (unsigned i = 0; i < SEGMENTS; i++) {
		uint16_t selector = selector_in(new, i);
		const struct emul_selector s = {
			selector, {(uint64_t)selector << 4, UINT16_MAX, 0xf3}};

		ctx->env->system->set(ctx, i, &s);
	}
	ctx->cpl = 3;
}

static enum emul_result load_ldt(struct emul_ctx *ctx, const struct tss *new)
{
	uint16_t selector = (uint16_t)field(new, new->layout->ldt, 2);
	struct emul_selector s;
	enum emul_result r = emul_selector_system(ctx, selector, false, &s);

	if (r == EMUL_FAULT && ctx->fault.vector == EXC_NP)
		ctx->fault.vector = EXC_TS;
	if (r == EMUL_DONE)
		ctx->env->system->set(ctx, EMUL_LDTR, &s);
	return r;
}

static enum emul_result load_segment(struct emul_ctx *ctx, const struct tss *new, unsigned reg)
{
	uint16_t selector = selector_in(new, reg);
	struct emul_selector s;
	enum emul_result r = reg == EMUL_CS ? emul_selector_code(ctx, selector, true, &s)
					    : emul_selector_data(ctx, reg, selector, &s);

	if (r == EMUL_DONE)
		ctx->env->system->set(ctx, reg, &s);
	return r;
}

/* CS and SS come first: their privilege is what the others are measured by. */
static enum emul_result load_descriptors(
	struct emul_ctx *ctx, const struct emul_task *t, const struct tss *new)
{
	static const uint8_t order[] = {
		EMUL_LDTR, EMUL_CS, EMUL_SS, EMUL_ES, EMUL_DS, EMUL_FS, EMUL_GS};
	bool v8086 = ctx->rflags & RFLAGS_VM;
	enum emul_result r = EMUL_DONE;
	unsigned i = 0, tries = 0;

	while (r == EMUL_DONE && i < (v8086 ? 1 : ARRAY_SIZE(order))) {
		r = i == 0 ? load_ldt(ctx, new) : load_segment(ctx, new, order[i]);
		/* There is no way back: a race for an accessed bit is run again here. */
		if (r == EMUL_AGAIN && tries++ < TRIES_MAX)
			r = EMUL_DONE;
		else
			i++;
	}
	return as_task_fault(ctx, t, r);
}

static enum emul_result push_error(
	struct emul_ctx *ctx, const struct emul_task *t, const struct tss *new)
{
	unsigned width = new->layout->width, tries = 0;
	struct emul_stack stack;
	struct emul_selector cs;
	enum emul_result r;

	ctx->env->system->get(ctx, EMUL_CS, &cs);
	ctx->code = emul_code_size(0, cs.seg.attr);
	do {
		emul_stack_open(&stack, ctx);
		r = emul_stack_push(&stack, t->error, width, width);
	} while (r == EMUL_AGAIN && tries++ < TRIES_MAX);
	if (r == EMUL_DONE)
		emul_stack_close(&stack);
	return as_task_fault(ctx, t, r);
}

static enum emul_result load_new(
	struct emul_ctx *ctx, const struct emul_task *t, const struct tss *new)
{
	const struct emul_selector no_ldt = {0, {0, 0, EMUL_SEG_UNUSABLE}};
	enum emul_result r;

	ctx->env->system->set(ctx, EMUL_TR, &new->s);
	ctx->env->system->set(ctx, EMUL_LDTR, &no_ldt);
	load_registers(ctx, t, new);
	if (ctx->rflags & RFLAGS_VM)
		load_virtual8086(ctx, new);
	else
		prepare_segments(ctx, new);
	if (new->layout->width == 4 && (ctx->cr0 & CR0_PG) &&
		!ctx->env->system->cr3_set(ctx, field(new, TSS_CR3, 4)))
		return emul_raise(ctx, EXC_GP, 0);
	r = load_descriptors(ctx, t, new);
	return r == EMUL_DONE && t->has_error ? push_error(ctx, t, new) : r;
}

enum emul_result emul_task_switch(struct emul_ctx *ctx, struct emul_task *t)
{
	uint64_t flags = ctx->rflags & ~(t->cause == EMUL_TASK_IRET ? RFLAGS_NT : 0);
	struct tss old, new;
	enum emul_result r;

	t->committed = t->trap = false;
	if (ctx->long_mode || !(ctx->cr0 & CR0_PE))
		return EMUL_UNSUPPORTED; /* the CPU has raised #GP */
	r = find_new(ctx, t, &new);
	if (r != EMUL_DONE)
		return r;
	ctx->env->system->get(ctx, EMUL_TR, &old.s);
	old.layout = layout_of(&old.s.seg);
	r = check_writes(ctx, t, &old, &new);
	if (r == EMUL_DONE)
		r = read_all(ctx, &new);
	if (r == EMUL_DONE)
		r = save_old(ctx, &old, flags);
	if (r == EMUL_DONE)
		r = hand_over(ctx, t, &old, &new);
	if (r != EMUL_DONE)
		return r;
	t->committed = true;
	t->trap = new.layout->width == 4 && (new.bytes[TSS_TRAP] & 1);
	return load_new(ctx, t, &new);
}
