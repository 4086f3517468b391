/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables the hypervisor is entered with, judged by a page walk written for this test: every
 * address that must be mapped is, nothing that must not be, and the pool is never outgrown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "boot/paging.h"

#define UNMAPPED UINT64_MAX
#define HV_PHYS  0x12600000ull

struct machine {
	unsigned levels;
	bool gib_pages;
};

static const struct machine machines[] = {{4, false}, {4, true}, {5, false}, {5, true}};

/* SDM vol. 3, "Hierarchical paging structures". *level: 1, 2 or 3, the size of the page found. */
static uint64_t translate(const struct boot_paging *p, uint64_t va, unsigned *level)
{
	const uint64_t *table = p->pool;

	for (unsigned l = p->levels; l; l--) {
		unsigned shift = 12 + 9 * (l - 1);
		uint64_t e = table[(va >> shift) % 512], offset = (1ull << shift) - 1;

		if (!(e & 1))
			return UNMAPPED;
		assert_true(e & 2);
		if (l == 1 || (e & 0x80)) {
			assert_true(l <= (p->gib_pages ? 3u : 2u));
			*level = l;
			assert_int_equal(e & 0x000ffffffffff000ull & offset, 0);
			return (e & 0x000ffffffffff000ull) | (va & offset);
		}
		assert_int_equal(e & 0xfffull, 3);
		table = (const uint64_t *)(e & 0x000ffffffffff000ull);
		assert_true(table > p->pool && table < p->pool + 512 * p->used);
	}
	return UNMAPPED;
}

static struct boot_paging build(
	const struct machine *m, const struct bootinfo_mem *mem, unsigned count, uint64_t hv_size)
{
	struct boot_paging p = {NULL, 0, 0, m->levels, m->gib_pages};

	p.max = boot_paging_bound(&p, mem, count, hv_size);
	p.pool = aligned_alloc(PAGE_SIZE, p.max * PAGE_SIZE);
	assert_non_null(p.pool);
	memset(p.pool, 0, p.max * PAGE_SIZE);
	assert_int_equal(boot_paging_build(&p, mem, count, HV_PHYS, hv_size), OK);
	assert_true(p.used <= p.max);
	return p;
}

static void expect(const struct boot_paging *p, uint64_t va, uint64_t want)
{
	unsigned level;

	assert_int_equal(translate(p, va, &level), want);
}

static void test_low(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(machines); i++) {
		struct boot_paging p = build(&machines[i], NULL, 0, 0x1000);
		unsigned level;

		for (uint64_t a = 0; a < GIB(4); a += MIB(1)) {
			assert_int_equal(translate(&p, a + 5, &level), a + 5);
			assert_int_equal(level, 2); /* MTRR types differ inside a GiB */
		}
		expect(&p, GIB(4) - 1, GIB(4) - 1);
		expect(&p, GIB(4), UNMAPPED);
		free(p.pool);
	}
}

static void test_hypervisor(void **state)
{
	static const uint64_t sizes[] = {0x1000, 0x7000, MIB(2), MIB(2) + 0x3000, MIB(9) - 0x1000};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(machines) * ARRAY_SIZE(sizes); i++) {
		uint64_t size = sizes[i / ARRAY_SIZE(machines)];
		struct boot_paging p = build(&machines[i % ARRAY_SIZE(machines)], NULL, 0, size);

		for (uint64_t at = 0; at < size; at += PAGE_SIZE)
			expect(&p, HV_VIRT_BASE + at, HV_PHYS + at);
		/* Exactly the image: its neighbours are other people's memory. */
		expect(&p, HV_VIRT_BASE + size, UNMAPPED);
		expect(&p, HV_VIRT_BASE - 1, UNMAPPED);
		free(p.pool);
	}
}

