/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers that only some emulated instructions need: selectors, descriptor tables, CR0, and the
 * vector registers, which are the guest's own and live in this CPU while it is the vCPU's. On the
 * vCPU's own CPU, no locks.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "hv/vm/linear.h"

static struct vcpu *vcpu_of(const struct emul_ctx *ctx)
{
	const struct emulation *em = ctx->opaque;

	return &em->c->vcpu;
}

static void system_get(struct emul_ctx *ctx, unsigned reg, struct emul_selector *s)
{
	struct vcpu *v = vcpu_of(ctx);
	struct segment from;

	_Static_assert((int)EMUL_LDTR == (int)SEG_LDTR && (int)EMUL_TR == (int)SEG_TR, "numbering");
	v->ops->segment_get(v, (enum segment_index)reg, &from);
	*s = (struct emul_selector){from.selector, {from.base, from.limit, from.attr}};
}

static void system_set(struct emul_ctx *ctx, unsigned reg, const struct emul_selector *s)
{
	struct vcpu *v = vcpu_of(ctx);
	const struct segment to = {s->selector, s->seg.attr, s->seg.limit, s->seg.base};

	v->ops->segment_set(v, (enum segment_index)reg, &to);
}

static void table_get(struct emul_ctx *ctx, enum emul_table table, uint64_t *base, uint32_t *limit)
{
	struct vcpu *v = vcpu_of(ctx);
	struct descriptor_table from;

	v->ops->table_get(v, table == EMUL_IDT, &from);
	*base = from.base;
	*limit = from.limit;
}

static void table_set(struct emul_ctx *ctx, enum emul_table table, uint64_t base, uint32_t limit)
{
	struct vcpu *v = vcpu_of(ctx);
	const struct descriptor_table to = {base, limit};

	v->ops->table_set(v, table == EMUL_IDT, &to);
}

static bool cr0_set(struct emul_ctx *ctx, uint64_t value)
{
	const struct emulation *em = ctx->opaque;

	return vm_cr0_write(em->c, value);
}

static bool cr3_set(struct emul_ctx *ctx, uint64_t value)
{
	struct emulation *em = ctx->opaque;

	if (!vm_cr3_write(em->c, value))
		return false;
	em->mode.cr3 = value;
	return true;
}

const struct emul_system vm_emul_system = {
	.get = system_get,
	.set = system_set,
	.table_get = table_get,
	.table_set = table_set,
	.cr0_set = cr0_set,
	.cr3_set = cr3_set,
};

/*
 * The executor has checked what the guest has enabled; the CPU must have it too. If it faults here
 * all the same, the instruction runs again and faults in the guest.
 */
static enum emul_result outcome(int status)
{
	return status == OK ? EMUL_DONE : EMUL_AGAIN;
}

static enum emul_result vector_get(struct emul_ctx *ctx, unsigned reg, void *buf, unsigned size)
{
	(void)ctx;
	switch (size) {
	case 8: return outcome(mmx_read_safe(reg & 7, buf));
	case 16: return outcome(xmm_read_safe(reg & 15, buf));
	default: return outcome(ymm_read_safe(reg & 15, buf));
	}
}

static enum emul_result vector_set(
	struct emul_ctx *ctx, unsigned reg, const void *buf, unsigned size, bool zero_upper)
{
	(void)ctx;
	switch (size) {
	case 8: return outcome(mmx_write_safe(reg & 7, buf));
	case 16:
		return outcome(zero_upper ? xmm_write_zero_safe(reg & 15, buf)
					  : xmm_write_safe(reg & 15, buf));
	default: return outcome(ymm_write_safe(reg & 15, buf));
	}
}

static enum emul_result mxcsr_get(struct emul_ctx *ctx, uint32_t *value)
{
	(void)ctx;
	*value = mxcsr_read();
	return EMUL_DONE;
}

/* Bits that this CPU does not have fault. */
static enum emul_result mxcsr_set(struct emul_ctx *ctx, uint32_t value)
{
	if (mxcsr_write_safe(value) == OK)
		return EMUL_DONE;
	ctx->fault = (struct emul_fault){.vector = EXC_GP, .has_error = ctx->cr0 & CR0_PE};
	return EMUL_FAULT;
}

static uint64_t guest_xcr0(struct emul_ctx *ctx)
{
	const struct emulation *em = ctx->opaque;

	if (!(ctx->cr4 & CR4_OSXSAVE))
		return 0;
	vm_xcr0_seen(em->c);
	return em->c->xcr0;
}

const struct emul_vector_regs vm_emul_vectors = {
	.get = vector_get,
	.set = vector_set,
	.mxcsr_get = mxcsr_get,
	.mxcsr_set = mxcsr_set,
	.xcr0 = guest_xcr0,
};
