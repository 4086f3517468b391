/* SPDX-License-Identifier: Apache-2.0 */
/* See alu_wide.h. Every loop is bounded by the width of a register. */
#include "arch/x86/emul/alu_wide.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/emul/alu.h"

#define FLAGS_RESULT (RFLAGS_PF | RFLAGS_ZF | RFLAGS_SF)

static uint64_t flag_if(bool condition, uint64_t flag)
{
	return condition ? flag : 0;
}

static uint64_t result_flags(uint64_t result, unsigned size)
{
	result &= mask_bytes(size);
	return flag_if(result == 0, RFLAGS_ZF) | flag_if(result >> (size * 8 - 1), RFLAGS_SF) |
	       flag_if(!__builtin_parity(result & 0xff), RFLAGS_PF);
}

static void multiply64(uint64_t a, uint64_t b, uint64_t *low, uint64_t *high)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	*low = (uint64_t)product;
	*high = (uint64_t)(product >> 64);
}

/* CF and OF: the high half says something that the low one does not. */
uint64_t alu_multiply(
	uint64_t a, uint64_t b, unsigned size, bool is_signed, uint64_t *high, uint64_t *rflags)
{
	uint64_t mask = mask_bytes(size), low, flags;
	bool spills;

	if (is_signed) {
		a = alu_sign_extend(a, size);
		b = alu_sign_extend(b, size);
	} else {
		a &= mask;
		b &= mask;
	}
	multiply64(a, b, &low, high);
	if (is_signed) /* a negative factor counts 2^64 too much */
		*high -= ((int64_t)a < 0 ? b : 0) + ((int64_t)b < 0 ? a : 0);
	if (size < 8)
		*high = low >> (size * 8);
	low &= mask;
	*high &= mask;
	spills = is_signed ? *high != (low >> (size * 8 - 1) ? mask : 0) : *high != 0;
	flags = flag_if(spills, RFLAGS_CF | RFLAGS_OF) |
		(result_flags(low, size) & (RFLAGS_SF | RFLAGS_PF));
	*rflags = (*rflags & ~(RFLAGS_CF | RFLAGS_OF | RFLAGS_AF | FLAGS_RESULT)) | flags;
	return low;
}

/* 128 by 64 bits, bit by bit: the quotient fits, because high < divisor. */
static uint64_t divide128(uint64_t high, uint64_t low, uint64_t divisor, uint64_t *remainder)
{
	uint64_t quotient = 0;

	for (unsigned i = 0; i < 64; i++) {
		bool carry = high >> 63;

		high = high << 1 | low >> 63;
		low <<= 1;
		quotient <<= 1;
		if (carry || high >= divisor) {
			high -= divisor;
			quotient |= 1;
		}
	}
	*remainder = high;
	return quotient;
}

static bool divide_unsigned(
	uint64_t *low, uint64_t high, uint64_t divisor, unsigned size, uint64_t *remainder)
{
	uint64_t dividend;

	if (divisor == 0 || high >= divisor)
		return false;
	if (size == 8) {
		*low = divide128(high, *low, divisor, remainder);
		return true;
	}
	dividend = high << (size * 8) | *low;
	*low = dividend / divisor;
	*remainder = dividend % divisor;
	return true;
}

static void negate_pair(uint64_t *low, uint64_t *high, unsigned size)
{
	uint64_t mask = mask_bytes(size);

	*high = (~*high + (*low == 0)) & mask;
	*low = -*low & mask;
}

bool alu_divide(uint64_t *low, uint64_t high, uint64_t divisor, unsigned size, bool is_signed,
	uint64_t *remainder)
{
	uint64_t mask = mask_bytes(size), sign = BIT(size * 8 - 1), quotient = *low;
	bool negative = is_signed && (high & sign);
	bool opposite = is_signed && (divisor & sign);

	if (negative)
		negate_pair(&quotient, &high, size);
	if (opposite)
		divisor = -divisor & mask;
	if (!divide_unsigned(&quotient, high, divisor, size, remainder))
		return false;
	if (is_signed && quotient > sign - (negative == opposite))
		return false;
	*low = (negative != opposite ? -quotient : quotient) & mask;
	*remainder = (negative ? -*remainder : *remainder) & mask;
	return true;
}

/* Rotation through CF is a rotation of one bit more. */
static uint64_t rotate_carry(uint64_t a, unsigned count, unsigned bits, bool left, bool *carry)
{
	for (count %= bits + 1; count; count--) {
		bool out = left ? a >> (bits - 1) & 1 : a & 1;

		a = left ? a << 1 | *carry : a >> 1 | (uint64_t)*carry << (bits - 1);
		a &= mask_bytes(bits / 8);
		*carry = out;
	}
	return a;
}

static uint64_t rotate(uint64_t a, unsigned count, unsigned bits)
{
	count %= bits;
	return count ? a << count | a >> (bits - count) : a;
}

/* The last bit that leaves on the left; 0 when only zeroes came after the value's own. */
static bool bit_out_left(uint64_t a, unsigned count, unsigned bits)
{
	return count <= bits && (a >> (bits - count) & 1);
}

