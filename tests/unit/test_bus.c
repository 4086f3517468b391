/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of trapped ranges: overlap, wrap, sealing, edges, the lock taken before the first
 * access.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "hv/io/bus.h"

static struct bus bus;
static struct spinlock lock;
static uint64_t seen_offset, seen_value;
static unsigned seen_size, reads, writes;
static void *seen_ctx;
static bool locked;

static uint64_t dev_read(void *ctx, uint64_t offset, unsigned size)
{
	reads++;
	seen_ctx = ctx;
	seen_offset = offset;
	seen_size = size;
	locked = lock.next != lock.serving;
	return 0x1122334455667788;
}

static void dev_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	writes++;
	seen_ctx = ctx;
	seen_offset = offset;
	seen_size = size;
	seen_value = value;
	locked = lock.next != lock.serving;
}

static int add(uint64_t base, uint64_t size)
{
	return bus_add(&bus, &(struct bus_range){base, size, dev_read, dev_write, &bus, NULL});
}

static int setup(void **state)
{
	(void)state;
	memset(&bus, 0, sizeof(bus));
	memset(&lock, 0, sizeof(lock));
	reads = writes = 0;
	return 0;
}

/*
 * All ranges of up to 4 bytes in 0..9 against one at 4..6: refused exactly when they share a byte.
 */
static void overlap(void **state)
{
	(void)state;
	for (uint64_t base = 0; base < 10; base++) {
		for (uint64_t size = 1; size < 5; size++) {
			bool shares = base <= 6 && base + size > 4;

			memset(&bus, 0, sizeof(bus));
			assert_int_equal(add(4, 3), OK);
			assert_int_equal(add(base, size), shares ? E_BUSY : OK);
			assert_int_equal(bus.count, shares ? 1 : 2);
		}
	}
}

static void between_neighbours(void **state)
{
	(void)state;
	assert_int_equal(add(0x10, 0x10), OK);
	assert_int_equal(add(0x30, 0x10), OK);
	assert_int_equal(add(0x1f, 2), E_BUSY);
	assert_int_equal(add(0x20, 0x11), E_BUSY);
	assert_int_equal(add(0x0, 0x100), E_BUSY);
	assert_int_equal(add(0x20, 0x10), OK);
	for (unsigned i = 1; i < bus.count; i++)
		assert_true(bus.range[i - 1].base < bus.range[i].base);
}

static void bad_ranges(void **state)
{
	(void)state;
	assert_int_equal(add(0x10, 0), E_INVAL);
	assert_int_equal(add(UINT64_MAX, 2), E_INVAL);
	assert_int_equal(add(2, UINT64_MAX), E_INVAL);
	assert_int_equal(add(UINT64_MAX, 1), OK); /* the very last byte */
	assert_int_equal(add(UINT64_MAX - 1, 2), E_BUSY);
	assert_int_equal(add(0, UINT64_MAX), OK); /* all the others */
	assert_int_equal(add(5, 1), E_BUSY);
}

static void full(void **state)
{
	(void)state;
	for (unsigned i = BUS_RANGES_MAX; i-- > 0;)
		assert_int_equal(add(2 * i, 1), OK);
	assert_int_equal(add(1000, 1), E_NOMEM);
	for (unsigned i = 0; i < BUS_RANGES_MAX; i++) {
		assert_non_null(bus_find(&bus, 2 * i, 1));
		assert_null(bus_find(&bus, 2 * i + 1, 1));
	}
}

static void sealed(void **state)
{
	(void)state;
	assert_int_equal(add(0, 1), OK);
	bus_seal(&bus);
	assert_int_equal(add(10, 1), E_BUSY);
	assert_int_equal(bus.count, 1);
	assert_non_null(bus_find(&bus, 0, 1));
}

/* An access belongs to a range only if all of it lies inside. */
static void edges(void **state)
{
	static const unsigned sizes[] = {1, 2, 4, 8};
	uint64_t value;

	(void)state;
	assert_int_equal(add(0x100, 8), OK);
	assert_int_equal(add(0x108, 8), OK);
	for (uint64_t at = 0xf0; at < 0x120; at++) {
		for (unsigned i = 0; i < 4; i++) {
			bool first = at >= 0x100 && at + sizes[i] <= 0x108;
			bool second = at >= 0x108 && at + sizes[i] <= 0x110;
			bool found = bus_read(&bus, at, sizes[i], &value);

			assert_int_equal(found, first || second);
			if (!found)
				assert_int_equal(value, mask_bytes(sizes[i]));
			else
				assert_int_equal(seen_offset, at - (first ? 0x100 : 0x108));
			assert_int_equal(bus_write(&bus, at, sizes[i], 0), found);
		}
	}
	assert_int_equal(reads, writes);
}

static void top_of_the_address_space(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(add(UINT64_MAX - 3, 4), OK);
	assert_true(bus_read(&bus, UINT64_MAX - 3, 4, &value));
	assert_true(bus_read(&bus, UINT64_MAX, 1, &value));
	assert_false(bus_read(&bus, UINT64_MAX, 2, &value)); /* wraps to 0 */
	assert_false(bus_write(&bus, UINT64_MAX - 3, 8, 0));
}

static void values_are_cut_to_size(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(add(0, 8), OK);
	assert_true(bus_read(&bus, 0, 2, &value));
	assert_int_equal(value, 0x7788);
	assert_int_equal(seen_size, 2);
	assert_ptr_equal(seen_ctx, &bus);
	assert_true(bus_read(&bus, 0, 8, &value));
	assert_int_equal(value, 0x1122334455667788);
	assert_true(bus_write(&bus, 3, 1, UINT64_MAX));
	assert_int_equal(seen_value, 0xff);
	assert_int_equal(seen_offset, 3);
}

static void lock_is_held(void **state)
{
	const struct bus_range range = {0x10, 4, dev_read, dev_write, NULL, &lock};
	uint64_t value;

	(void)state;
	assert_int_equal(bus_add(&bus, &range), OK);
	assert_true(bus_read(&bus, 0x10, 1, &value));
	assert_true(locked);
	assert_int_equal(lock.next, lock.serving);
	locked = false;
	assert_true(bus_write(&bus, 0x10, 1, 0));
	assert_true(locked);
	assert_int_equal(lock.next, lock.serving);
	/* A miss takes nothing. */
	assert_false(bus_read(&bus, 0x14, 1, &value));
	assert_int_equal(lock.next, 2);
}

static void empty(void **state)
{
	uint64_t value = 0;

	(void)state;
	assert_false(bus_read(&bus, 0, 4, &value));
	assert_int_equal(value, 0xffffffff);
	assert_false(bus_write(&bus, 0, 4, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(overlap, setup),
		cmocka_unit_test_setup(between_neighbours, setup),
		cmocka_unit_test_setup(bad_ranges, setup),
		cmocka_unit_test_setup(full, setup),
		cmocka_unit_test_setup(sealed, setup),
		cmocka_unit_test_setup(edges, setup),
		cmocka_unit_test_setup(top_of_the_address_space, setup),
		cmocka_unit_test_setup(values_are_cut_to_size, setup),
		cmocka_unit_test_setup(lock_is_held, setup),
		cmocka_unit_test_setup(empty, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
