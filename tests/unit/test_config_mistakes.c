/* SPDX-License-Identifier: Apache-2.0 */
/* Every mistake a config can have: a config with just it, and the line a person then reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "hv/config/check.h"

static struct config config;
static struct config_errors errors;
static struct config_verdict verdict;

/* Lines 1 to 3 and 4 to 7 of the configs below. */
#define IMAGE   "[image.i]\nkernel = \"k\"\n\n"
#define GUEST   "[guest.g]\nimage = \"i\"\ncpus = [1]\nmemory = \"64M\"\n"
#define OTHER   "[guest.h]\nimage = \"i\"\ncpus = [2]\nmemory = \"64M\"\n"
#define PATH(n) IMAGE "initrd = \"" n "\"\n"

static const struct {
	enum config_error code;
	const char *text;
	const char *line; /* the only one, without the file's name */
} cases[] = {
	{CONFIG_TEXT_NOT_UTF8, "# \xc3\xa9 \xc0\x80",
		"1:5: this is not UTF-8 text; no guest is started"},
	{CONFIG_TEXT_BOM, "\xef\xbb\xbf",
		"1:1: the file starts with a byte order mark; save it as UTF-8 without one; no guest is started"},
	{CONFIG_TEXT_CONTROL, "a = 1\n# \x1b",
		"2:3: control character 1bh is not allowed; no guest is started"},
	{CONFIG_TEXT_CONTROL, "# \x7f",
		"1:3: control character 7fh is not allowed; no guest is started"},
	{CONFIG_TEXT_LONE_CR, "a = 1\r\nb = 2\r",
		"2:6: carriage return without a line feed; no guest is started"},
	{CONFIG_KEY_EXPECTED, "= 1", "1:1: a key is expected here; no guest is started"},
	{CONFIG_KEY_EXPECTED, "[a.]", "1:4: a key is expected here; no guest is started"},
	{CONFIG_EQUALS_EXPECTED, "a b", "1:3: \"=\" is expected after a key; no guest is started"},
	{CONFIG_VALUE_EXPECTED, "a = yes",
		"1:5: a value is expected: a string in quotes, a number, true, false or an array; no guest is started"},
	{CONFIG_LINE_END_EXPECTED, "a = 1 b = 2",
		"1:7: the end of the line is expected here; no guest is started"},
	{CONFIG_LINE_END_EXPECTED, "[a] x",
		"1:5: the end of the line is expected here; no guest is started"},
	{CONFIG_HEADER_OPEN, "[a",
		"1:3: \"]\" is expected after a table's name; no guest is started"},
	{CONFIG_HEADER_ARRAY, "[[a]]",
		"1:1: arrays of tables are not supported; write [table.name]; no guest is started"},
	{CONFIG_STRING_OPEN, "a = \"x\nb = 1",
		"1:5: the string that starts here has no closing quote; no guest is started"},
	{CONFIG_STRING_OPEN, "a = 'x\"",
		"1:5: the string that starts here has no closing quote; no guest is started"},
	{CONFIG_STRING_MULTILINE, "a = \"\"\"x\"\"\"",
		"1:5: multi-line strings are not supported; no guest is started"},
	{CONFIG_STRING_ESCAPE, "a = \"C:\\d\"",
		"1:8: unknown escape; write \\\\ for a backslash, or 'single quotes'; no guest is started"},
	{CONFIG_STRING_UNICODE, "a = \"\\ud800\"",
		"1:6: this escape does not name a character; no guest is started"},
	{CONFIG_STRING_UNICODE, "a = \"\\u0000\"",
		"1:6: this escape does not name a character; no guest is started"},
	{CONFIG_STRING_UNICODE, "a = \"\\u12\"",
		"1:6: this escape does not name a character; no guest is started"},
	{CONFIG_NUMBER_MALFORMED, "a = 012", "1:5: \"012\" is not a number; no guest is started"},
	{CONFIG_NUMBER_MALFORMED, "a = 256M", "1:5: \"256M\" is not a number; no guest is started"},
	{CONFIG_NUMBER_RANGE, "a = 0x8000000000000000",
		"1:5: the number does not fit into 64 bits; no guest is started"},
	{CONFIG_NUMBER_FLOAT, "a = 0.5",
		"1:5: numbers with a fraction or exponent are not supported; no guest is started"},
	{CONFIG_NUMBER_FLOAT, "a = nan",
		"1:5: numbers with a fraction or exponent are not supported; no guest is started"},
	{CONFIG_NUMBER_DATE, "a = 1979-05-27",
		"1:5: dates and times are not supported; no guest is started"},
	{CONFIG_ARRAY_OPEN, "a = [1,\n2",
		"1:5: the array that starts here has no \"]\"; no guest is started"},
	{CONFIG_ARRAY_COMMA, "a = [1 2]",
		"1:8: \",\" or \"]\" is expected here; no guest is started"},
	{CONFIG_ARRAY_NESTED, "a = [1, [2]]",
		"1:9: arrays in arrays are not supported; no guest is started"},
	{CONFIG_INLINE_TABLE, "a = {b = 1}",
		"1:5: inline tables are not supported; write a [table]; no guest is started"},
	{CONFIG_KEY_TWICE, "a = 1\nb = 2\n'a' = 3",
		"3:1: \"a\" is given twice, first in line 1; no guest is started"},
	{CONFIG_TABLE_TWICE, IMAGE GUEST "[guest.g]",
		"8:8: table \"g\" is given twice, first in line 4; no guest is started"},
	{CONFIG_TABLE_TWICE, "[a]\nb.c = 1\n[a.b]",
		"3:4: table \"b\" is given twice, first in line 2; no guest is started"},
	{CONFIG_TABLE_IS_VALUE, "guest = 1\n[guest.g]",
		"2:2: \"guest\" cannot be a table, line 1 gives it a value; no guest is started"},
	{CONFIG_TABLE_IS_VALUE, "a = 1\na.b = 2",
		"2:1: \"a\" cannot be a table, line 1 gives it a value; no guest is started"},
	{CONFIG_TABLE_BY_DOTS, "[a.b]\n[a]\nb.c = 1",
		"3:1: table \"b\" of line 1 cannot be added to with dots; write the key below its header; no guest is started"},
	{CONFIG_TOO_DEEP, "a.a.a.a.a.a.a.a.a = 1",
		"1:17: a key has at most 8 parts; no guest is started"},

	{CONFIG_UNKNOWN_TABLE, "[gust.web]", "1:2: there is no \"gust\"; did you mean \"guest\"?"},
	{CONFIG_UNKNOWN_TABLE, "network = 1", "1:1: there is no \"network\""},
	{CONFIG_UNKNOWN_KEY, IMAGE GUEST "restrat = \"no\"",
		"8:1: guest.g: there is no key \"restrat\"; did you mean \"restart\"?"},
	{CONFIG_UNKNOWN_KEY, IMAGE "cmdlien = \"\"",
		"4:1: image.i: there is no key \"cmdlien\"; did you mean \"cmdline\"?"},
	{CONFIG_UNKNOWN_KEY, "[machine]\nCOLOUR = true",
		"2:1: machine: there is no key \"COLOUR\"; did you mean \"color\"?"},
	{CONFIG_UNKNOWN_KEY, "[machine]\n\"\\u001b[2J\" = true",
		"2:1: machine: there is no key \"?[2J\""},
	{CONFIG_KEY_MISSING, "[image.i]", "1:8: image.i: kernel is missing"},
	{CONFIG_KEY_MISSING, IMAGE "[guest.g]\ncpus = [1]\nmemory = \"64M\"",
		"4:8: guest.g: image is missing"},
	{CONFIG_KEY_MISSING, IMAGE "[guest.g]\nimage = \"i\"\nmemory = \"64M\"",
		"4:8: guest.g: cpus is missing"},
	{CONFIG_KEY_MISSING, IMAGE "[guest.g]\nimage = \"i\"\ncpus = [1]",
		"4:8: guest.g: memory is missing"},
	{CONFIG_TABLE_EXPECTED, "guest = 1", "1:1: \"guest\" must be a table: write [guest.NAME]"},
	{CONFIG_TABLE_EXPECTED, "[guest]\nimage = \"i\"",
		"2:1: \"image\" must be a table: write [guest.NAME]"},
	{CONFIG_TABLE_EXPECTED, "machine = []",
		"1:1: \"machine\" must be a table: write [machine]"},
	{CONFIG_WRONG_TYPE, IMAGE "initrd = 1",
		"4:10: image.i: initrd must be a string, not a number"},
	{CONFIG_WRONG_TYPE, IMAGE "[guest.g]\nimage = \"i\"\ncpus = 1\nmemory = \"64M\"",
		"6:8: guest.g: cpus must be an array, not a number"},
	{CONFIG_WRONG_TYPE, IMAGE "[guest.g]\nimage = \"i\"\ncpus = [1, \"2\"]\nmemory = \"64M\"",
		"6:12: guest.g: a CPU must be a number, not a string"},
	{CONFIG_WRONG_TYPE, "[machine]\ncolor = \"no\"",
		"2:9: machine: color must be true or false, not a string"},
	{CONFIG_NAME_INVALID, "[image.Debian]\nkernel = \"k\"",
		"1:8: \"Debian\" is not a name: 1 to 31 of a-z, 0-9 and \"-\", not starting with \"-\""},
	{CONFIG_CHOICE_INVALID, "[machine]\nconsole = \"com2\"",
		"2:11: machine: console cannot be \"com2\"; did you mean \"com1\"?"},
	{CONFIG_CHOICE_INVALID, "[machine]\nwhen_all_stopped = \"power-off\"",
		"2:20: machine: when_all_stopped cannot be \"power-off\"; did you mean \"poweroff\"?"},
	{CONFIG_CHOICE_INVALID, IMAGE GUEST "restart = \"sometimes\"",
		"8:11: guest.g: restart cannot be \"sometimes\""},
	{CONFIG_PATH_EMPTY, PATH(""), "4:10: image.i: initrd is empty"},
	{CONFIG_PATH_CHARACTER, PATH("a\\tb"),
		"4:10: image.i: initrd has a character that is not printable ASCII or is a backslash; folders are separated by \"/\""},
	{CONFIG_PATH_CHARACTER, PATH("a\\\\b"),
		"4:10: image.i: initrd has a character that is not printable ASCII or is a backslash; folders are separated by \"/\""},
	{CONFIG_PATH_ABSOLUTE, PATH("/a"),
		"4:10: image.i: initrd starts with \"/\"; paths start in the config's folder"},
	{CONFIG_PATH_COMPONENT, PATH("a/../b"),
		"4:10: image.i: initrd has an empty, \".\" or \"..\" component"},
	{CONFIG_PATH_COMPONENT, PATH("./b"),
		"4:10: image.i: initrd has an empty, \".\" or \"..\" component"},
	{CONFIG_PATH_COMPONENT, PATH("a//b"),
		"4:10: image.i: initrd has an empty, \".\" or \"..\" component"},
	{CONFIG_PATH_COMPONENT, PATH("a/"),
		"4:10: image.i: initrd has an empty, \".\" or \"..\" component"},
	{CONFIG_PATH_COMPONENT, PATH("a/.."),
		"4:10: image.i: initrd has an empty, \".\" or \"..\" component"},
	{CONFIG_CMDLINE_CHARACTER, IMAGE GUEST "cmdline = \"a\\nb\"",
		"8:11: guest.g: cmdline has a character that is not printable ASCII"},
	{CONFIG_SIZE_MALFORMED, IMAGE "[guest.g]\nimage = \"i\"\ncpus = [1]\nmemory = \"64m\"",
		"7:10: guest.g: memory \"64m\" is not a size: write a whole number and K, M or G, as in \"256M\""},
	{CONFIG_SIZE_RANGE, IMAGE "[guest.g]\nimage = \"i\"\ncpus = [1]\nmemory = \"99999999999G\"",
		"7:10: guest.g: memory \"99999999999G\" is more than any machine has"},
	{CONFIG_CPU_NUMBER, IMAGE "[guest.g]\nimage = \"i\"\ncpus = [65536]\nmemory = \"64M\"",
		"6:9: guest.g: 65536 is not a CPU number: 0 to 65535"},
	{CONFIG_CPU_NUMBER, "[machine]\nhousekeeping = -1",
		"2:16: machine: -1 is not a CPU number: 0 to 65535"},
	{CONFIG_CPUS_EMPTY, IMAGE "[guest.g]\nimage = \"i\"\ncpus = []\nmemory = \"64M\"",
		"6:8: guest.g: cpus is empty"},
	{CONFIG_PORT_RANGE, IMAGE GUEST "exit_port = 0",
		"8:13: guest.g: exit_port 0 is not an I/O port: 1 to 0xffff"},
	{CONFIG_PORT_RANGE, IMAGE GUEST "exit_port = 0x10000",
		"8:13: guest.g: exit_port 65536 is not an I/O port: 1 to 0xffff"},

	{CONFIG_HOUSEKEEPING_ABSENT, "[machine]\nhousekeeping = 4",
		"2:16: machine.housekeeping: CPU 4 does not exist, the machine has CPUs 0 to 3; CPU 0 is used"},
	{CONFIG_HOUSEKEEPING_UNUSABLE, "[machine]\nhousekeeping = 3",
		"2:16: machine.housekeeping: CPU 3 cannot be used: it did not start; CPU 0 is used"},
	{CONFIG_FILE_MISSING, PATH("absent"), "4:10: image.i: initrd: there is no file \"absent\""},
	{CONFIG_FILE_UNREADABLE, PATH("broken"),
		"4:10: image.i: initrd: file \"broken\" cannot be read"},
	{CONFIG_IMAGE_UNKNOWN,
		"[image.debian]\nkernel = \"k\"\n[guest.g]\nimage = \"debain\"\ncpus = [1]\nmemory = \"64M\"",
		"4:9: guest.g: there is no image \"debain\"; did you mean \"debian\"?"},
	{CONFIG_CPU_ABSENT, IMAGE "[guest.g]\nimage = \"i\"\ncpus = [4]\nmemory = \"64M\"",
		"6:9: guest.g: CPU 4 does not exist, the machine has CPUs 0 to 3"},
	{CONFIG_CPU_UNUSABLE, IMAGE "[guest.g]\nimage = \"i\"\ncpus = [3]\nmemory = \"64M\"",
		"6:9: guest.g: CPU 3 cannot be used: it did not start"},
	{CONFIG_CPU_TAKEN, IMAGE GUEST "[guest.web]\nimage = \"i\"\ncpus = [1]\nmemory = \"64M\"",
		"10:9: guest.web: CPU 1 is also given to guest.g"},
	{CONFIG_MEMORY_UNIT_WRONG, IMAGE "[guest.g]\nimage = \"i\"\ncpus = [1]\nmemory = \"3M\"",
		"7:10: guest.g: memory must be a multiple of 2M, at least 2M"},
	{CONFIG_MEMORY_UNIT_WRONG, IMAGE "[guest.g]\nimage = \"i\"\ncpus = [1]\nmemory = \"0G\"",
		"7:10: guest.g: memory must be a multiple of 2M, at least 2M"},
	{CONFIG_MEMORY_FILES, "[image.i]\nkernel = \"30M\"\ninitrd = \"33M\"\n" GUEST, NULL},
	{CONFIG_MEMORY_FILES, "[image.i]\nkernel = \"30M\"\ninitrd = \"34M\"\n" GUEST,
		"7:10: guest.g: memory is too small: kernel and initrd of image.i alone need 66M"},
	{CONFIG_MEMORY_FULL, IMAGE GUEST "[guest.h]\nimage = \"i\"\ncpus = [2]\nmemory = \"962M\"",
		"11:10: guest.h: memory 962M does not fit, 960M of 1G is left for it"},
	{CONFIG_AFTER_UNKNOWN, IMAGE GUEST "after = \"G\"",
		"8:9: guest.g: there is no guest \"G\"; did you mean \"g\"?"},
	{CONFIG_AFTER_UNKNOWN,
		IMAGE GUEST OTHER
		"after = \"webb\"\n[guest.web]\nimage = \"i\"\ncpus = [3]\nmemory = \"64M\"",
		"12:9: guest.h: there is no guest \"webb\"; did you mean \"web\"?"},
	{CONFIG_AFTER_CYCLE, IMAGE GUEST "after = \"g\"",
		"8:9: guest.g: waits for itself: g is after g"},
	{CONFIG_AFTER_ALWAYS, IMAGE GUEST "restart = \"always\"\n" OTHER "after = \"g\"",
		"13:9: guest.h: waits for guest.g, which never stops by itself (restart = \"always\")"},
	{CONFIG_WARN_HOUSEKEEPING_SHARED,
		IMAGE "[guest.g]\nimage = \"i\"\ncpus = [0]\nmemory = \"64M\"",
		"6:9: warning: guest.g: shares CPU 0 with the hypervisor's work"},
};

