/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From segment and offset to linear address, with every check that the mode asks for (SDM vol. 3,
 * "Limit Checking", "Type Checking", "Canonical Addressing"). Nothing else in the emulator decides
 * whether an access is permitted by segmentation.
 */
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute_parts.h"
#include "arch/x86/emul/walk.h"

enum emul_code emul_code_size(uint64_t efer, uint32_t cs_attr)
{
	if ((efer & EFER_LMA) && (cs_attr & EMUL_SEG_L))
		return EMUL_CODE64;
	return cs_attr & EMUL_SEG_DB ? EMUL_CODE32 : EMUL_CODE16;
}

enum emul_result emul_raise(struct emul_ctx *ctx, uint8_t vector, uint32_t error)
{
	/* Real mode pushes no error codes. */
	bool has_error = ctx->cr0 & CR0_PE;

	ctx->fault = (struct emul_fault){
		.vector = vector, .has_error = has_error, .error_code = has_error ? error : 0};
	return EMUL_FAULT;
}

enum emul_result emul_raise_plain(struct emul_ctx *ctx, uint8_t vector)
{
	ctx->fault = (struct emul_fault){.vector = vector};
	return EMUL_FAULT;
}

static bool type_allows(const struct emul_seg *seg, bool write)
{
	if ((seg->attr & EMUL_SEG_UNUSABLE) || !(seg->attr & EMUL_SEG_P))
		return false;
	if (seg->attr & EMUL_SEG_CODE)
		return !write && (seg->attr & EMUL_SEG_WRITE); /* readable code */
	return !write || (seg->attr & EMUL_SEG_WRITE);
}

static bool limit_allows(const struct emul_seg *seg, uint64_t offset, unsigned size)
{
	bool expand_down = (seg->attr & EMUL_SEG_EXPAND_DOWN) && !(seg->attr & EMUL_SEG_CODE);
	uint64_t top = seg->limit;

	if (expand_down) {
		if (offset <= seg->limit)
			return false;
		top = seg->attr & EMUL_SEG_DB ? UINT32_MAX : UINT16_MAX;
	}
	return range_within(offset, size, top + 1);
}

static enum emul_result linear64(struct emul_ctx *ctx, enum emul_seg_reg segment, uint64_t offset,
	unsigned size, gva_t *linear)
{
	struct emul_seg seg = {0};

	if (segment == EMUL_FS || segment == EMUL_GS) /* the others have base 0 */
		ctx->env->segment(ctx, segment, &seg);
	*linear = seg.base + offset;
	if (!walk_is_canonical(ctx->cr4, *linear) ||
		!walk_is_canonical(ctx->cr4, *linear + size - 1))
		return emul_raise(ctx, segment == EMUL_SS ? EXC_SS : EXC_GP, 0);
	return EMUL_DONE;
}

static enum emul_result linear32(struct emul_ctx *ctx, enum emul_seg_reg segment, uint64_t offset,
	unsigned size, bool write, gva_t *linear)
{
	struct emul_seg seg = {0};

	ctx->env->segment(ctx, segment, &seg);
	if ((emul_is_protected(ctx) && !type_allows(&seg, write)) ||
		!limit_allows(&seg, offset, size))
		return emul_raise(ctx, segment == EMUL_SS ? EXC_SS : EXC_GP, 0);
	*linear = (seg.base + offset) & UINT32_MAX;
	return range_within(*linear, size, GIB(4)) ? EMUL_DONE : EMUL_UNSUPPORTED;
}

/*
 * What #AC asks of an operand (SDM vol. 3, "Alignment Check Exception"): far pointers and table
 * limits with bases count as their larger part; of vectors, moves that must be aligned raise #GP
 * anyway, the others are checked as quadwords.
 */
static unsigned alignment(unsigned size)
{
	if (size & (size - 1))
		size -= 2;
	return MIN(size, 8u);
}

enum emul_result emul_linear(struct emul_ctx *ctx, enum emul_seg_reg segment, uint64_t offset,
	unsigned size, unsigned access, gva_t *linear)
{
	enum emul_result r;

	if (ctx->code == EMUL_CODE64)
		r = linear64(ctx, segment, offset, size, linear);
	else
		r = linear32(ctx, segment, offset, size, access & EMUL_ACCESS_WRITE, linear);
	if (r != EMUL_DONE)
		return r;
	if ((ctx->cr0 & CR0_AM) && (ctx->rflags & RFLAGS_AC) && ctx->cpl == 3 &&
		(*linear & (alignment(size) - 1)))
		return emul_raise(ctx, EXC_AC, 0);
	return EMUL_DONE;
}
