/* SPDX-License-Identifier: Apache-2.0 */
/* Which guests of a config may start on a machine: CPUs, memory, chains of `after`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "hv/config/check.h"

static struct config config;
static struct config_errors errors;
static struct config_verdict verdict;
static char text[16384];

/* One image "i"; guests are then added in the order of the file. */
static void begin(void)
{
	strcpy(text, "[image.i]\nkernel = \"k\"\n");
}

static void guest(const char *name, unsigned cpu, unsigned mib, const char *more)
{
	sprintf(text + strlen(text),
		"[guest.%s]\nimage = \"i\"\ncpus = [%u]\nmemory = \"%uM\"\n%s\n", name, cpu, mib,
		more);
}

static void check(unsigned cpus, uint64_t memory)
{
	const struct config_machine_facts facts = {.cpu_count = cpus, .memory_bytes = memory};

	assert_int_equal(config_parse(&config, "f", text, strlen(text), &errors), 0);
	assert_int_equal(errors.count, 0);
	config_check(&config, &facts, &verdict, &errors);
}

/* The bad guests' numbers, as digits. */
static void assert_bad(const char *expected)
{
	char bad[CONFIG_GUESTS_MAX + 1] = "";

	for (unsigned i = 0; i < config.guest_count; i++) {
		if (verdict.guest_bad[i])
			sprintf(bad + strlen(bad), "%u", i);
	}
	assert_string_equal(bad, expected);
	assert_int_equal(errors.mistake_count != 0, *bad != 0);
}

static void unknown_facts_are_not_checked(void **state)
{
	(void)state;
	begin();
	guest("a", 60000, 1u << 30, "");
	check(0, 0);
	assert_bad("");
	check(60001, GIB(1u << 20));
	assert_bad("");
	check(60000, 0);
	assert_bad("0");
	check(0, GIB(1u << 20) - 1);
	assert_bad("0");
}

static void nobody_else_is_stopped(void **state)
{
	(void)state;
	begin();
	guest("a", 9, 2, "");
	guest("b", 1, 3, "");
	guest("c", 2, 4096, "");
	guest("d", 3, 64, "");
	guest("e", 3, 64, "");
	guest("f", 0, 64, "");
	check(4, GIB(1));
	assert_bad("0124");
	assert_int_equal(errors.mistake_count, 4);
	assert_int_equal(errors.count, 5); /* f shares the housekeeping CPU: a warning */
}

/* Who cannot start takes neither CPU nor memory from those that can. */
static void a_bad_guest_holds_nothing(void **state)
{
	(void)state;
	begin();
	guest("a", 1, 512, "after = \"none\"");
	guest("b", 1, 1024, "");
	check(2, GIB(1));
	assert_bad("0");
}

static void one_cpu_along_a_chain(void **state)
{
	(void)state;
	begin();
	guest("a", 1, 64, "");
	guest("b", 1, 64, "after = \"a\"");
	guest("c", 1, 64, "after = \"b\"");
	check(2, 0);
	assert_bad("");
	guest("d", 1, 64, "after = \"a\""); /* runs together with b */
	check(2, 0);
	assert_bad("3");
	assert_int_equal(errors.entries[0].code, CONFIG_CPU_TAKEN);
	guest("e", 1, 64, "");
	check(2, 0);
	assert_bad("34");
}

/* A guest that others wait for comes first wherever it stands. */
static void a_chain_written_backwards(void **state)
{
	(void)state;
	begin();
	guest("c", 1, 64, "after = \"b\"");
	guest("x", 1, 64, "");
	guest("b", 1, 64, "after = \"a\"");
	guest("a", 1, 64, "");
	check(2, 0);
	assert_bad("1");
}

/* Also where it then turns out that it cannot start. */
static void a_chain_written_backwards_behind_a_bad_guest(void **state)
{
	(void)state;
	begin();
	guest("y", 1, 64, "");
	guest("c", 3, 64, "after = \"b\"");
	guest("b", 2, 64, "after = \"a\"");
	guest("a", 1, 64, "");
	check(4, 0);
	assert_bad("123");
}