/* Mistakes that bring others with them or need a long text have tests of their own below. */
static const enum config_error elsewhere[] = {
	CONFIG_TEXT_TOO_LARGE,
	CONFIG_TOO_MANY_VALUES,
	CONFIG_IMAGES_TOO_MANY,
	CONFIG_GUESTS_TOO_MANY,
	CONFIG_PATH_TOO_LONG,
	CONFIG_CMDLINE_TOO_LONG,
	CONFIG_CPUS_TOO_MANY,
	CONFIG_IMAGE_BAD,
	CONFIG_CPU_REPEATED,
	CONFIG_AFTER_BAD,
};

/* "30M" has that size, "absent" and "broken" have none, all others are small. */
static int file_size(void *context, const char *path, uint64_t *size_bytes)
{
	(void)context;
	if (strcmp(path, "absent") == 0)
		return E_NOENT;
	if (strcmp(path, "broken") == 0)
		return E_FAULT;
	if (config_parse_size(path, size_bytes) != 0)
		*size_bytes = KIB(100);
	return 0;
}

static bool cpu_3_broken;

static const char *cpu_problem(void *context, unsigned cpu)
{
	(void)context;
	assert_true(cpu < 4);
	return cpu == 3 && cpu_3_broken ? "it did not start" : NULL;
}

