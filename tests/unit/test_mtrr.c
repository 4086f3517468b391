/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory types by MTRR values: fixed, variable, overlaps, defaults, and the search for write-back
 * stretches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/msr.h"
#include "arch/x86/policy/mtrr.h"

#define PHYS_BITS  39
#define MASK(size) (((BIT(PHYS_BITS) - 1) & ~((uint64_t)(size)-1)) | MTRR_PHYSMASK_V)

static struct mtrr_state m;

/* As firmware leaves them: WB by default, UC below 4 GiB from 2 GiB on, the legacy hole. */
static int setup(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.cap = MTRRCAP_FIX | 10;
	m.def_type = MTRR_DEF_TYPE_E | MTRR_DEF_TYPE_FE | MEMTYPE_WB;
	for (unsigned i = 0; i < MTRR_FIXED; i++)
		m.fixed[i] = 0x0606060606060606ull;
	m.base[0] = GIB(2) | MEMTYPE_UC;
	m.mask[0] = MASK(GIB(2));
	return 0;
}

static void assert_type(hpa_t pa, unsigned type, hpa_t end)
{
	hpa_t found;

	assert_int_equal(mtrr_type(&m, pa, &found), type);
	assert_int_equal(found, end);
}

static void variable_ranges(void **state)
{
	(void)state;
	assert_type(MIB(1), MEMTYPE_WB, GIB(2));
	assert_type(GIB(2) - 1, MEMTYPE_WB, GIB(2));
	assert_type(GIB(2), MEMTYPE_UC, GIB(4));
	assert_type(GIB(4) - 1, MEMTYPE_UC, GIB(4));
	assert_type(GIB(4), MEMTYPE_WB, BIT(PHYS_BITS));
	m.mask[0] &= ~MTRR_PHYSMASK_V;
	assert_type(GIB(2), MEMTYPE_WB, BIT(52));
	/* More pairs than the CPU says it has do not count. */
	m.mask[0] |= MTRR_PHYSMASK_V;
	m.cap = MTRRCAP_FIX;
	assert_type(GIB(2), MEMTYPE_WB, BIT(52));
}

static void fixed_ranges(void **state)
{
	(void)state;
	m.fixed[0] = 0x0606060606060506ull; /* 10000h: WP */
	m.fixed[2] = 0;                     /* A0000h: UC */
	m.fixed[3] = 0x0506060606060606ull; /* C7000h: WP */
	assert_type(0, MEMTYPE_WB, 0x10000);
	assert_type(0x1ffff, MEMTYPE_WP, 0x20000);
	assert_type(0x80000, MEMTYPE_WB, 0x84000);
	assert_type(0xa0000, MEMTYPE_UC, 0xa4000);
	assert_type(0xbc000, MEMTYPE_UC, 0xc0000);
	assert_type(0xc6fff, MEMTYPE_WB, 0xc7000);
	assert_type(0xc7000, MEMTYPE_WP, 0xc8000);
	assert_type(0xff000, MEMTYPE_WB, 0x100000);
	/* Neither off nor absent ones count. */
	m.def_type &= ~MTRR_DEF_TYPE_FE;
	assert_type(0xa0000, MEMTYPE_WB, GIB(2));
	m.def_type |= MTRR_DEF_TYPE_FE;
	m.cap &= ~MTRRCAP_FIX;
	assert_type(0xa0000, MEMTYPE_WB, GIB(2));
}

static void switched_off_all_is_uncached(void **state)
{
	(void)state;
	m.def_type = MTRR_DEF_TYPE_FE | MEMTYPE_WB;
	assert_type(0, MEMTYPE_UC, BIT(52));
	assert_type(GIB(8), MEMTYPE_UC, BIT(52));
}

static void overlaps(void **state)
{
	static const struct {
		unsigned a, b, type;
	} pairs[] = {
		{MEMTYPE_WB, MEMTYPE_WB, MEMTYPE_WB},
		{MEMTYPE_WB, MEMTYPE_UC, MEMTYPE_UC},
		{MEMTYPE_UC, MEMTYPE_WT, MEMTYPE_UC},
		{MEMTYPE_WB, MEMTYPE_WT, MEMTYPE_WT},
		{MEMTYPE_WT, MEMTYPE_WB, MEMTYPE_WT},
		{MEMTYPE_WC, MEMTYPE_WB, MEMTYPE_UC}, /* undefined: the safe answer */
		{MEMTYPE_WP, MEMTYPE_WC, MEMTYPE_UC},
	};

	(void)state;
	m.def_type = MTRR_DEF_TYPE_E | MEMTYPE_UC;
	for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++) {
		m.base[0] = GIB(8) | pairs[i].a;
		m.mask[0] = MASK(GIB(8));
		m.base[1] = GIB(9) | pairs[i].b;
		m.mask[1] = MASK(MIB(16));
		assert_type(GIB(8), pairs[i].a, GIB(9));
		assert_type(GIB(9), pairs[i].type, GIB(9) + MIB(16));
		assert_type(GIB(9) + MIB(16), pairs[i].a, GIB(16));
		assert_type(GIB(16), MEMTYPE_UC, BIT(PHYS_BITS));
	}
}