static void cycles(void **state)
{
	(void)state;
	begin();
	guest("a", 1, 64, "after = \"c\"");
	guest("b", 1, 64, "after = \"a\"");
	guest("c", 1, 64, "after = \"b\"");
	guest("d", 1, 64, "after = \"a\"");
	guest("e", 1, 64, "after = \"d\"");
	guest("f", 1, 64, "");
	check(2, 0);
	assert_bad("01234");
	assert_int_equal(errors.count, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(
			errors.entries[i].code, i < 3 ? CONFIG_AFTER_CYCLE : CONFIG_AFTER_BAD);
}

static void waiting_for_one_that_never_stops(void **state)
{
	(void)state;
	begin();
	guest("a", 1, 64, "restart = \"always\"");
	guest("b", 1, 64, "after = \"a\"");
	guest("c", 1, 64, "after = \"b\"\nrestart = \"always\"");
	guest("d", 2, 64, "restart = \"on-failure\"");
	guest("e", 2, 64, "after = \"d\"");
	check(4, 0);
	assert_bad("12");
	assert_int_equal(errors.entries[0].code, CONFIG_AFTER_ALWAYS);
	assert_int_equal(errors.entries[1].code, CONFIG_AFTER_BAD);
}

static void memory_is_first_come_first_served(void **state)
{
	(void)state;
	begin();
	guest("a", 1, 512, "");
	guest("b", 2, 600, "");
	guest("c", 3, 512, "");
	check(4, GIB(1));
	assert_bad("1");
	check(4, GIB(1) - 1);
	assert_bad("12");
}

static void a_chain_needs_its_largest_member(void **state)
{
	char line[256];

	(void)state;
	begin();
	guest("a", 1, 512, "");
	guest("b", 1, 256, "after = \"a\"");
	guest("c", 1, 768, "after = \"b\"");
	guest("d", 2, 256, "");
	check(3, GIB(1));
	assert_bad("");
	guest("e", 1, 770, "after = \"c\"");
	check(3, GIB(1));
	assert_bad("4");
	config_errors_format(&errors, 0, line, sizeof(line));
	assert_string_equal(
		line, "f:26:10: guest.e: memory 770M does not fit, 768M of 1G is left for it");
}

static void branches_behind_one_guest_add_up(void **state)
{
	(void)state;
	begin();
	guest("a", 1, 512, "");
	guest("b", 1, 512, "after = \"a\"");
	guest("c", 2, 512, "after = \"a\"");
	check(4, GIB(1));
	assert_bad("");
	guest("d", 3, 2, "after = \"a\"");
	check(4, GIB(1));
	assert_bad("3");
}

static void housekeeping_falls_back(void **state)
{
	(void)state;
	begin();
	guest("a", 0, 64, "");
	guest("b", 1, 64, "[machine]\nhousekeeping = 1");
	check(2, 0);
	assert_int_equal(verdict.housekeeping, 1);
	assert_int_equal(errors.count, 1);
	assert_int_equal(errors.entries[0].at.line, 10);
	check(0, 0);
	assert_int_equal(verdict.housekeeping, 1);
	check(1, 0);
	assert_int_equal(verdict.housekeeping, 0);
}

static int huge_file(void *context, const char *path, uint64_t *size_bytes)
{
	(void)path;
	*size_bytes = *(uint64_t *)context;
	return 0;
}

/* Sums of whatever sizes do not wrap. */
static void nothing_wraps(void **state)
{
	uint64_t size = UINT64_MAX - 5;
	const struct config_machine_facts facts = {
		.memory_bytes = GIB(1), .file_size = huge_file, .context = &size};

	(void)state;
	begin();
	guest("a", 1, 64, "[image.j]\nkernel = \"k\"\ninitrd = \"l\"");
	assert_int_equal(config_parse(&config, "f", text, strlen(text), &errors), 0);
	config_check(&config, &facts, &verdict, &errors);
	assert_bad("0");
	assert_int_equal(errors.entries[0].code, CONFIG_MEMORY_FILES);

	strcpy(text, "[image.i]\nkernel = \"k\"\n");
	for (unsigned i = 0; i < 3; i++)
		sprintf(text + strlen(text),
			"[guest.g%u]\nimage = \"i\"\ncpus = [%u]\nmemory = \"17179869182G\"\n", i,
			i + 1);
	check(0, UINT64_MAX - 1);
	assert_bad("12"); /* each alone is 2 GiB below 2^64 */
}

/* The most that can run at once, by trying every set of guests of which none waits for another. */
static unsigned brute_force(const int *after, const unsigned *mib, unsigned count)
{
	unsigned most = 0;

	for (unsigned set = 0; set < 1u << count; set++) {
		unsigned sum = 0;
		bool possible = true;

		for (unsigned i = 0; i < count; i++) {
			if (!(set & 1u << i))
				continue;
			sum += mib[i];
			for (int up = after[i]; up >= 0; up = after[up])
				possible &= !(set & 1u << up);
		}
		if (possible && sum > most)
			most = sum;
	}
	return most;
}

static void memory_of_random_forests(void **state)
{
	(void)state;
	srand(1);
	for (unsigned round = 0; round < 300; round++) {
		unsigned count = 1 + (unsigned)rand() % 8, mib[8], most;
		int after[8];

		begin();
		for (unsigned i = 0; i < count; i++) {
			char name[16], more[32] = "";

			after[i] = rand() % ((int)i + 1) - 1;
			mib[i] = 2 * (1 + (unsigned)rand() % 20);
			sprintf(name, "g%u", i);
			if (after[i] >= 0)
				sprintf(more, "after = \"g%d\"", after[i]);
			guest(name, i + 1, mib[i], more);
		}
		most = brute_force(after, mib, count);
		check(0, MIB(most));
		assert_bad("");
		check(0, MIB(most) - 1);
		assert_int_not_equal(errors.mistake_count, 0);
	}
}

/* As many guests as a config can have, in one chain written backwards. */
static void the_longest_chain(void **state)
{
	(void)state;
	begin();
	for (unsigned i = CONFIG_GUESTS_MAX; i-- > 0;) {
		char name[16], more[32] = "";

		sprintf(name, "g%u", i);
		if (i)
			sprintf(more, "after = \"g%u\"", i - 1);
		guest(name, 1, 64, more);
	}
	check(2, MIB(64));
	assert_bad("");
	assert_int_equal(config.guest_count, CONFIG_GUESTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_facts_are_not_checked),
		cmocka_unit_test(nobody_else_is_stopped),
		cmocka_unit_test(a_bad_guest_holds_nothing),
		cmocka_unit_test(one_cpu_along_a_chain),
		cmocka_unit_test(a_chain_written_backwards),
		cmocka_unit_test(a_chain_written_backwards_behind_a_bad_guest),
		cmocka_unit_test(cycles),
		cmocka_unit_test(waiting_for_one_that_never_stops),
		cmocka_unit_test(memory_is_first_come_first_served),
		cmocka_unit_test(a_chain_needs_its_largest_member),
		cmocka_unit_test(branches_behind_one_guest_add_up),
		cmocka_unit_test(housekeeping_falls_back),
		cmocka_unit_test(nothing_wraps),
		cmocka_unit_test(memory_of_random_forests),
		cmocka_unit_test(the_longest_chain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