static void run(const char *text)
{
	const struct config_machine_facts facts = {.cpu_count = 4,
		.cpu_problem = cpu_problem,
		.memory_bytes = GIB(1),
		.file_size = file_size};

	if (config_parse(&config, "f", text, strlen(text), &errors) == 0)
		config_check(&config, &facts, &verdict, &errors);
}

/* What the list says, "" at its end. */
static const char *line(unsigned index)
{
	static char buf[512];

	buf[0] = '\0';
	if (index < errors.count)
		config_errors_format(&errors, index, buf, sizeof(buf));
	return buf;
}

static void each_mistake_has_its_line(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char expected[512] = "";

		cpu_3_broken = cases[i].code == CONFIG_CPU_UNUSABLE ||
			       cases[i].code == CONFIG_HOUSEKEEPING_UNUSABLE;
		run(cases[i].text);
		cpu_3_broken = false;
		if (cases[i].line)
			snprintf(expected, sizeof(expected), "f:%s", cases[i].line);
		assert_string_equal(line(0), expected);
		assert_string_equal(line(1), "");
		if (cases[i].line)
			assert_int_equal(errors.entries[0].code, cases[i].code);
		assert_int_equal(errors.mistake_count,
			errors.count && config_error_severity(cases[i].code) != CONFIG_WARNING);
	}
}

