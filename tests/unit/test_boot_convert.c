/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text and time conversions of the loader, against the C library's calendar and written-out units.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "boot/bootinfo.h"
#include "boot/convert.h"

static void test_text(void **state)
{
	static const struct {
		const char *text;
		int want;
		uint16_t units[8];
	} row[] = {
		{"", OK, {0}},
		{"a\\b", OK, {'a', '\\', 'b', 0}},
		{"\xc3\xa9", OK, {0xe9, 0}},
		{"\xc2\x80\xdf\xbf", OK, {0x80, 0x7ff, 0}},
		{"\xe0\xa0\x80\xef\xbf\xbf", OK, {0x800, 0xffff, 0}},
		{"\xed\x9f\xbf\xee\x80\x80", OK, {0xd7ff, 0xe000, 0}},
		{"x\x80", E_INVAL, {'x', 0}}, /* a continuation alone */
		{"x\xc3", E_INVAL, {'x', 0}}, /* ends inside a character */
		{"x\xe2\x82", E_INVAL, {'x', 0}},
		{"x\xc1\xbf", E_INVAL, {'x', 0}}, /* longer than needed */
		{"x\xe0\x9f\xbf", E_INVAL, {'x', 0}},
		{"x\xed\xa0\x80", E_INVAL, {'x', 0}}, /* surrogates */
		{"x\xed\xbf\xbf", E_INVAL, {'x', 0}},
		{"x\xf0\x9f\x98\x80", E_INVAL, {'x', 0}}, /* beyond 16 bits */
		{"x\xc3y", E_INVAL, {'x', 0}},
		{"1234567", OK, {'1', '2', '3', '4', '5', '6', '7', 0}},
		{"12345678", E_RANGE, {'1', '2', '3', '4', '5', '6', '7', 0}},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
		uint16_t *units = malloc(sizeof(row[i].units));
		char *text = strdup(row[i].text);
		size_t n = 0;

		assert_int_equal(boot_convert_utf16(units, 8, text), row[i].want);
		do
			assert_int_equal(units[n], row[i].units[n]);
		while (units[n++]);
		free(text);
		free(units);
	}
	assert_int_equal(boot_convert_utf16(NULL, 0, ""), E_RANGE);
}

static void test_path(void **state)
{
	static const uint16_t want[] = {
		'\\', 'b', 'u', 'l', 'k', 'h', 'e', 'a', 'd', '\\', 'i', '\\', 'k', 0};
	uint16_t units[BOOT_PATH_MAX + 16];
	char longest[BOOT_PATH_MAX + 1];
	(void)state;

	assert_int_equal(boot_convert_path(units, ARRAY_SIZE(units), "i/k"), OK);
	assert_memory_equal(units, want, sizeof(want));
	memset(longest, 'x', sizeof(longest));
	longest[BOOT_PATH_MAX] = 0;
	assert_int_equal(boot_convert_path(units, ARRAY_SIZE(units), longest), E_RANGE);
	longest[BOOT_PATH_MAX - 1] = 0;
	assert_int_equal(boot_convert_path(units, ARRAY_SIZE(units), longest), OK);
	assert_int_equal(units[BOOT_PATH_MAX + 8], 'x');
	assert_int_equal(units[BOOT_PATH_MAX + 9], 0);
	assert_int_equal(boot_convert_path(units, 12, "i/k"), E_RANGE);
}

static void test_time_against_libc(void **state)
{
	(void)state;
	for (int64_t t = 1; t < 253402300800; t += 1234567891 / 7) {
		time_t when = t;
		struct tm tm;
		struct boot_calendar c;

		assert_non_null(gmtime_r(&when, &tm));
		c = (struct boot_calendar){(unsigned)tm.tm_year + 1900, (unsigned)tm.tm_mon + 1,
			(unsigned)tm.tm_mday, (unsigned)tm.tm_hour, (unsigned)tm.tm_min,
			(unsigned)tm.tm_sec, 0};
		assert_int_equal(boot_convert_time(&c), t);
	}
}

static void test_time_rules(void **state)
{
	static const struct {
		struct boot_calendar c;
		uint64_t want;
	} row[] = {
		{{2000, 2, 29, 0, 0, 0, 0}, 951782400},
		{{2001, 2, 29, 0, 0, 0, 0}, 0},
		{{2100, 2, 29, 0, 0, 0, 0}, 0},
		{{2100, 3, 1, 0, 0, 0, 0}, 4107542400},
		{{1969, 12, 31, 23, 59, 59, 0}, 0},
		{{10000, 1, 1, 0, 0, 0, 0}, 0},
		{{2024, 0, 1, 0, 0, 0, 0}, 0},
		{{2024, 13, 1, 0, 0, 0, 0}, 0},
		{{2024, 1, 0, 0, 0, 0, 0}, 0},
		{{2024, 4, 31, 0, 0, 0, 0}, 0},
		{{2024, 1, 1, 24, 0, 0, 0}, 0},
		{{2024, 1, 1, 0, 60, 0, 0}, 0},
		{{2024, 1, 1, 0, 0, 60, 0}, 0},
		/* UEFI: Localtime = UTC - TimeZone. */
		{{2024, 1, 1, 0, 0, 0, -60}, 1704063600},
		{{2024, 1, 1, 0, 0, 0, 480}, 1704096000},
		{{1970, 1, 1, 0, 30, 0, -60}, 0},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(row); i++)
		assert_int_equal(boot_convert_time(&row[i].c), row[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_time_against_libc),
		cmocka_unit_test(test_time_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
