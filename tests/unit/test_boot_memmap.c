/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader's memory map: an independent page-by-page model says what every page must be, and the
 * list must be sorted, disjoint and merged after every single paint.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "boot/memmap.h"

#define PAGES 64u
#define WB    UEFI_ATTR_WB

struct fixture {
	struct bootinfo_mem *range;
	struct boot_memmap map;
	uint8_t model[PAGES];
};

/* The storage is exactly as large as asked for: the sanitizer sees one write too many. */
static void fixture_init(struct fixture *f, unsigned max)
{
	memset(f, 0, sizeof(*f));
	f->range = calloc(max ? max : 1, sizeof(f->range[0]));
	assert_non_null(f->range);
	f->map = (struct boot_memmap){f->range, 0, max};
}

static void check_list(const struct boot_memmap *m)
{
	assert_true(m->count <= m->max);
	for (unsigned i = 0; i < m->count; i++) {
		const struct bootinfo_mem *r = &m->range[i];

		assert_true(r->size > 0);
		assert_true(((r->base | r->size) & (PAGE_SIZE - 1)) == 0);
		if (!i)
			continue;
		assert_true(r[-1].base + r[-1].size <= r->base);
		assert_false(r[-1].base + r[-1].size == r->base && r[-1].type == r->type);
	}
}

static unsigned type_at(const struct boot_memmap *m, uint64_t address)
{
	for (unsigned i = 0; i < m->count; i++) {
		if (address >= m->range[i].base && address - m->range[i].base < m->range[i].size)
			return m->range[i].type;
	}
	return 0;
}

static void check_model(const struct fixture *f)
{
	check_list(&f->map);
	for (unsigned p = 0; p < PAGES; p++)
		assert_int_equal(type_at(&f->map, p * PAGE_SIZE), f->model[p]);
}

static void test_paint_random(void **state)
{
	struct fixture f;
	(void)state;

	srand(1);
	for (unsigned round = 0; round < 300; round++) {
		fixture_init(&f, PAGES);
		for (unsigned step = 0; step < 40; step++) {
			unsigned first = (unsigned)rand() % PAGES;
			unsigned n = 1 + (unsigned)rand() % (PAGES - first);
			unsigned type = 1 + (unsigned)rand() % 3;

			n = n > 8 && step > 5 ? 1 + n % 8 : n;
			assert_int_equal(boot_memmap_paint(&f.map, first * PAGE_SIZE,
						 (first + n) * PAGE_SIZE, type),
				OK);
			memset(&f.model[first], (int)type, n);
			check_model(&f);
		}
		free(f.range);
	}
}

static void test_paint_full(void **state)
{
	struct fixture f;
	(void)state;

	fixture_init(&f, 2);
	assert_int_equal(boot_memmap_paint(&f.map, 0, 8 * PAGE_SIZE, 1), OK);
	/* A hole in the middle needs three. */
	assert_int_equal(boot_memmap_paint(&f.map, 2 * PAGE_SIZE, 3 * PAGE_SIZE, 2), E_NOMEM);
	memset(f.model, 1, 8);
	check_model(&f);
	assert_int_equal(boot_memmap_paint(&f.map, 7 * PAGE_SIZE, 9 * PAGE_SIZE, 2), OK);
	memset(&f.model[7], 2, 2);
	check_model(&f);
	free(f.range);
}

/* A firmware whose descriptors are longer than ours, as all are today. */
struct wide_desc {
	struct boot_uefi_desc d;
	uint64_t future;
};
_Static_assert(sizeof(struct wide_desc) == 48, "a usual stride");

static struct wide_desc desc(uint32_t type, uint64_t base, uint64_t pages, uint64_t attr)
{
	return (struct wide_desc){{type, 0xa5a5a5a5, base, 0, pages, attr}, ~0ull};
}

