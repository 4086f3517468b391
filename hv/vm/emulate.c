/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses that need the instruction: memory that is not RAM, and string I/O. The decoder and
 * executor are pure (arch/x86/emul); this file gives them the vCPU's state, its page walk, RAM and
 * devices.
 *
 * What answers outside RAM: a device of the MMIO bus; in the PC's legacy and PCI holes an undriven
 * bus (reads all ones, writes vanish); anywhere else the guest has touched memory that it does not
 * own and stops.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"
#include "hv/vm/linear.h"

/*
 * The PC's holes, where a probe finds nothing: VGA and option ROMs; ECAM, PCI window and chipset.
 */
static const struct {
	gpa_t base, end;
} holes[] = {
	{0xa0000, 0xc0000},
	{0xb0000000, 0x100000000},
};

#define LOCKED_TRIES 64 /* while others write to the same quadword */

static bool in_hole(gpa_t gpa)
{
	for (unsigned i = 0; i < ARRAY_SIZE(holes); i++) {
		if (gpa >= holes[i].base && gpa < holes[i].end)
			return true;
	}
	return false;
}

/* At most 8 bytes, nearly always 4: a call of memcpy() costs more. */
static inline void copy_small(void *to, const void *from, unsigned size)
{
	if (LIKELY(size == 4))
		__builtin_memcpy(to, from, 4);
	else
		memcpy(to, from, size);
}

static enum emul_result physical_access(
	struct emulation *em, gpa_t gpa, void *buf, unsigned size, bool write)
{
	struct vm *vm = em->c->vm;
	uint64_t value = 0;
	int status;

	/* Devices first: they are why most instructions come here, and they cover RAM. */
	if (write) {
		copy_small(&value, buf, size);
		if (vm_mmio_write(em->c, gpa, size, value))
			return EMUL_DONE;
	} else if (vm_mmio_read(em->c, gpa, size, &value)) {
		copy_small(buf, &value, size);
		return EMUL_DONE;
	}
	if (guest_mem_is_ram(&vm->mem, gpa, size)) {
		status = write ? guest_mem_write(&vm->mem, gpa, buf, size)
			       : guest_mem_read(&vm->mem, gpa, buf, size);
		return status == OK ? EMUL_DONE : EMUL_STOP;
	}
	if (!write)
		copy_small(buf, &value, size); /* all ones */
	if (in_hole(gpa))
		return EMUL_DONE;
	vm_stop(vm, STOP_FAILED, "%s memory that is not its own at 0x%lx",
		write ? "wrote to" : "read", (unsigned long)gpa);
	return EMUL_STOP;
}

/*
 * The second half of a locked instruction whose operand turns out to be RAM: only if nobody has
 * written to it since the first half, otherwise the guest does it again. One that is not within an
 * aligned quadword would need the bus lock that only the guest's CPU can take, and goes without.
 */
static enum emul_result locked_write(
	struct emulation *em, gpa_t gpa, const uint8_t *buf, unsigned size)
{
	uint64_t *at = guest_mem_map(&em->c->vm->mem, align_down(gpa, 8), 8, NULL);
	unsigned shift = (gpa & 7) * 8;
	uint64_t mask = mask_bytes(size) << shift, new = 0, old;