static uint64_t shift_value(enum emul_op op, uint64_t a, unsigned count, unsigned size, bool *carry)
{
	unsigned bits = size * 8;
	int64_t extended = (int64_t)alu_sign_extend(a, size);

	switch (op) {
	case EMUL_OP_ROL:
		a = rotate(a, count, bits) & mask_bytes(size);
		*carry = a & 1;
		return a;
	case EMUL_OP_ROR:
		a = rotate(a, bits - count % bits, bits) & mask_bytes(size);
		*carry = a >> (bits - 1);
		return a;
	case EMUL_OP_RCL: return rotate_carry(a, count, bits, true, carry);
	case EMUL_OP_RCR: return rotate_carry(a, count, bits, false, carry);
	case EMUL_OP_SHL: *carry = bit_out_left(a, count, bits); return a << count;
	case EMUL_OP_SHR: *carry = a >> (count - 1) & 1; return a >> count;
	default: *carry = extended >> (count - 1) & 1; return (uint64_t)(extended >> count);
	}
}

/* OF is defined for single shifts; what longer ones leave differs between CPUs. */
static bool shift_overflow(
	enum emul_op op, uint64_t before, uint64_t result, unsigned bits, bool carry)
{
	bool top = result >> (bits - 1) & 1, next = result >> (bits - 2) & 1;

	switch (op) {
	case EMUL_OP_ROR:
	case EMUL_OP_RCR:
	case EMUL_OP_SHRD: return top != next;
	case EMUL_OP_SHR: return before >> (bits - 1) & 1;
	case EMUL_OP_SAR: return false;
	default: return top != carry;
	}
}

uint64_t alu_shift(enum emul_op op, uint64_t a, unsigned count, unsigned size, uint64_t *rflags)
{
	bool carry = *rflags & RFLAGS_CF;
	uint64_t result, flags, affected = RFLAGS_CF | RFLAGS_OF;

	count &= size == 8 ? 63 : 31;
	a &= mask_bytes(size);
	if (count == 0)
		return a;
	result = shift_value(op, a, count, size, &carry) & mask_bytes(size);
	flags = flag_if(carry, RFLAGS_CF) |
		flag_if(shift_overflow(op, a, result, size * 8, carry), RFLAGS_OF);
	if (op >= EMUL_OP_SHL) {
		affected |= FLAGS_RESULT | RFLAGS_AF;
		flags |= result_flags(result, size);
	}
	*rflags = (*rflags & ~affected) | flags;
	return result;
}

/* 16-bit operands shifted by more than 16 are undefined: a and b then take turns. */
uint64_t alu_double_shift(
	enum emul_op op, uint64_t a, uint64_t b, unsigned count, unsigned size, uint64_t *rflags)
{
	unsigned bits = size * 8;
	uint64_t mask = mask_bytes(size);
	bool carry = false;

	count &= size == 8 ? 63 : 31;
	a &= mask;
	b &= mask;
	if (count == 0)
		return a;
	for (unsigned i = 0; i < count; i++) {
		if (op == EMUL_OP_SHLD) {
			carry = a >> (bits - 1) & 1;
			a = (a << 1 | (b >> (bits - 1) & 1)) & mask;
			b = rotate(b, 1, bits) & mask;
		} else {
			carry = a & 1;
			a = a >> 1 | (b & 1) << (bits - 1);
			b = rotate(b, bits - 1, bits) & mask;
		}
	}
	*rflags &= ~(RFLAGS_CF | RFLAGS_OF | RFLAGS_AF | FLAGS_RESULT);
	*rflags |= flag_if(carry, RFLAGS_CF) | result_flags(a, size) |
		   flag_if(shift_overflow(op, 0, a, bits, carry), RFLAGS_OF);
	return a;
}

bool alu_scan(enum emul_op op, uint64_t *value, unsigned size, uint64_t *rflags)
{
	const uint64_t cleared = RFLAGS_OF | RFLAGS_AF | RFLAGS_CF | FLAGS_RESULT;
	uint64_t v = *value & mask_bytes(size), flags = 0;
	unsigned bits = size * 8, first = v ? (unsigned)__builtin_ctzll(v) : bits;
	unsigned zeroes = v ? (unsigned)__builtin_clzll(v) - (64 - bits) : bits;

	switch (op) {
	case EMUL_OP_TZCNT:
	case EMUL_OP_LZCNT:
		*value = op == EMUL_OP_TZCNT ? first : zeroes;
		flags = flag_if(v == 0, RFLAGS_CF) | flag_if(*value == 0, RFLAGS_ZF);
		break;
	case EMUL_OP_POPCNT:
		for (*value = 0; v; v &= v - 1)
			++*value;
		flags = flag_if(*value == 0, RFLAGS_ZF);
		break;
	default:
		*value = op == EMUL_OP_BSF ? first : bits - 1 - zeroes;
		flags = flag_if(v == 0, RFLAGS_ZF);
		if (v == 0 || !__builtin_parity((unsigned)*value))
			flags |= RFLAGS_PF;
		break;
	}
	*rflags = (*rflags & ~cleared) | flags;
	return v != 0 || (op != EMUL_OP_BSF && op != EMUL_OP_BSR);
}

/* The Castagnoli polynomial with its bits reversed (SDM vol. 2, CRC32). */
uint32_t alu_crc32c(uint32_t crc, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++) {
		crc ^= value >> (i * 8) & 0xff;
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}
