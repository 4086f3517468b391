/* SPDX-License-Identifier: Apache-2.0 */
/* The test device: a buffer, a latch with two faces, interrupt lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/debug_mmio.h"
#include "hv/lib/string.h"

#define LATCH DEBUG_MMIO_OFFSET_LATCH
#define FLUSH DEBUG_MMIO_OFFSET_FLUSH
#define BYTES DEBUG_MMIO_OFFSET_BYTES
#define LINES DEBUG_MMIO_OFFSET_LINES

static struct debug_mmio dev;
static uint32_t lines;
static unsigned calls;

static void set_line(void *ctx, unsigned pin, bool level)
{
	assert_ptr_equal(ctx, &lines);
	assert_true(pin < DEBUG_MMIO_LINES);
	lines = level ? lines | 1u << pin : lines & ~(1u << pin);
	calls++;
}

static int setup(void **state)
{
	uint8_t *buffer = test_malloc(DEBUG_MMIO_SIZE);

	*state = buffer;
	memset(buffer, 0xa5, DEBUG_MMIO_SIZE);
	debug_mmio_init(&dev, buffer, (struct irq_line){set_line, &lines, 0});
	lines = calls = 0;
	return 0;
}

static int teardown(void **state)
{
	test_free(*state);
	return 0;
}

enum op { WR, RD };

static const struct {
	enum op op;
	unsigned offset, size;
	uint64_t value;
} steps[] = {
	{RD, 0, 8, 0},
	{WR, 0, 8, 0x1122334455667788},
	{RD, 0, 8, 0x1122334455667788},
	{RD, 0, 4, 0x55667788},
	{RD, 5, 2, 0x2233},
	{RD, 3, 8, 0x1122334455},
	{WR, 1, 1, 0xff},
	{RD, 0, 4, 0x5566ff88},
	/* the last bytes; nothing goes beyond them */
	{WR, 0xffff, 1, 0x5a},
	{RD, 0xffff, 1, 0x5a},
	{WR, 0xfffe, 4, 0x12345678},
	{RD, 0xfffe, 4, 0xffffffff},
	{RD, 0xfff8, 8, 0x5a00000000000000},
	/* one latch, seen twice */
	{RD, LATCH, 4, 0},
	{WR, LATCH, 4, 0x44332211},
	{RD, LATCH, 4, 0x44332211},
	{RD, LATCH + 2, 2, 0x4433},
	{RD, BYTES + 1, 1, 0x22},
	{RD, BYTES, 4, 0x44332211},
	{WR, BYTES + 3, 1, 0x99},
	{WR, LATCH + 1, 2, 0xaabb},
	{RD, LATCH, 4, 0x99aabb11},
	{WR, LATCH + 3, 2, 0},
	{RD, LATCH + 3, 1, 0x99},
	/* the page to be flushed */
	{WR, FLUSH, 4, 0x1000},
	{RD, FLUSH, 4, 0xffffffff},
	{RD, LATCH, 4, 0x99aabb11},
	{RD, LINES, 1, 0xff},
	{RD, DEBUG_MMIO_END, 1, 0xff},
	{WR, DEBUG_MMIO_END, 1, 1},
	{RD, 0xffffffff, 8, UINT64_MAX},
	{WR, 0xffffffff, 8, 1},
};

static void test_storage(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		unsigned offset = steps[i].offset, size = steps[i].size;

		if (steps[i].op == WR)
			debug_mmio_write(&dev, offset, size, steps[i].value, 0);
		else if (debug_mmio_read(&dev, offset, size, 0) != steps[i].value)
			fail_msg("step %u: %llx", i,
				(unsigned long long)debug_mmio_read(&dev, offset, size, 0));
	}
	assert_int_equal(calls, 0);
}

static void test_lines(void **state)
{
	(void)state;
	debug_mmio_write(&dev, LINES + 5, 1, 1, 0);
	debug_mmio_write(&dev, LINES + 23, 1, 0x80, 0);
	assert_int_equal(lines, 1u << 5 | 1u << 23);
	debug_mmio_write(&dev, LINES + 5, 1, 0, 0);
	debug_mmio_write(&dev, LINES, 4, 0x100, 0);
	assert_int_equal(lines, 1u << 23 | 1);
	assert_int_equal(calls, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_storage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