static void test_types(void **state)
{
	static const struct {
		uint32_t uefi;
		uint64_t attr;
		unsigned type;
	} row[] = {
		{UEFI_RESERVED, WB, BOOT_MEM_FIRMWARE},
		{UEFI_LOADER_CODE, WB, BOOT_MEM_LOADER},
		{UEFI_LOADER_DATA, WB, BOOT_MEM_LOADER},
		{UEFI_BOOT_CODE, WB, BOOT_MEM_FREE},
		{UEFI_BOOT_DATA, WB, BOOT_MEM_FREE},
		{UEFI_RUNTIME_CODE, WB | UEFI_ATTR_RUNTIME, BOOT_MEM_FIRMWARE},
		{UEFI_RUNTIME_DATA, WB | UEFI_ATTR_RUNTIME, BOOT_MEM_FIRMWARE},
		{UEFI_CONVENTIONAL, WB, BOOT_MEM_FREE},
		{UEFI_UNUSABLE, WB, BOOT_MEM_FIRMWARE},
		{UEFI_ACPI_RECLAIM, WB, BOOT_MEM_ACPI},
		{UEFI_ACPI_NVS, WB, BOOT_MEM_FIRMWARE},
		{UEFI_MMIO, 1, BOOT_MEM_MMIO},
		{UEFI_MMIO_PORT, 1, BOOT_MEM_MMIO},
		{UEFI_PAL_CODE, WB, BOOT_MEM_FIRMWARE},
		{UEFI_PERSISTENT, WB, BOOT_MEM_FIRMWARE},
		{15, WB, BOOT_MEM_FIRMWARE},
		{0x80000000u, WB, BOOT_MEM_FIRMWARE},
		{UEFI_CONVENTIONAL, 1, BOOT_MEM_FIRMWARE},
		{UEFI_BOOT_DATA, 0, BOOT_MEM_FIRMWARE},
		{UEFI_LOADER_DATA, 6, BOOT_MEM_FIRMWARE},
		{UEFI_CONVENTIONAL, WB | UEFI_ATTR_SP, BOOT_MEM_FIRMWARE},
		{UEFI_CONVENTIONAL, WB | UEFI_ATTR_RUNTIME, BOOT_MEM_FIRMWARE},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
		struct wide_desc d = desc(row[i].uefi, MIB(1), 2, row[i].attr);
		struct fixture f;

		fixture_init(&f, (unsigned)boot_memmap_bound(1, 0));
		assert_int_equal(boot_memmap_build(&f.map, &d, sizeof(d), sizeof(d), NULL, 0), OK);
		assert_int_equal(f.map.count, 1);
		assert_int_equal(f.range[0].base, MIB(1));
		assert_int_equal(f.range[0].size, 2 * PAGE_SIZE);
		assert_int_equal(f.range[0].type, row[i].type);
		free(f.range);
	}
}

static void test_carve(void **state)
{
	const struct wide_desc descs[] = {
		desc(UEFI_ACPI_RECLAIM, 0x300000, 1, WB),
		desc(UEFI_LOADER_DATA, 0x100000, 0x100, WB),
		desc(UEFI_CONVENTIONAL, 0x200000, 0x80, WB),
		desc(UEFI_BOOT_DATA, 0x280000, 0x80, WB),
		desc(UEFI_MMIO, 0xfec00000, 1, 1),
	};
	const struct boot_own own[] = {
		{0x140000, 0x3001, BOOT_MEM_HYPERVISOR},
		{0x144000, 1, BOOT_MEM_FILES},
		{0x145000, 0, BOOT_MEM_FILES},
		{0x1ff000, 0x1000, BOOT_MEM_FILES},
	};
	const struct bootinfo_mem want[] = {
		{0x100000, 0x40000, BOOT_MEM_LOADER, 0},
		{0x140000, 0x4000, BOOT_MEM_HYPERVISOR, 0},
		{0x144000, 0x1000, BOOT_MEM_FILES, 0},
		{0x145000, 0xba000, BOOT_MEM_LOADER, 0},
		{0x1ff000, 0x1000, BOOT_MEM_FILES, 0},
		{0x200000, 0x100000, BOOT_MEM_FREE, 0},
		{0x300000, 0x1000, BOOT_MEM_ACPI, 0},
		{0xfec00000, 0x1000, BOOT_MEM_MMIO, 0},
	};
	struct fixture f;
	(void)state;

	fixture_init(&f, (unsigned)boot_memmap_bound(ARRAY_SIZE(descs), ARRAY_SIZE(own)));
	assert_int_equal(boot_memmap_build(&f.map, descs, sizeof(descs), sizeof(descs[0]), own,
				 ARRAY_SIZE(own)),
		OK);
	check_list(&f.map);
	assert_int_equal(f.map.count, ARRAY_SIZE(want));
	assert_memory_equal(f.range, want, sizeof(want));
	free(f.range);
}

static void test_overlap_stricter_wins(void **state)
{
	const struct wide_desc descs[] = {
		desc(UEFI_MMIO, 0x3000, 1, 1),
		desc(UEFI_RESERVED, 0x2000, 3, WB),
		desc(UEFI_CONVENTIONAL, 0, 16, WB),
		desc(UEFI_LOADER_DATA, 0x8000, 1, WB),
	};
	static const uint8_t want[] = {1, 1, 6, 7, 6, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1};
	struct fixture f;
	(void)state;

	fixture_init(&f, (unsigned)boot_memmap_bound(ARRAY_SIZE(descs), 0));
	assert_int_equal(
		boot_memmap_build(&f.map, descs, sizeof(descs), sizeof(descs[0]), NULL, 0), OK);
	memcpy(f.model, want, sizeof(want));
	check_model(&f);
	free(f.range);
}

