/* SPDX-License-Identifier: Apache-2.0 */
/* Console input: tables of what is typed and what shall be done. */
#include "tests/unit/test_console.h"

/* A step names only what its operation uses. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

struct key_test {
	uint8_t typed;
	enum console_kind kind;
	unsigned source;
	uint8_t byte;
};

#define ESCAPE 0x1d

static void type(const struct key_test *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct console_action action = console_input(&con, keys[i].typed);

		assert_int_equal(action.kind, keys[i].kind);
		if (keys[i].source)
			assert_int_equal(action.source, keys[i].source);
		if (keys[i].kind == CONSOLE_SEND)
			assert_int_equal(action.byte, keys[i].byte);
	}
}

static void test_keys(void **state)
{
	static const struct key_test keys[] = {
		{'a', CONSOLE_SEND, 1, 'a'},
		{'n', CONSOLE_SEND, 1, 'n'},
		{0, CONSOLE_SEND, 1, 0},
		{0xff, CONSOLE_SEND, 1, 0xff},
		{'\r', CONSOLE_SEND, 1, '\r'},
		{ESCAPE, CONSOLE_NOTHING},
		{ESCAPE, CONSOLE_SEND, 1, ESCAPE},
		{'p', CONSOLE_SEND, 1, 'p'},
		{ESCAPE, CONSOLE_NOTHING},
		{'n', CONSOLE_NEXT, 2},
		{'x', CONSOLE_SEND, 2, 'x'},
		{ESCAPE, CONSOLE_NOTHING},
		{'k', CONSOLE_KILL, 2},
		{ESCAPE, CONSOLE_NOTHING},
		{'r', CONSOLE_RESTART, 2},
		{ESCAPE, CONSOLE_NOTHING},
		{'p', CONSOLE_LIST},
		{ESCAPE, CONSOLE_NOTHING},
		{'n', CONSOLE_NEXT, 3},
		{ESCAPE, CONSOLE_NOTHING},
		{'n', CONSOLE_NEXT, 1},
		{ESCAPE, CONSOLE_NOTHING},
		{'o', CONSOLE_POWER, 1},
		{ESCAPE, CONSOLE_NOTHING},
		{'v', CONSOLE_VIEW, 1},
		{ESCAPE, CONSOLE_NOTHING},
		{'D', CONSOLE_PANIC},
		{ESCAPE, CONSOLE_NOTHING},
		{'?', CONSOLE_HELP},
		{ESCAPE, CONSOLE_NOTHING},
		{'N', CONSOLE_HELP},
		{ESCAPE, CONSOLE_NOTHING},
		{0x0e, CONSOLE_HELP}, /* Ctrl-N */
		{'y', CONSOLE_SEND, 1, 'y'},
	};
	static const struct key_test removed[] = {
		{'x', CONSOLE_SEND, 2, 'x'},
		{ESCAPE, CONSOLE_NOTHING},
		{'n', CONSOLE_NEXT, 3},
		{ESCAPE, CONSOLE_NOTHING},
		{'n', CONSOLE_NEXT, 2},
	};

	(void)state;
	start(3, false);
	type(keys, ARRAY_SIZE(keys));
	console_remove_source(&con, 1);
	type(removed, ARRAY_SIZE(removed));
	console_remove_source(&con, 3); /* not in focus */
	assert_int_equal(con.focus, 2);
}

static void test_keys_alone(void **state)
{
	static const struct key_test none[] = {
		{'a', CONSOLE_NOTHING},
		{ESCAPE, CONSOLE_NOTHING},
		{'a', CONSOLE_HELP},
		{ESCAPE, CONSOLE_NOTHING},
		{ESCAPE, CONSOLE_NOTHING},
		{ESCAPE, CONSOLE_NOTHING},
		{'n', CONSOLE_NOTHING},
		{ESCAPE, CONSOLE_NOTHING},
		{'k', CONSOLE_NOTHING},
		{ESCAPE, CONSOLE_NOTHING},
		{'r', CONSOLE_NOTHING},
		{ESCAPE, CONSOLE_NOTHING},
		{'o', CONSOLE_NOTHING},
		{ESCAPE, CONSOLE_NOTHING},
		{'v', CONSOLE_NOTHING},
		{ESCAPE, CONSOLE_NOTHING},
		{'p', CONSOLE_LIST},
		{ESCAPE, CONSOLE_NOTHING},
		{'D', CONSOLE_PANIC},
	};
	static const struct key_test one[] = {
		{ESCAPE, CONSOLE_NOTHING},
		{'n', CONSOLE_NEXT, 1},
		{'a', CONSOLE_SEND, 1, 'a'},
	};

	(void)state;
	start(0, false);
	type(none, ARRAY_SIZE(none));
	start(1, false);
	type(one, ARRAY_SIZE(one));
	console_remove_source(&con, 1);
	type(none, ARRAY_SIZE(none));
	assert_non_null(strstr(console_help(), "Ctrl-]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_keys_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
