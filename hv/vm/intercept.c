/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intercepted instructions, where the hardware does not say how long they are or which register
 * they use (AMD-V without next-RIP save and decode assists): their bytes are fetched and decoded.
 */
#include "arch/x86/emul/decode.h"
#include "hv/lib/string.h"
#include "hv/vm/vm.h"

#define KINDS_MAX 2u

/* The instructions that may have exited for a reason. */
static const struct {
	uint8_t kind[KINDS_MAX], count;
} candidates[EXIT_COUNT] = {
	[EXIT_CPUID] = {{EMUL_INTERCEPT_CPUID}, 1},
	[EXIT_HLT] = {{EMUL_INTERCEPT_HLT}, 1},
	[EXIT_RDMSR] = {{EMUL_INTERCEPT_RDMSR}, 1},
	[EXIT_WRMSR] = {{EMUL_INTERCEPT_WRMSR}, 1},
	[EXIT_XSETBV] = {{EMUL_INTERCEPT_XSETBV}, 1},
	[EXIT_CR] = {{EMUL_INTERCEPT_MOV_TO_CR, EMUL_INTERCEPT_MOV_FROM_CR}, 2},
	[EXIT_CACHE_CONTROL] = {{EMUL_INTERCEPT_WBINVD, EMUL_INTERCEPT_INVD}, 2},
	[EXIT_EXCEPTION] = {{EMUL_INTERCEPT_ICEBP}, 1},
};

/* The control register is part of what was decoded: a loop may use several. */
static uint8_t number_of(const struct vm_exit *e)
{
	return e->reason == EXIT_CR ? (uint8_t)(e->cr.number | e->cr.kind << 4) : 0;
}

static void answer(struct vm_exit *e, const struct vm_intercepted *i)
{
	e->insn_len = i->length;
	if (e->reason == EXIT_CR)
		e->cr.gpr = i->gpr;
}

static bool kind_fits(
	const struct vm_exit *e, unsigned kind, const struct emul_intercept_insn *insn)
{
	if (e->reason != EXIT_CR)
		return true;
	return insn->reg == e->cr.number &&
	       (kind == EMUL_INTERCEPT_MOV_TO_CR) == (e->cr.kind == CR_WRITE);
}

static enum emul_decode_result decode(const struct vm_exit *e, const uint8_t *bytes, unsigned count,
	enum emul_code code, struct emul_intercept_insn *insn)
{
	enum emul_decode_result result = EMUL_DECODE_UNSUPPORTED;

	for (unsigned i = 0; i < candidates[e->reason].count; i++) {
		unsigned kind = candidates[e->reason].kind[i];

		result = emul_decode_intercept(bytes, count, code, kind, insn);
		if (result == EMUL_DECODE_OK && kind_fits(e, kind, insn))
			return EMUL_DECODE_OK;
		if (result == EMUL_DECODE_MORE)
			return result;
	}
	return EMUL_DECODE_UNSUPPORTED;
}

/* ---- The last one again ---- */

#define NOT_KEPT (VCPU_NO_ROOT - 1) /* equal to no root */

void vm_fetch_forget(struct vm_cpu *c)
{
	c->fetched.walk.depth = 0;
	c->intercepted.root = NOT_KEPT;
}

static inline uint64_t quadword_at(const struct guest_mem *mem, const struct guest_place *at)
{
	const volatile struct PACKED {
		uint64_t value;
	} *unaligned = (const volatile void *)guest_mem_at(mem, at);

	return unaligned->value;
}

static inline bool same(const struct guest_mem *mem, const struct vm_seen *seen)
{
	return *guest_mem_at(mem, &seen->at) == seen->value;
}

/* Written out for the three levels above pages of 2 MiB, which kernels live in. */
static inline bool is_known(const struct vm_cpu *c, const struct vm_exit *e, uint64_t root)
{
	const struct vm_intercepted *known = &c->intercepted;
	const struct guest_mem *mem = &c->vm->mem;

	if (known->rip != c->vcpu.rip || known->root != root || known->reason != e->reason ||
		!same(mem, &known->entry[0]) || !same(mem, &known->entry[1]) ||
		!same(mem, &known->entry[2]))
		return false;
	for (unsigned i = 3; UNLIKELY(i < known->depth); i++) {
		if (!same(mem, &known->entry[i]))
			return false;
	}
	if ((quadword_at(mem, &known->insn.at) ^ known->insn.value) & known->mask)
		return false;
	return LIKELY(e->reason != EXIT_CR) || known->number == number_of(e);
}

/*
 * Where the page of the last fetch is that of RIP, under this root: what led there, and the bytes,
 * unless the quadword that begins with them ends on another page.
 */
static void remember(struct vm_cpu *c, struct vm_intercepted *known, uint64_t root)
{
	const struct vm_fetch *f = &c->fetched;
	gva_t rip = c->vcpu.rip;
	uint32_t in_page = rip & (PAGE_SIZE - 1);

	known->root = NOT_KEPT;
	if (root == VCPU_NO_ROOT || f->cr3 != root || (rip ^ f->gva) >= PAGE_SIZE ||
		!f->walk.depth || in_page > PAGE_SIZE - 8 || known->length > 8)
		return;
	known->rip = rip;
	known->root = root;
	for (unsigned i = 0; i < WALK_LEVELS_MAX; i++) {
		unsigned level = MIN(i, f->walk.depth - 1u);

		known->entry[i] = (struct vm_seen){f->walk.entry[level], f->entry[level]};
	}
	memcpy(&known->insn.value, known->bytes, 8);
	known->mask = mask_bytes(known->length);
	known->insn.at = (struct guest_place){f->page.chunk, f->page.offset + in_page};
	known->depth = f->walk.depth;
}

/* Fetch and decode; false: it is not there, or a fault is. */
static bool decode_anew(struct vcpu *v, struct vm_exit *e)
{
	struct vm_cpu *c = vm_cpu_of(v);
	struct vm_intercepted *known = &c->intercepted;
	struct emul_intercept_insn insn;
	enum emul_decode_result result;
	enum emul_code code;
	unsigned count;

	known->length = 0;
	if (!vm_fetch(c, known->bytes, &count, &code))
		return false;
	result = decode(e, known->bytes, count, code, &insn);
	if (result == EMUL_DECODE_MORE)
		vm_fetch_fault(c, count);
	if (result != EMUL_DECODE_OK)
		return false;
	known->length = insn.length;
	known->reason = e->reason;
	known->number = number_of(e);
	known->gpr = insn.gpr;
	return true;
}

/* In a function of its own, so that the usual case below needs no stack frame. */
static NOINLINE void decode_other(struct vcpu *v, struct vm_exit *e, uint64_t root)
{
	struct vm_cpu *c = vm_cpu_of(v);
	struct vm_intercepted *known = &c->intercepted;

	/* The same instruction elsewhere on the page. */
	if (!known->length || known->reason != e->reason || known->number != number_of(e) ||
		!vm_fetch_same(c, root, known->bytes, known->length)) {
		known->root = NOT_KEPT;
		if (!decode_anew(v, e)) {
			e->reason = EXIT_AGAIN;
			return;
		}
	}
	remember(c, known, root);
	answer(e, known);
}

void vm_decode(struct vcpu *v, struct vm_exit *e, uint64_t code_root)
{
	if (LIKELY(is_known(vm_cpu_of(v), e, code_root)))
		answer(e, &vm_cpu_of(v)->intercepted);
	else
		decode_other(v, e, code_root);
}