	if (!at)
		return EMUL_STOP;
	memcpy(&new, buf, size);
	for (unsigned i = 0; i < LOCKED_TRIES; i++) {
		old = __atomic_load_n(at, __ATOMIC_RELAXED);
		if ((old ^ em->locked_old << shift) & mask)
			return EMUL_AGAIN;
		if (__atomic_compare_exchange_n(at, &old, (old & ~mask) | new << shift, false,
			    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return EMUL_DONE;
	}
	return EMUL_AGAIN;
}

/* Devices take at most 8 bytes at once. */
static enum emul_result physical_span(
	struct emulation *em, gpa_t gpa, void *buf, unsigned size, bool write)
{
	enum emul_result result = EMUL_DONE;

	for (unsigned at = 0; at < size && result == EMUL_DONE; at += 8)
		result = physical_access(em, gpa + at, (char *)buf + at, MIN(size - at, 8u), write);
	return result;
}

static unsigned walk_kind(const struct emul_ctx *ctx, unsigned access)
{
	unsigned kind = access & EMUL_ACCESS_WRITE ? WALK_WRITE : 0;

	if (access & EMUL_ACCESS_SYSTEM)
		return kind | WALK_IMPLICIT;
	return kind | (ctx->cpl == 3 ? WALK_USER : 0);
}

/* A linear access of at most EMUL_ACCESS_MAX bytes, which may lie in two pages. */
struct span {
	unsigned first; /* bytes in the first page */
	gpa_t gpa[2];
};

/* All pages are translated before the first byte moves. */
static enum emul_result span_translate(
	struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access, struct span *span)
{
	struct emulation *em = ctx->opaque;
	unsigned kind = walk_kind(ctx, access);
	enum emul_result result = linear_translate(em, ctx, gva, kind, &span->gpa[0]);

	span->first = (unsigned)MIN((uint64_t)size, PAGE_SIZE - (gva & (PAGE_SIZE - 1)));
	if (result == EMUL_DONE && span->first < size)
		result = linear_translate(em, ctx, gva + span->first, kind, &span->gpa[1]);
	return result;
}

static enum emul_result span_access(
	struct emulation *em, const struct span *span, void *buf, unsigned size, bool write)
{
	enum emul_result result = physical_span(em, span->gpa[0], buf, span->first, write);

	if (result == EMUL_DONE && span->first < size)
		result = physical_span(
			em, span->gpa[1], (char *)buf + span->first, size - span->first, write);
	return result;
}

/* Breakpoints that an access may meet, by their R/W fields (SDM vol. 3, "DR7"). */
#define WATCH_READ  BIT(3)
#define WATCH_WRITE (BIT(1) | BIT(3))
#define WATCH_PORT  BIT(2)

/*
 * A breakpoint traps behind an access that has a byte in its range (SDM vol. 3, "Debug Control
 * Register", "Recognizing Breakpoint Conditions"): of linear addresses, or of ports. DR0 to DR3
 * are the guest's, in the CPU.
 */
static NOINLINE void watch(struct emulation *em, uint64_t at, unsigned size, unsigned kinds)
{
	const uint64_t address[] = {read_dr0(), read_dr1(), read_dr2(), read_dr3()};

	for (unsigned i = 0; i < ARRAY_SIZE(address); i++) {
		unsigned kind = em->dr7 >> (16 + 4 * i) & 3, length = em->dr7 >> (18 + 4 * i) & 3;
		uint64_t bytes = length == 2 ? 8 : length + 1;
		uint64_t first = align_down(address[i], bytes);

		if (!(em->dr7 >> (2 * i) & 3) || !(kinds & BIT(kind)))
			continue;
		if (at < first + bytes && first < at + size)
			em->hit |= BIT(i);
	}
}

static enum emul_result emul_read(
	struct emul_ctx *ctx, gva_t gva, void *buf, unsigned size, unsigned access)
{
	struct emulation *em = ctx->opaque;
	struct span span;
	enum emul_result result;

	if (size > EMUL_ACCESS_MAX)
		return EMUL_UNSUPPORTED;
	result = span_translate(ctx, gva, size, access, &span);
	if (result == EMUL_DONE)
		result = span_access(em, &span, buf, size, false);
	if (UNLIKELY(em->dr7 & DR7_ARMED) && !(access & EMUL_ACCESS_SYSTEM))
		watch(em, gva, size, WATCH_READ);
	if (UNLIKELY(access & EMUL_ACCESS_LOCKED) && result == EMUL_DONE && size <= 8) {
		em->locked_old = 0;
		copy_small(&em->locked_old, buf, size);
	}
	return result;
}

static enum emul_result emul_write(
	struct emul_ctx *ctx, gva_t gva, const void *buf, unsigned size, unsigned access)
{
	struct emulation *em = ctx->opaque;
	uint8_t copy[EMUL_ACCESS_MAX];
	struct span span;
	enum emul_result result;

	if (size > EMUL_ACCESS_MAX)
		return EMUL_UNSUPPORTED;
	copy_small(copy, buf, size);
	result = span_translate(ctx, gva, size, access | EMUL_ACCESS_WRITE, &span);
	if (result != EMUL_DONE)
		return result;
	if (UNLIKELY(em->dr7 & DR7_ARMED) && !(access & EMUL_ACCESS_SYSTEM))
		watch(em, gva, size, WATCH_WRITE);
	if (UNLIKELY(access & EMUL_ACCESS_LOCKED) && (gva & 7) + size <= 8 &&
		guest_mem_is_ram(&em->c->vm->mem, span.gpa[0], size))
		return locked_write(em, span.gpa[0], copy, size);
	return span_access(em, &span, copy, size, true);
}

static enum emul_result emul_probe(struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access)
{
	struct span span;

	return span_translate(ctx, gva, size, access, &span);
}

/*
 * Whether the instruction may do this was decided by the CPU, about the one that it met. Another
 * CPU may have changed the bytes since: then the guest is to try those itself.
 */
static bool port_is_allowed(
	const struct emulation *em, uint16_t port, unsigned size, unsigned direction)
{
	const struct vm_exit *e = em->port_access;

	return e && e->io.port == port && e->io.size == size && (e->io.kind & IO_IN) == direction;
}

static void watch_port(struct emulation *em, uint16_t port, unsigned size)
{
	if (em->c->io_breakpoints && (em->dr7 & DR7_ARMED))
		watch(em, port, size, WATCH_PORT);
}

static enum emul_result emul_io_in(
	struct emul_ctx *ctx, uint16_t port, unsigned size, uint32_t *value)
{
	struct emulation *em = ctx->opaque;
	uint64_t v;

	if (!port_is_allowed(em, port, size, IO_IN))
		return EMUL_AGAIN;
	watch_port(em, port, size);
	bus_read(&em->c->vm->ports, port, size, &v);
	*value = (uint32_t)v;
	return EMUL_DONE;
}

static enum emul_result emul_io_out(
	struct emul_ctx *ctx, uint16_t port, unsigned size, uint32_t value)
{
	struct emulation *em = ctx->opaque;

	if (!port_is_allowed(em, port, size, 0))
		return EMUL_AGAIN;
	watch_port(em, port, size);
	bus_write(&em->c->vm->ports, port, size, value);
	return EMUL_DONE;
}

static void emul_segment(struct emul_ctx *ctx, enum emul_seg_reg reg, struct emul_seg *seg)
{
	const struct emulation *em = ctx->opaque;
	struct vcpu *v = &em->c->vcpu;
	struct segment s;

	_Static_assert((int)EMUL_GS == (int)SEG_GS && (int)EMUL_ES == (int)SEG_ES, "numbering");
	_Static_assert(EMUL_SEG_UNUSABLE == SEG_ATTR_UNUSABLE && EMUL_SEG_L == SEG_ATTR_L, "attr");
	v->ops->segment_get(v, (enum segment_index)reg, &s);
	*seg = (struct emul_seg){s.base, s.limit, s.attr};
}

const struct emul_env vm_emul_env = {
	.read = emul_read,
	.write = emul_write,
	.probe = emul_probe,
	.io_in = emul_io_in,
	.io_out = emul_io_out,
	.segment = emul_segment,
	.system = &vm_emul_system,
	.vectors = &vm_emul_vectors,
};

/*
 * A guest touches its devices with few instructions again and again. Decoding looks at nothing but
 * the code size and the instruction's own bytes, so the same ones need no decoding.
 */
static bool same_as_last(
	const struct emul_insn *last, const uint8_t *bytes, unsigned count, unsigned code)
{
	if (last->length == 0 || last->length > count || last->code != code)
		return false;
	for (unsigned i = 0; i < last->length; i++) {
		if (bytes[i] != last->bytes[i])
			return false;
	}
	return true;
}

/* Some hardware keeps the bytes that it fetched; it stops where it could not read on. */
static enum emul_result fetch(struct emulation *em, struct emul_ctx *ctx, const struct vm_exit *e,
	uint8_t *bytes, unsigned *count)
{
	if (e->reason != EXIT_STAGE2 || e->stage2.byte_count != EMUL_INSN_MAX)
		return linear_fetch(em, ctx, bytes, count);
	memcpy(bytes, e->stage2.bytes, EMUL_INSN_MAX);
	*count = EMUL_INSN_MAX;
	return EMUL_DONE;
}

/* What the executor has to know of the CPU, where an instruction depends on it. */
static enum emul_result execute(struct emulation *em, struct emul_ctx *ctx)
{
	const struct cpuid_table *t = &em->c->cpuid;
	const struct emul_insn *insn = &em->c->emulated;

	if (insn->op == EMUL_OP_TZCNT)
		ctx->has_tzcnt = cpuid_table_find(t, CPUID_LEAF_EXTENDED, 0)->ebx &
				 CPUID_7_EBX_BMI1;
	if (insn->op == EMUL_OP_LZCNT)
		ctx->has_lzcnt = cpuid_table_find(t, CPUID_LEAF_EXT_FEAT, 0)->ecx &
				 CPUID_EXT1_ECX_ABM;
	return emul_execute(ctx, insn);
}

static enum emul_result decode_and_execute(
	struct emulation *em, struct emul_ctx *ctx, const struct vm_exit *e)
{
	struct emul_insn *insn = &em->c->emulated;
	uint8_t bytes[EMUL_INSN_MAX];
	unsigned count;
	enum emul_result result = fetch(em, ctx, e, bytes, &count);
	enum emul_decode_result decoded;

	if (result != EMUL_DONE)
		return result;
	if (same_as_last(insn, bytes, count, ctx->code))
		return execute(em, ctx);
	decoded = emul_decode(bytes, count, ctx->code, insn);
	em->c->emulated_is_plain = decoded == EMUL_DECODE_OK && vm_move_is_plain(insn);
	if (decoded == EMUL_DECODE_OK)
		return execute(em, ctx);
	insn->length = 0;
	switch (decoded) {
	case EMUL_DECODE_UD: ctx->fault = (struct emul_fault){.vector = 6}; return EMUL_FAULT;
	case EMUL_DECODE_TOO_LONG:
		ctx->fault = (struct emul_fault){.vector = 13, .has_error = true};
		return EMUL_FAULT;
	case EMUL_DECODE_MORE: return linear_fetch_fault(em, ctx, count);
	default: return EMUL_UNSUPPORTED;
	}
}

static void write_flags(struct emulation *em, const struct emul_ctx *ctx)
{
	if (ctx->rflags != em->mode.rflags)
		em->c->vcpu.ops->reg_write(&em->c->vcpu, REG_RFLAGS, ctx->rflags);
}

static enum exit_action finish(struct emulation *em, struct emul_ctx *ctx)
{
	struct vcpu *v = &em->c->vcpu;

	if (v->gpr[RSP] != em->mode.rsp)
		v->ops->reg_write(v, REG_RSP, v->gpr[RSP]);
	/* TF as it was decides: an instruction that sets it is not yet stepped over. */
	v->ops->instruction_done(v, ctx->rip);
	write_flags(em, ctx);
	if (UNLIKELY(ctx->stack_shadow))
		v->ops->shadow_begin(v);
	if (UNLIKELY(ctx->nmi_done))
		v->ops->nmi_block(v, false);
	if (UNLIKELY(em->hit))
		v->ops->debug_trap(v, em->hit);
	return ACT_RESUME;
}

static enum exit_action unsupported(
	struct emulation *em, const struct vm_exit *e, const struct emul_insn *insn)
{
	char hex[3 * EMUL_INSN_MAX + 1];
	size_t at = 0;

	for (unsigned i = 0; i < 8; i++)
		at += fmt_string(hex + at, sizeof(hex) - at, i ? " %02x" : "%02x", insn->bytes[i]);
	if (e->reason == EXIT_STAGE2)
		vm_stop(em->c->vm, STOP_FAILED,
			"an instruction that is not emulated touched 0x%lx: %s",
			(unsigned long)e->stage2.gpa, hex);
	else
		vm_stop(em->c->vm, STOP_FAILED, "an I/O instruction that is not emulated: %s", hex);
	return ACT_RESUME;
}

/* Accesses that no instruction of the guest makes itself. */
static bool not_an_instruction(struct vm_cpu *c, const struct vm_exit *e)
{
	unsigned long gpa = (unsigned long)e->stage2.gpa;

	if (e->reason != EXIT_STAGE2)
		return false;
	if (e->stage2.fetch)
		vm_stop(c->vm, STOP_FAILED, "executed from 0x%lx, which is not its memory", gpa);
	else if (e->stage2.walking)
		vm_stop(c->vm, STOP_FAILED, "page tables outside its memory at 0x%lx", gpa);
	else if (c->vcpu.reinject.valid)
		vm_stop(c->vm, STOP_FAILED,
			"delivering vector %u touched 0x%lx, which is not its memory",
			c->vcpu.reinject.vector, gpa);
	else
		return false;
	return true;
}

enum exit_action vm_emulate(struct vm_cpu *c, const struct vm_exit *e)
{
	struct emulation em;
	struct emul_ctx ctx;

	if (not_an_instruction(c, e))
		return ACT_RESUME;
	em.c = c;
	em.hit = 0;
	em.port_access = e->reason == EXIT_IO ? e : NULL;
	linear_prepare(&em, &ctx, e);
	ctx.env = &vm_emul_env;
	ctx.long_mode = em.mode.efer & EFER_LMA;
	em.dr7 = c->vcpu.ops->reg_read(&c->vcpu, REG_DR7);
	ctx.watched = em.dr7 & DR7_ARMED;
	switch (decode_and_execute(&em, &ctx, e)) {
	case EMUL_DONE: return finish(&em, &ctx);
	case EMUL_PARTLY: return finish(&em, &ctx);
	case EMUL_AGAIN: /* registers of finished REP iterations stay, after a fault too */
		write_flags(&em, &ctx);
		return ACT_RESUME;
	case EMUL_FAULT:
		write_flags(&em, &ctx);
		linear_raise(c, &ctx.fault);
		return ACT_RESUME;
	case EMUL_UNSUPPORTED: return unsupported(&em, e, &c->emulated);
	default: return ACT_RESUME; /* vm_stop has been called */
	}
}
