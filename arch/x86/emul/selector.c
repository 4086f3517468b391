/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From selector to segment register: descriptor tables and the checks of SDM vol. 3, "Privilege
 * Checking" and vol. 2, MOV, LxS, LLDT, LTR, JMP, RET. Each function makes all its checks, sets the
 * descriptor's accessed or busy bit, and leaves the register itself to its caller. Gates and task
 * switches by instructions are not emulated.
 */
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute_parts.h"

#define SELECTOR_RPL  3u
#define SELECTOR_TI   4u
#define ATTR_DPL(seg) ((seg)->attr >> EMUL_SEG_DPL_SHIFT & 3)

static bool is_null(uint16_t selector)
{
	return (selector & ~SELECTOR_RPL) == 0;
}

static enum emul_result refuse(struct emul_ctx *ctx, uint8_t vector, uint16_t selector)
{
	return emul_raise(ctx, vector, selector & ~SELECTOR_RPL);
}

void emul_selector_split(uint64_t raw, struct emul_seg *seg)
{
	seg->base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
	seg->limit = (uint32_t)((raw & 0xffff) | (raw >> 32 & 0xf0000));
	seg->attr = (uint32_t)(raw >> 40 & 0xf0ff);
	if (seg->attr & EMUL_SEG_G)
		seg->limit = seg->limit << 12 | 0xfff;
}

/* Where in its table `bytes` bytes of a descriptor are. */
static bool locate(struct emul_ctx *ctx, uint16_t selector, unsigned bytes, gva_t *at)
{
	uint64_t base, offset = selector & ~(SELECTOR_RPL | SELECTOR_TI);
	struct emul_selector ldt;
	uint32_t limit;

	if (selector & SELECTOR_TI) {
		ctx->env->system->get(ctx, EMUL_LDTR, &ldt);
		if (ldt.seg.attr & EMUL_SEG_UNUSABLE)
			return false;
		base = ldt.seg.base;
		limit = ldt.seg.limit;
	} else {
		ctx->env->system->table_get(ctx, EMUL_GDT, &base, &limit);
	}
	if (offset + bytes - 1 > limit)
		return false;
	*at = base + offset;
	if (!ctx->long_mode)
		*at &= UINT32_MAX;
	return true;
}

enum emul_result emul_descriptor_read(
	struct emul_ctx *ctx, uint16_t selector, uint64_t raw[2], bool *valid)
{
	enum emul_result r;
	gva_t at;

	raw[0] = raw[1] = 0;
	*valid = !is_null(selector) && locate(ctx, selector, 8, &at);
	if (!*valid)
		return EMUL_DONE;
	r = ctx->env->read(ctx, at, &raw[0], 8, EMUL_ACCESS_SYSTEM);
	if (r != EMUL_DONE || !ctx->long_mode || (raw[0] & DESC_S))
		return r;
	/* System descriptors have 16 bytes there. */
	*valid = locate(ctx, selector, 16, &at);
	return *valid ? ctx->env->read(ctx, at + 8, &raw[1], 8, EMUL_ACCESS_SYSTEM) : EMUL_DONE;
}

enum emul_result emul_descriptor_type(
	struct emul_ctx *ctx, uint16_t selector, uint32_t set, uint32_t clear)
{
	const unsigned access = EMUL_ACCESS_SYSTEM | EMUL_ACCESS_WRITE | EMUL_ACCESS_LOCKED;
	enum emul_result r;
	uint8_t type;
	gva_t at;

	if (!locate(ctx, selector, 8, &at))
		return refuse(ctx, EXC_GP, selector);
	r = ctx->env->read(ctx, at + 5, &type, 1, access);
	if (r != EMUL_DONE)
		return r;
	type = (uint8_t)((type | set) & ~clear);
	return ctx->env->write(ctx, at + 5, &type, 1, access);
}

/* Accessed or busy. */
static enum emul_result set_type_bit(
	struct emul_ctx *ctx, uint16_t selector, uint32_t bit, struct emul_seg *seg)
{
	if (seg->attr & bit)
		return EMUL_DONE;
	seg->attr |= bit;
	return emul_descriptor_type(ctx, selector, bit, 0);
}

/* A code or data descriptor; anything else is #GP(selector). */
static enum emul_result read_segment(
	struct emul_ctx *ctx, uint16_t selector, struct emul_selector *out)
{
	uint64_t raw[2];
	bool valid;
	enum emul_result r = emul_descriptor_read(ctx, selector, raw, &valid);

	if (r != EMUL_DONE)
		return r;
	if (!valid)
		return refuse(ctx, EXC_GP, selector);
	out->selector = selector;
	emul_selector_split(raw[0], &out->seg);
	return EMUL_DONE;
}

static void load_null(struct emul_selector *out, uint16_t selector, unsigned dpl)
{
	*out = (struct emul_selector){
		.selector = selector, .seg.attr = EMUL_SEG_UNUSABLE | dpl << EMUL_SEG_DPL_SHIFT};
}

/* Real mode keeps limit and rights; virtual-8086 mode has its own. */
static void load_real(
	struct emul_ctx *ctx, unsigned reg, uint16_t selector, struct emul_selector *out)
{
	ctx->env->system->get(ctx, reg, out);
	out->selector = selector;
	out->seg.base = (uint64_t)selector << 4;
}

