/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: layout, bounds, pieces. Every chunk is its own allocation, so ASan sees an overrun.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "hv/mm/guest_mem.h"

#define RAM    MIB(7) /* the last chunk is half a chunk */
#define CHUNKS 4

struct fixture {
	struct guest_mem mem;
	void *chunk[CHUNKS];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->mem.chunk = f->chunk;
	guest_mem_layout_pc(&f->mem, RAM);
	for (unsigned i = 0; i < CHUNKS; i++)
		f->chunk[i] = calloc(1, i == CHUNKS - 1 ? MIB(1) : GUEST_CHUNK_SIZE);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < CHUNKS; i++)
		free(f->chunk[i]);
	free(f);
	return 0;
}

static void region_is(const struct guest_mem *m, unsigned i, gpa_t base, gpa_t end, uint64_t offset)
{
	assert_true(i < m->region_count);
	assert_int_equal(m->region[i].base, base);
	assert_int_equal(m->region[i].size, end - base);
	assert_int_equal(m->region[i].offset, offset);
}

static void layout_has_the_vga_hole_and_the_pci_hole(void **state)
{
	struct guest_mem m = {0};

	(void)state;
	guest_mem_layout_pc(&m, GIB(5) + 123);
	assert_int_equal(m.ram_size, GIB(5));
	assert_int_equal(m.region_count, 4);
	region_is(&m, 0, 0, 0xa0000, 0);
	region_is(&m, 1, 0xb8000, 0xc0000, 0xb8000); /* its text memory */
	region_is(&m, 2, 0xc0000, GIB(2), 0xc0000);
	region_is(&m, 3, GIB(4), GIB(7), GIB(2));

	guest_mem_layout_pc(&m, GIB(2));
	assert_int_equal(m.region_count, 3);
	region_is(&m, 2, 0xc0000, GIB(2), 0xc0000);

	guest_mem_layout_pc(&m, GIB(2) + PAGE_SIZE);
	assert_int_equal(m.region_count, 4);
	region_is(&m, 3, GIB(4), GIB(4) + PAGE_SIZE, GIB(2));
}

static void layout_of_tiny_guests(void **state)
{
	struct guest_mem m = {0};

	(void)state;
	guest_mem_layout_pc(&m, 0);
	assert_int_equal(m.region_count, 0);
	guest_mem_layout_pc(&m, 0xb0000);
	assert_int_equal(m.region_count, 1);
	region_is(&m, 0, 0, 0xa0000, 0);
	guest_mem_layout_pc(&m, PAGE_SIZE);
	region_is(&m, 0, 0, PAGE_SIZE, 0);
}

static void map_gives_the_right_byte_and_what_is_left(void **state)
{
	struct fixture *f = *state;
	uint64_t left;

	assert_ptr_equal(guest_mem_map(&f->mem, 0x1234, 16, &left), (char *)f->chunk[0] + 0x1234);
	assert_int_equal(left, 0xa0000 - 0x1234);
	assert_ptr_equal(guest_mem_map(&f->mem, 0xc0000, 1, &left), (char *)f->chunk[0] + 0xc0000);
	assert_int_equal(left, MIB(2) - 0xc0000);
	assert_ptr_equal(guest_mem_map(&f->mem, MIB(6), MIB(1), &left), f->chunk[3]);
	assert_int_equal(left, MIB(1));
	assert_non_null(guest_mem_map(&f->mem, MIB(2) - 8, 8, NULL));
	assert_null(guest_mem_map(&f->mem, MIB(2) - 8, 9, &left)); /* crosses a chunk */
	assert_null(guest_mem_map(&f->mem, 0x9fff8, 9, NULL));     /* runs into the hole */
	assert_null(guest_mem_map(&f->mem, 0xa0000, 1, &left));
	assert_int_equal(left, 0);
	assert_null(guest_mem_map(&f->mem, 0xb7fff, 1, NULL));
	assert_null(guest_mem_map(&f->mem, 0xb7fff, 2, NULL));
	assert_ptr_equal(guest_mem_map(&f->mem, 0xb8000, 1, &left), (char *)f->chunk[0] + 0xb8000);
	assert_int_equal(left, 0x8000);
	assert_null(guest_mem_map(&f->mem, RAM, 0, NULL));
	assert_null(guest_mem_map(&f->mem, RAM - 1, 2, NULL));
	assert_null(guest_mem_map(&f->mem, UINT64_MAX, 1, NULL));
	assert_null(guest_mem_map(&f->mem, 8, UINT64_MAX, NULL));
}

