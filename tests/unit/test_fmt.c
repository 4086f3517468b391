/* SPDX-License-Identifier: Apache-2.0 */
/* fmt_string against the C library's snprintf, and its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "hv/lib/fmt.h"

#define SAME(...)                                                                                  \
	do {                                                                                       \
		char ours[128], theirs[128];                                                       \
		fmt_string(ours, sizeof(ours), __VA_ARGS__);                                       \
		snprintf(theirs, sizeof(theirs), __VA_ARGS__);                                     \
		assert_string_equal(ours, theirs);                                                 \
	} while (0)

static void matches_libc(void **state)
{
	(void)state;
	SAME("%d %i %u", -5, 7, 4000000000u);
	SAME("%ld %lld %lu", INT64_MIN, -1ll, UINT64_MAX);
	SAME("%x %X %08x %016lx", 0xbeef, 0xBEEF, 0x12, 0x1234567890abcdeful);
	SAME("[%5d] [%-5d] [%05d] [%05d]", 42, 42, 42, -42);
	SAME("[%s] [%8s] [%-8s] [%.2s] [%.*s]", "abc", "abc", "abc", "abc", 1, "abc");
	SAME("[%*d] %c%% %zu", 6, 3, 'x', (size_t)9);
	SAME("%hhx %hu", 0x7f, (unsigned short)12);
}

static void never_writes_past_the_buffer(void **state)
{
	char buf[8] = "1234567";

	(void)state;
	assert_int_equal(fmt_string(buf, 4, "%s", "abcdef"), 3);
	assert_memory_equal(buf,
		"abc\0"
		"567",
		8);
	assert_int_equal(fmt_string(buf, 0, "x"), 0);
	assert_int_equal(fmt_string(buf, 1, "x"), 0);
	assert_int_equal(buf[0], '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_libc),
		cmocka_unit_test(never_writes_past_the_buffer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