static void test_nonsense(void **state)
{
	const struct wide_desc descs[] = {
		desc(UEFI_CONVENTIONAL, 0x1000, 0, WB),  /* nothing */
		desc(UEFI_CONVENTIONAL, 0x10800, 2, WB), /* shrinks to one page */
		desc(UEFI_RESERVED, 0x20800, 1, WB),     /* grows to two */
		desc(UEFI_RESERVED, 0x30800, 0, WB),     /* nothing */
		desc(UEFI_MMIO, BIT(51), UINT64_MAX, 1), /* ends where addresses end */
		desc(UEFI_CONVENTIONAL, UINT64_MAX & ~0xfffull, 9, WB), /* beyond them */
	};
	const struct bootinfo_mem want[] = {
		{0x11000, 0x1000, BOOT_MEM_FREE, 0},
		{0x20000, 0x2000, BOOT_MEM_FIRMWARE, 0},
		{BIT(51), BIT(51), BOOT_MEM_MMIO, 0},
	};
	struct fixture f;
	(void)state;

	fixture_init(&f, (unsigned)boot_memmap_bound(ARRAY_SIZE(descs), 0));
	assert_int_equal(
		boot_memmap_build(&f.map, descs, sizeof(descs), sizeof(descs[0]), NULL, 0), OK);
	assert_int_equal(f.map.count, ARRAY_SIZE(want));
	assert_memory_equal(f.range, want, sizeof(want));
	/* A stride shorter than the descriptor would read neighbours; a part of one is ignored. */
	assert_int_equal(boot_memmap_build(&f.map, descs, sizeof(descs), 39, NULL, 0), E_INVAL);
	assert_int_equal(
		boot_memmap_build(&f.map, descs, sizeof(descs[0]) - 1, sizeof(descs[0]), NULL, 0),
		OK);
	assert_int_equal(f.map.count, 0);
	free(f.range);
}

/* Random maps, overlapping as no firmware's should: the storage bound must hold. */
static void test_bound(void **state)
{
	struct wide_desc descs[12];
	struct boot_own own[4];
	struct fixture f;
	(void)state;

	srand(2);
	for (unsigned round = 0; round < 2000; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(descs); i++)
			descs[i] = desc((uint32_t)rand() % 16, (uint64_t)(rand() % 60) * PAGE_SIZE,
				(uint64_t)(rand() % 12), WB);
		for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
			own[i] = (struct boot_own){
				(uint64_t)(rand() % 60) * PAGE_SIZE, PAGE_SIZE, BOOT_MEM_FILES};
		fixture_init(&f, (unsigned)boot_memmap_bound(ARRAY_SIZE(descs), ARRAY_SIZE(own)));
		assert_int_equal(boot_memmap_build(&f.map, descs, sizeof(descs), sizeof(descs[0]),
					 own, ARRAY_SIZE(own)),
			OK);
		check_list(&f.map);
		free(f.range);
	}
}

static void test_take_page(void **state)
{
	struct fixture f;
	(void)state;

	fixture_init(&f, 16);
	assert_int_equal(boot_memmap_take_page(&f.map, 0x9f000), 0);
	assert_int_equal(boot_memmap_paint(&f.map, 0, 0x1000, BOOT_MEM_FREE), OK);
	assert_int_equal(boot_memmap_take_page(&f.map, 0x9f000), 0); /* never page 0 */
	assert_int_equal(type_at(&f.map, 0), BOOT_MEM_FREE);
	assert_int_equal(boot_memmap_paint(&f.map, 0x5000, 0x8000, BOOT_MEM_FREE), OK);
	assert_int_equal(boot_memmap_paint(&f.map, 0x8000, 0x9000, BOOT_MEM_FIRMWARE), OK);
	assert_int_equal(boot_memmap_take_page(&f.map, 0x9f000), 0x7000);
	assert_int_equal(type_at(&f.map, 0x7000), BOOT_MEM_LOADER);
	assert_int_equal(type_at(&f.map, 0x6000), BOOT_MEM_FREE);
	assert_int_equal(boot_memmap_paint(&f.map, 0x90000, 0xa0000, BOOT_MEM_FREE), OK);
	assert_int_equal(boot_memmap_take_page(&f.map, 0x9f000), 0x9e000);
	check_list(&f.map);
	free(f.range);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paint_random),
		cmocka_unit_test(test_paint_full),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_carve),
		cmocka_unit_test(test_overlap_stricter_wins),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_take_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
