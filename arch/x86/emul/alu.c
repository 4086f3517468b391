/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer arithmetic with exact flags; see alu.h. Carries are computed for every bit position, so
 * one rule fits all operand sizes.
 */
#include "arch/x86/emul/alu.h"
#include "arch/x86/defs/cr.h"

#define FLAGS_ARITH (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* One operation before its flags are merged into RFLAGS. */
struct alu {
	uint64_t a, b;
	unsigned carry; /* in */
	unsigned sign;  /* number of the sign bit */
	uint64_t mask;
	uint64_t result;
	uint64_t flags;
};

static void set_flag(struct alu *u, uint64_t flag, uint64_t condition)
{
	if (condition & 1)
		u->flags |= flag;
}

static void set_result(struct alu *u, uint64_t result)
{
	u->result = result & u->mask;
	set_flag(u, RFLAGS_ZF, u->result == 0);
	set_flag(u, RFLAGS_SF, u->result >> u->sign);
	set_flag(u, RFLAGS_PF, !__builtin_parity(u->result & 0xff));
}

static void alu_add(struct alu *u)
{
	uint64_t a = u->a, b = u->b, r;

	set_result(u, a + b + u->carry);
	r = u->result;
	set_flag(u, RFLAGS_CF, ((a & b) | ((a | b) & ~r)) >> u->sign);
	set_flag(u, RFLAGS_OF, ((a ^ r) & (b ^ r)) >> u->sign);
	set_flag(u, RFLAGS_AF, (a ^ b ^ r) >> 4);
}

static void alu_sub(struct alu *u)
{
	uint64_t a = u->a, b = u->b, r;

	set_result(u, a - b - u->carry);
	r = u->result;
	set_flag(u, RFLAGS_CF, ((~a & b) | ((~a | b) & r)) >> u->sign);
	set_flag(u, RFLAGS_OF, ((a ^ b) & (a ^ r)) >> u->sign);
	set_flag(u, RFLAGS_AF, (a ^ b ^ r) >> 4);
}

uint64_t alu_compute(enum emul_op op, uint64_t a, uint64_t b, unsigned size, uint64_t *rflags)
{
	struct alu u = {.mask = mask_bytes(size), .sign = size * 8 - 1};
	uint64_t affected = FLAGS_ARITH;

	u.a = a & u.mask;
	u.b = b & u.mask;
	switch (op) {
	case EMUL_OP_ADC: u.carry = *rflags & RFLAGS_CF; /* fallthrough */
	case EMUL_OP_ADD: alu_add(&u); break;
	case EMUL_OP_SBB: u.carry = *rflags & RFLAGS_CF; /* fallthrough */
	case EMUL_OP_SUB:
	case EMUL_OP_CMP: alu_sub(&u); break;
	case EMUL_OP_AND:
	case EMUL_OP_TEST: set_result(&u, u.a & u.b); break;
	case EMUL_OP_OR: set_result(&u, u.a | u.b); break;
	case EMUL_OP_XOR: set_result(&u, u.a ^ u.b); break;
	case EMUL_OP_NOT: return ~u.a & u.mask;
	case EMUL_OP_NEG:
		u.b = u.a;
		u.a = 0;
		alu_sub(&u);
		break;
	case EMUL_OP_INC:
	case EMUL_OP_DEC:
		affected &= ~RFLAGS_CF;
		u.b = 1;
		if (op == EMUL_OP_INC)
			alu_add(&u);
		else
			alu_sub(&u);
		break;
	default: return u.a;
	}
	*rflags = (*rflags & ~affected) | (u.flags & affected);
	return u.result;
}

uint64_t alu_bit(enum emul_op op, uint64_t a, uint64_t bit, unsigned size, uint64_t *rflags)
{
	uint64_t mask = BIT(bit & (size * 8 - 1));

	*rflags = (*rflags & ~RFLAGS_CF) | (a & mask ? RFLAGS_CF : 0);
	switch (op) {
	case EMUL_OP_BTS: return a | mask;
	case EMUL_OP_BTR: return a & ~mask;
	case EMUL_OP_BTC: return a ^ mask;
	default: return a;
	}
}

bool alu_condition(unsigned cond, uint64_t rflags)
{
	bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);
	bool value;

	switch ((cond >> 1) & 7) {
	case 0: value = rflags & RFLAGS_OF; break;
	case 1: value = rflags & RFLAGS_CF; break;
	case 2: value = rflags & RFLAGS_ZF; break;
	case 3: value = rflags & (RFLAGS_CF | RFLAGS_ZF); break;
	case 4: value = rflags & RFLAGS_SF; break;
	case 5: value = rflags & RFLAGS_PF; break;
	case 6: value = less; break;
	default: value = less || (rflags & RFLAGS_ZF); break;
	}
	return value != (cond & 1);
}