static void high_ram_continues_where_low_ram_ends(void **state)
{
	static char first[1], high[1];
	void **chunk = calloc(GIB(3) / GUEST_CHUNK_SIZE, sizeof(*chunk));
	struct guest_mem m = {.chunk = chunk};

	(void)state;
	guest_mem_layout_pc(&m, GIB(3));
	chunk[0] = first;
	chunk[GIB(2) / GUEST_CHUNK_SIZE] = high;
	assert_ptr_equal(guest_mem_map(&m, GIB(4), 1, NULL), high);
	assert_null(guest_mem_map(&m, GIB(2), 1, NULL));
	assert_null(guest_mem_map(&m, GIB(4) - 1, 1, NULL));
	assert_null(guest_mem_map(&m, GIB(5), 1, NULL));
	assert_null(guest_mem_map(&m, MIB(2) + 8, 1, NULL)); /* a chunk that is absent is not RAM */
	assert_false(guest_mem_is_ram(&m, MIB(2) - 1, 2));
	free(chunk);
}

static void copies_cross_chunks(void **state)
{
	struct fixture *f = *state;
	uint64_t size = MIB(4) + 100;
	uint8_t *out = malloc(size), *in = malloc(size);

	for (uint64_t i = 0; i < size; i++)
		out[i] = (uint8_t)(i * 7 + (i >> 12));
	assert_int_equal(guest_mem_write(&f->mem, MIB(2) - 50, out, size), OK);
	assert_int_equal(guest_mem_read(&f->mem, MIB(2) - 50, in, size), OK);
	assert_memory_equal(in, out, size);
	assert_memory_equal((char *)f->chunk[1], out + 50, 1000);
	assert_memory_equal((char *)f->chunk[3], out + 50 + MIB(4), 50);
	assert_int_equal(((uint8_t *)f->chunk[0])[MIB(2) - 51], 0);

	assert_int_equal(guest_mem_fill(&f->mem, MIB(2) - 1, 0xee, 3), OK);
	assert_int_equal(((uint8_t *)f->chunk[0])[MIB(2) - 1], 0xee);
	assert_int_equal(((uint8_t *)f->chunk[1])[1], 0xee);
	assert_int_equal(((uint8_t *)f->chunk[1])[2], out[52]);
	free(out);
	free(in);
}

static void copies_are_all_or_nothing(void **state)
{
	static const struct {
		gpa_t gpa;
		uint64_t size;
	} bad[] = {
		{0x9fff0, 0x20},    /* end in the hole */
		{0xa0000, 1},       /* start in it */
		{0x9fff0, 0x20100}, /* both ends in RAM, the hole between */
		{RAM - 16, 17},     /* behind the end */
		{RAM, 1},
		{UINT64_MAX - 8, 8},
		{UINT64_MAX - 8, 17}, /* wraps */
		{16, UINT64_MAX - 8},
	};
	struct fixture *f = *state;
	uint8_t *buf = malloc(0x20100), *zero = calloc(1, 0x20100);

	memset(buf, 0x55, 0x20100);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(guest_mem_is_ram(&f->mem, bad[i].gpa, bad[i].size));
		assert_int_equal(guest_mem_write(&f->mem, bad[i].gpa, buf, bad[i].size), E_RANGE);
		assert_int_equal(guest_mem_fill(&f->mem, bad[i].gpa, 0x55, bad[i].size), E_RANGE);
		assert_int_equal(guest_mem_read(&f->mem, bad[i].gpa, buf, bad[i].size), E_RANGE);
	}
	assert_int_equal(buf[0], 0x55);
	assert_memory_equal((char *)f->chunk[0] + 0x9fff0, zero, 16);
	assert_memory_equal((char *)f->chunk[0] + 0xa0000, zero, 0x20100);
	assert_memory_equal((char *)f->chunk[3] + MIB(1) - 16, zero, 16);
	free(buf);
	free(zero);
}

static void nothing_is_always_there(void **state)
{
	struct fixture *f = *state;

	assert_true(guest_mem_is_ram(&f->mem, 0, 0));
	assert_true(guest_mem_is_ram(&f->mem, 0, 0xa0000));
	assert_true(guest_mem_is_ram(&f->mem, 0xc0000, RAM - 0xc0000));
	assert_int_equal(guest_mem_fill(&f->mem, RAM, 0, 0), OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_has_the_vga_hole_and_the_pci_hole),
		cmocka_unit_test(layout_of_tiny_guests),
		cmocka_unit_test_setup_teardown(
			map_gives_the_right_byte_and_what_is_left, setup, teardown),
		cmocka_unit_test(high_ram_continues_where_low_ram_ends),
		cmocka_unit_test_setup_teardown(copies_cross_chunks, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_are_all_or_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_always_there, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
