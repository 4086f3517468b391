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

bool vm_decode(struct vcpu *v, struct vm_exit *e)
{
	struct vm_cpu *c = vm_cpu_of(v);
	struct vm_intercepted *known = &c->intercepted;
	struct emul_intercept_insn insn;
	enum emul_decode_result result;
	enum emul_code code;
	unsigned count;

	if (known->length && known->reason == e->reason && known->number == number_of(e) &&
		vm_fetch_same(c, known->bytes, known->length)) {
		answer(e, known);
		return true;
	}
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
	answer(e, known);
	/* Other code sizes give other lengths: only 64-bit code is looked up above. */
	return true;
}