static void no_mistake_is_untested(void **state)
{
	bool seen[CONFIG_ERROR_COUNT] = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		seen[cases[i].code] |= cases[i].line != NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(elsewhere); i++)
		seen[elsewhere[i]] = true;
	for (unsigned i = 0; i < CONFIG_ERROR_COUNT; i++) {
		if (!seen[i])
			fail_msg("no test for: %s", config_error_text(i));
	}
}

/* config_errors_add passes three strings, whatever the text asks for. */
static void texts_take_up_to_three_strings(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CONFIG_ERROR_COUNT; i++) {
		const char *p = config_error_text(i);
		unsigned count = 0;

		assert_non_null(p);
		while ((p = strchr(p, '%'))) {
			p++;
			if (*p == '.')
				p += 1 + strspn(p + 1, "0123456789");
			assert_int_equal(*p, 's');
			count++;
		}
		assert_true(count <= 3);
	}
}

static char big[TOML_TEXT_MAX + 2];

static void a_file_has_a_largest_size(void **state)
{
	(void)state;
	memset(big, '#', sizeof(big));
	assert_int_equal(config_parse(&config, "f", big, TOML_TEXT_MAX, &errors), 0);
	assert_int_equal(config_parse(&config, "f", big, TOML_TEXT_MAX + 1, &errors), E_INVAL);
	assert_string_equal(
		line(0), "f:1:1: the file is larger than 65534 bytes; no guest is started");
}