static void test_high(void **state)
{
	static const struct bootinfo_mem mem[] = {
		{0, GIB(3), BOOT_MEM_FREE, 0},
		{GIB(4) - 0x1000, MIB(1), BOOT_MEM_LOADER, 0},
		{GIB(5) - 0x3000, GIB(2) + 0x5000, BOOT_MEM_FREE, 0},
		{GIB(7) + 0x2000, 0x1000, BOOT_MEM_ACPI, 0},
		{GIB(9), MIB(2), BOOT_MEM_FIRMWARE, 0},
		{GIB(11), GIB(1), BOOT_MEM_MMIO, 0},
		{GIB(600), GIB(1), BOOT_MEM_FILES, 0},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(machines); i++) {
		struct boot_paging p = build(&machines[i], mem, ARRAY_SIZE(mem), 0x5000);
		unsigned level;

		expect(&p, GIB(4) + MIB(1) - 0x1001, GIB(4) + MIB(1) - 0x1001);
		expect(&p, GIB(4) + MIB(2), UNMAPPED);
		expect(&p, GIB(5) - MIB(2) - 1, UNMAPPED);
		for (uint64_t a = GIB(5) - 0x3000; a < GIB(7) + 0x3000; a += 0x1000)
			expect(&p, a, a);
		translate(&p, GIB(6), &level);
		assert_int_equal(level, machines[i].gib_pages ? 3 : 2);
		expect(&p, GIB(7) + MIB(2), UNMAPPED);
		expect(&p, GIB(9), UNMAPPED);
		expect(&p, GIB(11), UNMAPPED);
		expect(&p, GIB(600), GIB(600));
		expect(&p, GIB(601) - 1, GIB(601) - 1);
		expect(&p, GIB(601), UNMAPPED);
		free(p.pool);
	}
}

/* Memory that 4 levels cannot reach is left out, 5 levels reach it. */
static void test_far(void **state)
{
	static const struct bootinfo_mem mem[] = {
		{BIT(47) - GIB(1), GIB(2), BOOT_MEM_FREE, 0},
		{BIT(52) - GIB(1), GIB(1), BOOT_MEM_FREE, 0},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(machines); i++) {
		struct boot_paging p = build(&machines[i], mem, ARRAY_SIZE(mem), 0x5000);
		bool far = machines[i].levels == 5;

		expect(&p, BIT(47) - 1, BIT(47) - 1);
		if (far) {
			expect(&p, BIT(47), BIT(47));
			expect(&p, BIT(52) - 1, BIT(52) - 1);
		} else {
			/*
			 * The bits above 47 are not translated: the upper half is the hypervisor's.
			 */
			expect(&p, ~0ull << 47, UNMAPPED);
		}
		expect(&p, HV_VIRT_BASE, HV_PHYS);
		free(p.pool);
	}
}

/* Random maps: the bound holds, and a pool of one table less than used is refused, not overrun. */
static void test_bound(void **state)
{
	(void)state;
	srand(4);
	for (unsigned round = 0; round < 60; round++) {
		struct bootinfo_mem mem[6];
		struct boot_paging p;
		uint64_t at = GIB(3), hv_size = (uint64_t)(1 + rand() % 3000) * PAGE_SIZE;

		for (unsigned i = 0; i < ARRAY_SIZE(mem); i++) {
			at += (uint64_t)(rand() % 3000) * MIB(1) +
			      (uint64_t)(rand() % 99) * PAGE_SIZE;
			mem[i] = (struct bootinfo_mem){
				at, (uint64_t)(1 + rand() % 900000) * PAGE_SIZE, BOOT_MEM_FREE, 0};
			at += mem[i].size;
		}
		p = build(&machines[round % ARRAY_SIZE(machines)], mem, ARRAY_SIZE(mem), hv_size);
		for (unsigned i = 0; i < ARRAY_SIZE(mem); i++) {
			expect(&p, mem[i].base, mem[i].base);
			expect(&p, mem[i].base + mem[i].size - 1, mem[i].base + mem[i].size - 1);
		}
		p.max = p.used - 1;
		memset(p.pool, 0, p.used * PAGE_SIZE);
		assert_int_equal(
			boot_paging_build(&p, mem, ARRAY_SIZE(mem), HV_PHYS, hv_size), E_NOMEM);
		free(p.pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_low),
		cmocka_unit_test(test_hypervisor),
		cmocka_unit_test(test_high),
		cmocka_unit_test(test_far),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