enum emul_result emul_selector_stack(struct emul_ctx *ctx, uint16_t selector, unsigned cpl,
	bool code64, struct emul_selector *out)
{
	const uint32_t want = EMUL_SEG_S | EMUL_SEG_WRITE, mask = want | EMUL_SEG_CODE;
	enum emul_result r;

	if (is_null(selector)) {
		if (!code64 || cpl == 3 || (selector & SELECTOR_RPL) != cpl)
			return emul_raise(ctx, EXC_GP, 0);
		load_null(out, selector, cpl);
		return EMUL_DONE;
	}
	r = read_segment(ctx, selector, out);
	if (r != EMUL_DONE)
		return r;
	if ((selector & SELECTOR_RPL) != cpl || (out->seg.attr & mask) != want ||
		ATTR_DPL(&out->seg) != cpl)
		return refuse(ctx, EXC_GP, selector);
	if (!(out->seg.attr & EMUL_SEG_P))
		return refuse(ctx, EXC_SS, selector);
	return set_type_bit(ctx, selector, EMUL_SEG_ACCESSED, &out->seg);
}

enum emul_result emul_selector_data(
	struct emul_ctx *ctx, unsigned reg, uint16_t selector, struct emul_selector *out)
{
	unsigned rpl = selector & SELECTOR_RPL;
	bool readable, conforming;
	enum emul_result r;

	if (!emul_is_protected(ctx)) {
		load_real(ctx, reg, selector, out);
		return EMUL_DONE;
	}
	if (reg == EMUL_SS)
		return emul_selector_stack(ctx, selector, ctx->cpl, ctx->code == EMUL_CODE64, out);
	if (is_null(selector)) {
		load_null(out, selector, 0);
		return EMUL_DONE;
	}
	r = read_segment(ctx, selector, out);
	if (r != EMUL_DONE)
		return r;
	readable = !(out->seg.attr & EMUL_SEG_CODE) || (out->seg.attr & EMUL_SEG_WRITE);
	conforming = (out->seg.attr & EMUL_SEG_CODE) && (out->seg.attr & EMUL_SEG_EXPAND_DOWN);
	if (!(out->seg.attr & EMUL_SEG_S) || !readable ||
		(!conforming && MAX(rpl, (unsigned)ctx->cpl) > ATTR_DPL(&out->seg)))
		return refuse(ctx, EXC_GP, selector);
	if (!(out->seg.attr & EMUL_SEG_P))
		return refuse(ctx, EXC_NP, selector);
	return set_type_bit(ctx, selector, EMUL_SEG_ACCESSED, &out->seg);
}

/* May control go there? Returns raise or keep the privilege, jumps and calls keep it. */
static bool code_allows(const struct emul_ctx *ctx, const struct emul_selector *s, bool is_return)
{
	unsigned rpl = s->selector & SELECTOR_RPL, dpl = ATTR_DPL(&s->seg);
	bool conforming = s->seg.attr & EMUL_SEG_EXPAND_DOWN;

	if (is_return)
		return rpl >= ctx->cpl && (conforming ? dpl <= rpl : dpl == rpl);
	return conforming ? dpl <= ctx->cpl : rpl <= ctx->cpl && dpl == ctx->cpl;
}

enum emul_result emul_selector_code(
	struct emul_ctx *ctx, uint16_t selector, bool is_return, struct emul_selector *out)
{
	enum emul_result r;

	if (!emul_is_protected(ctx)) {
		load_real(ctx, EMUL_CS, selector, out);
		return EMUL_DONE;
	}
	if (is_null(selector))
		return emul_raise(ctx, EXC_GP, 0);
	r = read_segment(ctx, selector, out);
	if (r != EMUL_DONE)
		return r;
	if (!(out->seg.attr & EMUL_SEG_S) && !is_return)
		return EMUL_UNSUPPORTED; /* gates and task switches */
	if (!(out->seg.attr & EMUL_SEG_S) || !(out->seg.attr & EMUL_SEG_CODE) ||
		!code_allows(ctx, out, is_return) ||
		(ctx->long_mode && (out->seg.attr & EMUL_SEG_L) && (out->seg.attr & EMUL_SEG_DB)))
		return refuse(ctx, EXC_GP, selector);
	if (!(out->seg.attr & EMUL_SEG_P))
		return refuse(ctx, EXC_NP, selector);
	if (!is_return)
		out->selector = (selector & ~SELECTOR_RPL) | ctx->cpl;
	return set_type_bit(ctx, selector, EMUL_SEG_ACCESSED, &out->seg);
}

enum emul_result emul_selector_system(
	struct emul_ctx *ctx, uint16_t selector, bool task, struct emul_selector *out)
{
	uint64_t raw[2];
	uint32_t type;
	bool valid;
	enum emul_result r;

	if (is_null(selector)) {
		if (task)
			return emul_raise(ctx, EXC_GP, 0);
		load_null(out, selector, 0);
		return EMUL_DONE;
	}
	if (selector & SELECTOR_TI)
		return refuse(ctx, EXC_GP, selector);
	r = emul_descriptor_read(ctx, selector, raw, &valid);
	if (r != EMUL_DONE)
		return r;
	out->selector = selector;
	emul_selector_split(raw[0], &out->seg);
	type = out->seg.attr & EMUL_SEG_TYPE_MASK;
	if (task && !ctx->long_mode && type == 1) /* a 16-bit one */
		type = DESC_TYPE_TSS_AVAIL;
	if (!valid || (raw[0] & DESC_S) || (raw[1] >> 40 & 0x1f) ||
		type != (task ? DESC_TYPE_TSS_AVAIL : DESC_TYPE_LDT))
		return refuse(ctx, EXC_GP, selector);
	if (!(out->seg.attr & EMUL_SEG_P))
		return refuse(ctx, EXC_NP, selector);
	out->seg.base |= raw[1] << 32;
	return task ? set_type_bit(
			      ctx, selector, DESC_TYPE_TSS_BUSY ^ DESC_TYPE_TSS_AVAIL, &out->seg)
		    : EMUL_DONE;
}