/* Every page by the definition, against the stretches; also for masks with holes and short ones. */
static void masks_by_definition(void **state)
{
	static const uint64_t masks[] = {
		MASK(MIB(4)),
		0x7fff400000ull | MTRR_PHYSMASK_V,
		0x0000c00000ull | MTRR_PHYSMASK_V, /* repeats every 16 MiB */
		0x0000a00000ull | MTRR_PHYSMASK_V,
		MTRR_PHYSMASK_V, /* everything */
		0x000ffffffffff000ull | MTRR_PHYSMASK_V,
	};

	(void)state;
	m.def_type = MTRR_DEF_TYPE_E | MEMTYPE_WB;
	m.base[0] = MIB(4) | MEMTYPE_UC;
	for (unsigned i = 0; i < ARRAY_SIZE(masks); i++) {
		hpa_t end = 0;
		unsigned type = 0;

		m.mask[0] = masks[i];
		for (hpa_t pa = 0; pa < MIB(64); pa += PAGE_SIZE) {
			bool in = ((pa ^ MIB(4)) & masks[i] & ~0xfffull) == 0;

			if (pa >= end)
				type = mtrr_type(&m, pa, &end);
			assert_true(end > pa);
			assert_int_equal(type, in ? MEMTYPE_UC : MEMTYPE_WB);
		}
	}
}

static void amd_forces_high_memory(void **state)
{
	(void)state;
	m.def_type = MTRR_DEF_TYPE_E | MEMTYPE_UC;
	m.base[0] = MEMTYPE_WB;
	m.mask[0] = MASK(GIB(2));
	m.base[1] = GIB(5) | MEMTYPE_WC;
	m.mask[1] = MASK(GIB(1));
	m.wb_top = GIB(8);
	assert_type(0, MEMTYPE_WB, GIB(2));
	assert_type(GIB(2), MEMTYPE_UC, GIB(4));
	assert_type(GIB(4), MEMTYPE_WB, GIB(5));
	assert_type(GIB(5), MEMTYPE_WC, GIB(6));
	assert_type(GIB(6), MEMTYPE_WB, GIB(8));
	assert_type(GIB(8), MEMTYPE_UC, BIT(PHYS_BITS));
}

static void assert_found(
	hpa_t from, hpa_t end, bool wanted, hpa_t expected_base, uint64_t expected_size)
{
	hpa_t base = 0;
	uint64_t size = 0;

	assert_int_equal(mtrr_find(&m, from, end, wanted, &base, &size), expected_size != 0);
	assert_int_equal(base, expected_base);
	assert_int_equal(size, expected_size);
}

static void stretches_merge(void **state)
{
	(void)state;
	m.base[1] = GIB(1) | MEMTYPE_WB; /* says what the default says */
	m.mask[1] = MASK(MIB(64));
	assert_found(0, GIB(3), true, 0, GIB(2));
	assert_found(0, GIB(3), false, GIB(2), GIB(1));
	assert_found(GIB(3), GIB(5), true, GIB(4), GIB(1));
	assert_found(MIB(5), MIB(6), true, MIB(5), MIB(1));
	assert_found(MIB(5), MIB(6), false, 0, 0);
	assert_found(GIB(2), GIB(3), true, 0, 0);
	assert_found(GIB(3), GIB(3), false, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(variable_ranges, setup),
		cmocka_unit_test_setup(fixed_ranges, setup),
		cmocka_unit_test_setup(switched_off_all_is_uncached, setup),
		cmocka_unit_test_setup(overlaps, setup),
		cmocka_unit_test_setup(masks_by_definition, setup),
		cmocka_unit_test_setup(amd_forces_high_memory, setup),
		cmocka_unit_test_setup(stretches_merge, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