/* Behind as many values as leave room for one more. */
static int parse_behind_many(const char *tail)
{
	unsigned used = 0;

	for (unsigned i = 0; i < TOML_NODES_MAX - 2; i++)
		used += (unsigned)sprintf(big + used, "a%u=1\n", i);
	used += (unsigned)sprintf(big + used, "%s", tail);
	config_errors_init(&errors, "f");
	return toml_parse(&config.doc, big, used, &errors);
}

static void a_file_has_a_most_of_values(void **state)
{
	(void)state;
	assert_int_equal(parse_behind_many("b=1"), 0);
	assert_int_equal(parse_behind_many("[b]"), 0);
	assert_int_equal(parse_behind_many("b=[]"), 0);
	assert_int_equal(parse_behind_many("b=1\nc=1"), E_INVAL);
	assert_string_equal(line(0),
		"f:4096:2: the file has more than 4095 tables and values; no guest is started");
	assert_int_equal(parse_behind_many("[b.c]"), E_INVAL);
	assert_int_equal(parse_behind_many("[b.c.d]"), E_INVAL);
	assert_int_equal(parse_behind_many("b.c=1"), E_INVAL);
	assert_int_equal(parse_behind_many("b=[1]"), E_INVAL);
}

/* `count` tables with the same keys into `big`. */
static void make_tables(const char *kind, const char *keys, unsigned count)
{
	unsigned used = 0;

	for (unsigned i = 0; i < count; i++)
		used += (unsigned)sprintf(big + used, "[%s.n%u]\n%s", kind, i, keys);
}

