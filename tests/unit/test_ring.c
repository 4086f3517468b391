/* SPDX-License-Identifier: Apache-2.0 */
/* Byte ring: order, full and empty, index wrap at 2^32. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "hv/lib/ring.h"

#define SIZE 8u

static struct ring ring;
static uint8_t storage[SIZE + 2]; /* guard bytes around it */
static uint8_t *const data = storage + 1;

static int setup(void **state)
{
	(void)state;
	storage[0] = storage[SIZE + 1] = 0xee;
	ring_init(&ring, data, SIZE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(storage[0], 0xee);
	assert_int_equal(storage[SIZE + 1], 0xee);
	return 0;
}

static void empty(void **state)
{
	uint8_t byte = 0x5a;

	(void)state;
	assert_int_equal(ring_used(&ring), 0);
	assert_int_equal(ring_room(&ring), SIZE);
	assert_false(ring_get(&ring, &byte));
	assert_int_equal(byte, 0x5a);
}

static void fill_and_drain(void **state)
{
	uint8_t byte;

	(void)state;
	for (uint8_t i = 0; i < SIZE; i++) {
		assert_int_equal(ring_room(&ring), SIZE - i);
		assert_true(ring_put(&ring, i + 1));
		assert_int_equal(ring_used(&ring), i + 1);
	}
	/* Every byte of it is usable, and nothing is overwritten. */
	assert_false(ring_put(&ring, 0xff));
	assert_int_equal(ring_used(&ring), SIZE);
	for (uint8_t i = 0; i < SIZE; i++) {
		assert_true(ring_get(&ring, &byte));
		assert_int_equal(byte, i + 1);
	}
	assert_false(ring_get(&ring, &byte));
}

/* From any start, with any fill: what goes in comes out, in order. */
static void run_from(uint32_t start)
{
	uint8_t in = 0, out = 0, byte;

	ring.head = ring.tail = start;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < round % (SIZE + 3); i++) {
			bool full = ring_room(&ring) == 0;

			assert_int_equal(ring_put(&ring, in), !full);
			in = (uint8_t)(in + !full);
		}
		for (unsigned i = 0; i < (round * 7) % (SIZE + 3); i++) {
			bool none = ring_used(&ring) == 0;

			assert_int_equal(ring_get(&ring, &byte), !none);
			if (!none)
				assert_int_equal(byte, out++);
		}
		assert_int_equal(ring_used(&ring), (uint8_t)(in - out));
	}
}

static void wraps(void **state)
{
	(void)state;
	for (uint32_t i = 0; i <= 2 * SIZE; i++)
		run_from(i);
	for (uint32_t i = 0; i <= 4 * SIZE; i++)
		run_from(UINT32_MAX - i);
	run_from(INT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(empty, setup, teardown),
		cmocka_unit_test_setup_teardown(fill_and_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(wraps, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
