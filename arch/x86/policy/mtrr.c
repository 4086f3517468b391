/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/policy/mtrr.h"
#include "arch/x86/defs/msr.h"

#define FIXED_END    0x100000ull
#define ADDRESS_MASK 0x000ffffffffff000ull
#define ADDRESS_END  BIT(52)

static unsigned fixed_type(const struct mtrr_state *m, hpa_t pa, hpa_t *end)
{
	static const struct {
		uint32_t base, size; /* of one of a register's eight ranges */
		unsigned first;      /* register */
	} parts[] = {{0x00000, 0x10000, 0}, {0x80000, 0x4000, 1}, {0xc0000, 0x1000, 3}};
	unsigned part = pa < 0x80000 ? 0 : pa < 0xc0000 ? 1 : 2;
	uint64_t n = (pa - parts[part].base) / parts[part].size;

	*end = parts[part].base + (n + 1) * parts[part].size;
	/* Bits 4:3 of each byte are AMD's DRAM routing. */
	return m->fixed[parts[part].first + n / 8] >> (n % 8 * 8) & 7;
}

/* Is pa in this variable range? *end shrinks to where the answer may change. */
static bool variable_matches(uint64_t base, uint64_t mask, hpa_t pa, hpa_t *end)
{
	uint64_t low = mask & -mask, span, first;
	bool inside = ((pa ^ base) & mask) == 0;

	if (!mask)
		return true;
	if (mask & (mask + low)) {
		/* A mask with holes: the answer is the same in each of its smallest blocks. */
		*end = MIN(*end, align_down(pa, low) + low);
		return inside;
	}
	/* One range of `low` bytes in each `span`; normally the only span is all there is. */
	span = mask + low;
	first = align_down(pa, span) | (base & mask);
	if (inside)
		*end = MIN(*end, first + low);
	else if (pa < first)
		*end = MIN(*end, first);
	else
		*end = MIN(*end, align_down(pa, span) + span);
	return inside;
}

/* SDM vol. 3, "MTRR Precedences": UC wins, WT beats WB, any other overlap is undefined. */
static unsigned combine(unsigned a, unsigned b)
{
	if (a == b)
		return a;
	if ((a == MEMTYPE_WT && b == MEMTYPE_WB) || (a == MEMTYPE_WB && b == MEMTYPE_WT))
		return MEMTYPE_WT;
	return MEMTYPE_UC;
}

static unsigned default_type(const struct mtrr_state *m, hpa_t pa, hpa_t *end)
{
	if (m->wb_top > GIB(4) && pa < m->wb_top) {
		*end = MIN(*end, pa < GIB(4) ? GIB(4) : m->wb_top);
		if (pa >= GIB(4))
			return MEMTYPE_WB;
	}
	return m->def_type & 7;
}

unsigned mtrr_type(const struct mtrr_state *m, hpa_t pa, hpa_t *end)
{
	unsigned count = (unsigned)MIN(m->cap & MTRRCAP_VCNT_MASK, (uint64_t)MTRR_VARIABLE_MAX);
	unsigned type = 0;
	bool found = false;

	*end = pa < ADDRESS_END ? ADDRESS_END : UINT64_MAX;
	if (!(m->def_type & MTRR_DEF_TYPE_E))
		return MEMTYPE_UC;
	if (pa < FIXED_END && (m->cap & MTRRCAP_FIX) && (m->def_type & MTRR_DEF_TYPE_FE))
		return fixed_type(m, pa, end);
	for (unsigned i = 0; i < count; i++) {
		uint64_t mask = m->mask[i] & ADDRESS_MASK;
		unsigned own = m->base[i] & 7;

		if (!(m->mask[i] & MTRR_PHYSMASK_V) ||
			!variable_matches(m->base[i] & ADDRESS_MASK, mask, pa, end))
			continue;
		type = found ? combine(type, own) : own;
		found = true;
	}
	return found ? type : default_type(m, pa, end);
}

bool mtrr_find(
	const struct mtrr_state *m, hpa_t from, hpa_t end, bool wanted, hpa_t *base, uint64_t *size)
{
	bool found = false;
	hpa_t next;

	for (hpa_t at = from; at < end; at = next) {
		bool is_wb = mtrr_type(m, at, &next) == MEMTYPE_WB;

		if (is_wb != wanted && found)
			break;
		if (is_wb != wanted)
			continue;
		if (!found)
			*base = at;
		*size = MIN(next, end) - *base;
		found = true;
	}
	return found;
}