static void there_is_a_most_of_images_and_guests(void **state)
{
	(void)state;
	make_tables("image", "kernel=\"k\"\n", CONFIG_IMAGES_MAX);
	run(big);
	assert_int_equal(errors.count, 0);
	make_tables("image", "kernel=\"k\"\n", CONFIG_IMAGES_MAX + 1);
	run(big);
	assert_string_equal(line(0), "f:129:8: image.n64: more than 64 images");
	assert_int_equal(config.image_count, CONFIG_IMAGES_MAX);

	make_tables("guest", "image=\"x\"\ncpus=[1]\nmemory=\"2M\"\n", CONFIG_GUESTS_MAX + 1);
	assert_int_equal(config_parse(&config, "f", big, strlen(big), &errors), 0);
	assert_string_equal(line(0), "f:513:8: guest.n128: more than 128 guests");
	assert_string_equal(line(1), "");
	assert_int_equal(config.guest_count, CONFIG_GUESTS_MAX);
}

static void strings_have_largest_lengths(void **state)
{
	char text[2048], x[1025];

	(void)state;
	memset(x, 'x', sizeof(x));
	snprintf(text, sizeof(text), "[image.i]\nkernel = \"%.159s\"\ncmdline = \"%.1023s\"", x, x);
	run(text);
	assert_int_equal(errors.count, 0);
	snprintf(text, sizeof(text), "[image.i]\nkernel = \"%.160s\"\ncmdline = \"%.1024s\"", x, x);
	run(text);
	assert_string_equal(line(0), "f:2:10: image.i: kernel is longer than 159 characters");
	assert_string_equal(line(1), "f:3:11: image.i: cmdline is longer than 1023 characters");
	assert_null(config.images[0].kernel.text);

	snprintf(text, sizeof(text), "[image.%.31s]\nkernel = \"k\"", x);
	run(text);
	assert_int_equal(errors.count, 0);
	snprintf(text, sizeof(text), "[image.%.32s]\nkernel = \"k\"", x);
	run(text);
	assert_int_equal(errors.entries[0].code, CONFIG_NAME_INVALID);
	assert_int_equal(config.image_count, 0);
}

