/* SPDX-License-Identifier: Apache-2.0 */
/* Port 92h and CF9h: what resets and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/reset.h"

static void fake_reset(void *ctx)
{
	++*(unsigned *)ctx;
}

static void test_writes(void **state)
{
	static const struct {
		unsigned offset;
		uint32_t value, reads, resets;
	} rows[] = {
		{RESET_PORT92, 0x00, 0x00, 0},
		{RESET_PORT92, 0xfe, 0x02, 0},
		{RESET_PORT92, 0x03, 0x03, 1},
		{RESET_PORT92, 0x03, 0x03, 1},
		{RESET_PORT92, 0x02, 0x02, 1},
		{RESET_PORT92, 0x01, 0x01, 2},
		{RESET_CF9, 0x02, 0x02, 2},
		{RESET_CF9, 0xf9, 0x08, 2},
		{RESET_CF9, 0x06, 0x06, 3},
		{RESET_CF9, 0x0e, 0x0e, 3},
		{RESET_CF9, 0x00, 0x00, 3},
		{RESET_CF9, 0x04, 0x04, 4},
		{RESET_REGS, 0xff, 0xff, 4},
	};
	unsigned resets = 0;
	struct reset_env env = {fake_reset, &resets};
	struct reset r;

	(void)state;
	reset_init(&r, &env);
	assert_int_equal(reset_read(&r, RESET_PORT92, 1, 0), 0x02);
	assert_int_equal(reset_read(&r, RESET_CF9, 1, 0), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		reset_write(&r, rows[i].offset, 1, rows[i].value, 0);
		assert_int_equal(reset_read(&r, rows[i].offset, 1, 0), rows[i].reads);
		assert_int_equal(resets, rows[i].resets);
	}
	assert_int_equal(reset_read(&r, RESET_CF9, 4, 0), 0xffffff04);
	assert_int_equal(reset_read(&r, RESET_CF9, 2, 0), 0xff04);
	reset_reset(&r, 0);
	assert_int_equal(reset_read(&r, RESET_CF9, 1, 0), 0);
	assert_int_equal(resets, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