static void a_guest_has_a_most_of_cpus(void **state)
{
	unsigned used = (unsigned)sprintf(
		big, IMAGE "[guest.g]\nimage = \"i\"\nmemory = \"2M\"\ncpus = [0");

	(void)state;
	for (unsigned i = 1; i <= CONFIG_CPUS_MAX; i++)
		used += (unsigned)sprintf(big + used, ",\n%u", i);
	sprintf(big + used, "]\n");
	assert_int_equal(config_parse(&config, "f", big, strlen(big), &errors), 0);
	assert_string_equal(line(0), "f:15:1: guest.g: more than 8 cpus");
	assert_string_equal(line(1), "");
	assert_int_equal(config.guests[0].cpus.count, CONFIG_CPUS_MAX);
	assert_true(config.guests[0].bad);
}

static void a_cpu_twice_in_one_guest(void **state)
{
	(void)state;
	run(IMAGE "[guest.g]\nimage = \"i\"\ncpus = [1,2,1]\nmemory = \"2M\"\n");
	assert_string_equal(line(0), "f:6:13: guest.g: CPU 1 is given twice");
	assert_string_equal(line(1), "");
}

static void a_bad_image_stops_its_guests(void **state)
{
	(void)state;
	run("[image.i]\nkernel = \"absent\"\n" GUEST "[image.j]\nkernel = \"k\"\n"
	    "[guest.h]\nimage = \"j\"\ncpus = [2]\nmemory = \"64M\"\n");
	assert_string_equal(line(0), "f:2:10: image.i: kernel: there is no file \"absent\"");
	assert_string_equal(line(1), "f:4:9: guest.g: image.i has a mistake");
	assert_string_equal(line(2), "");
	assert_true(verdict.guest_bad[0]);
	assert_false(verdict.guest_bad[1]);
}

static void a_guest_after_a_bad_one_is_bad(void **state)
{
	(void)state;
	run(IMAGE GUEST "exit_port = 0\n" OTHER "after = \"g\"\n");
	assert_string_equal(
		line(0), "f:8:13: guest.g: exit_port 0 is not an I/O port: 1 to 0xffff");
	assert_string_equal(line(1), "f:13:9: guest.h: waits for guest.g, which cannot start");
	assert_string_equal(line(2), "");
	assert_true(verdict.guest_bad[1]);
}

static void the_list_is_bounded_and_sorted(void **state)
{
	unsigned used = 0;

	(void)state;
	for (unsigned i = 0; i < CONFIG_ERRORS_MAX + 6; i++)
		used += (unsigned)sprintf(big + used, "x%u = 1\n", i);
	run(big);
	assert_int_equal(errors.count, CONFIG_ERRORS_MAX);
	assert_int_equal(errors.dropped, 6);
	assert_int_equal(errors.mistake_count, CONFIG_ERRORS_MAX + 6);

	/* Tables in another order than their mistakes are found: reading first, then the check. */
	run(IMAGE GUEST "after = \"x1\"\n[image.l]\nkernel = 1\n");
	assert_string_equal(line(0), "f:8:9: guest.g: there is no guest \"x1\"");
	assert_string_equal(line(1), "f:10:10: image.l: kernel must be a string, not a number");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_mistake_has_its_line),
		cmocka_unit_test(no_mistake_is_untested),
		cmocka_unit_test(texts_take_up_to_three_strings),
		cmocka_unit_test(a_file_has_a_largest_size),
		cmocka_unit_test(a_file_has_a_most_of_values),
		cmocka_unit_test(there_is_a_most_of_images_and_guests),
		cmocka_unit_test(strings_have_largest_lengths),
		cmocka_unit_test(a_guest_has_a_most_of_cpus),
		cmocka_unit_test(a_cpu_twice_in_one_guest),
		cmocka_unit_test(a_bad_image_stops_its_guests),
		cmocka_unit_test(a_guest_after_a_bad_one_is_bad),
		cmocka_unit_test(the_list_is_bounded_and_sorted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
