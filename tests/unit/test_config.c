/* SPDX-License-Identifier: Apache-2.0 */
/* What a good config is read to: values, defaults, places, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "boot/bootinfo.h"
#include "hv/config/config.h"

_Static_assert(CONFIG_PATH_MAX + 1 == BOOT_PATH_MAX, "a path of the config fits the hand-over");

static struct config config;
static struct config_errors errors;

static int parse(const char *text)
{
	return config_parse(&config, "f", text, strlen(text), &errors);
}

static void everything_given(void **state)
{
	const struct config_guest *g;

	(void)state;
	assert_int_equal(parse("[machine]\n"
			       "console = \"com1\"\n"
			       "housekeeping = 3\n"
			       "color = true\n"
			       "apic_virtualization = false\n"
			       "when_all_stopped = \"reboot\"\n"
			       "[image.debian-12]\n"
			       "kernel = \"images/vmlinuz\"\n"
			       "initrd = \"images/initrd.img\"\n"
			       "cmdline = \"console=ttyS0\"\n"
			       "[guest.web]\n"
			       "image = \"debian-12\"\n"
			       "cpus = [1, 0x2]\n"
			       "memory = \"3G\"\n"
			       "cmdline = \"quiet\"\n"
			       "restart = \"on-failure\"\n"
			       "after = \"0\"\n"
			       "exit_port = 0xf4\n"
			       "debug_mmio = true\n"
			       "[guest.0]\n"
			       "image = \"debian-12\"\n"
			       "cpus = [1]\n"
			       "memory = \"65536K\"\n"
			       "restart = \"always\"\n"),
		0);
	assert_int_equal(errors.count, 0);
	assert_int_equal(config.machine.console, CONFIG_CONSOLE_COM1);
	assert_int_equal(config.machine.housekeeping.value, 3);
	assert_int_equal(config.machine.housekeeping.at.line, 3);
	assert_true(config.machine.color);
	assert_int_equal(config.machine.apic_virtualization, CONFIG_SWITCH_OFF);
	assert_int_equal(config.machine.when_all_stopped, CONFIG_ALL_STOPPED_REBOOT);

	assert_int_equal(config.image_count, 1);
	assert_string_equal(config.images[0].name, "debian-12");
	assert_string_equal(config.images[0].kernel.text, "images/vmlinuz");
	assert_string_equal(config.images[0].initrd.text, "images/initrd.img");
	assert_string_equal(config.images[0].cmdline.text, "console=ttyS0");
	assert_false(config.images[0].bad);

	assert_int_equal(config.guest_count, 2);
	g = &config.guests[0];
	assert_string_equal(g->name, "web");
	assert_string_equal(g->image.text, "debian-12");
	assert_int_equal(g->image_index, 0);
	assert_int_equal(g->after_index, 1);
	assert_int_equal(g->cpus.count, 2);
	assert_int_equal(g->cpus.cpu[1].number, 2);
	assert_int_equal(g->cpus.cpu[1].at.line, 13);
	assert_int_equal(g->cpus.cpu[1].at.column, 12);
	assert_true(g->memory.value == GIB(3));
	assert_int_equal(g->restart, CONFIG_RESTART_ON_FAILURE);
	assert_int_equal(g->exit_port.value, 0xf4);
	assert_true(g->debug_mmio);
	assert_false(g->bad);
	assert_string_equal(config_guest_cmdline(&config, g), "quiet");
	assert_ptr_equal(config_guest_image(&config, g), &config.images[0]);

	g = &config.guests[1];
	assert_true(g->memory.value == MIB(64));
	assert_int_equal(g->restart, CONFIG_RESTART_ALWAYS);
	assert_string_equal(config_guest_cmdline(&config, g), "console=ttyS0");
	assert_int_equal(config_find_guest(&config, "0"), 1);
	assert_int_equal(config_find_guest(&config, "1"), -1);
}

static void defaults(void **state)
{
	(void)state;
	/* What an earlier config said is forgotten. */
	assert_int_equal(
		parse("[machine]\ncolor = true\nhousekeeping = 2\nwhen_all_stopped = \"poweroff\"\n"
		      "apic_virtualization = false"),
		0);
	assert_int_equal(config.machine.when_all_stopped, CONFIG_ALL_STOPPED_POWEROFF);
	assert_int_equal(
		parse("[image.i]\nkernel = \"k\"\n[guest.g]\nimage = \"i\"\ncpus = [1]\n"
		      "memory = \"2M\"\n[guest.h]\nimage = \"none\"\ncpus = [2]\nmemory = \"2M\""),
		0);
	assert_int_equal(config.machine.console, CONFIG_CONSOLE_COM1);
	assert_int_equal(config.machine.when_all_stopped, CONFIG_ALL_STOPPED_STAY);
	assert_int_equal(config.machine.housekeeping.value, 0);
	assert_false(config.machine.color);
	assert_int_equal(config.machine.apic_virtualization, CONFIG_SWITCH_AUTO);
	assert_int_equal(parse("[machine]\napic_virtualization = true"), 0);
	assert_int_equal(config.machine.apic_virtualization, CONFIG_SWITCH_ON);
	assert_int_equal(
		parse("[image.i]\nkernel = \"k\"\n[guest.g]\nimage = \"i\"\ncpus = [1]\n"
		      "memory = \"2M\"\n[guest.h]\nimage = \"none\"\ncpus = [2]\nmemory = \"2M\""),
		0);
	assert_null(config.images[0].initrd.text);
	assert_null(config.images[0].cmdline.text);
	assert_int_equal(config.guests[0].restart, CONFIG_RESTART_NO);
	assert_int_equal(config.guests[0].after_index, -1);
	assert_null(config.guests[0].after.text);
	assert_int_equal(config.guests[0].exit_port.value, 0);
	assert_false(config.guests[0].debug_mmio);
	assert_string_equal(config_guest_cmdline(&config, &config.guests[0]), "");
	assert_int_equal(config.guests[1].image_index, -1);
	assert_null(config_guest_image(&config, &config.guests[1]));
	assert_string_equal(config_guest_cmdline(&config, &config.guests[1]), "");
}

/* An empty cmdline of a guest replaces its image's. */
static void an_empty_cmdline_is_one(void **state)
{
	(void)state;
	assert_int_equal(
		parse("[image.i]\nkernel = \"k\"\ncmdline = \"x\"\n[guest.g]\nimage = \"i\"\n"
		      "cpus = [1]\nmemory = \"2M\"\ncmdline = \"\""),
		0);
	assert_string_equal(config_guest_cmdline(&config, &config.guests[0]), "");
}

static void syntax_starts_nobody(void **state)
{
	(void)state;
	assert_int_equal(parse("[image.i]\nkernel = \"k\"\n[guest.g]\nimage = \"i\"\ncpus = [1]\n"
			       "memory = \"2M\"\n[guest.g]\n"),
		E_INVAL);
	assert_int_equal(config.guest_count, 0);
	assert_int_equal(config.image_count, 0);
	assert_int_equal(errors.mistake_count, 1);
}

static void a_mistake_marks_its_own_table(void **state)
{
	(void)state;
	assert_int_equal(
		parse("[machine]\nx = 1\n[image.i]\nkernel = \"/k\"\n[image.j]\nkernel = \"k\"\n"
		      "[guest.g]\nimage = \"i\"\ncpus = []\nmemory = \"2M\"\n"
		      "[guest.h]\nimage = \"j\"\ncpus = [1]\nmemory = \"2M\"\n[guest.K]\n"),
		0);
	assert_int_equal(errors.mistake_count, 4);
	assert_true(config.images[0].bad);
	assert_false(config.images[1].bad);
	assert_true(config.guests[0].bad);
	assert_false(config.guests[1].bad);
	assert_int_equal(config.guest_count, 2); /* one without a name is none */
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int status;
		uint64_t bytes;
	} cases[] = {
		{"0K", 0, 0},
		{"1K", 0, 1024},
		{"256M", 0, MIB(256)},
		{"007G", 0, GIB(7)},
		{"17179869183G", 0, GIB(17179869183)},
		{"17179869184G", E_RANGE, 0},
		{"18014398509481984K", E_RANGE, 0},
		{"99999999999999999999K", E_RANGE, 0},
		{"", E_INVAL, 0},
		{"M", E_INVAL, 0},
		{"1", E_INVAL, 0},
		{"1m", E_INVAL, 0},
		{"1T", E_INVAL, 0},
		{"1MB", E_INVAL, 0},
		{"1 M", E_INVAL, 0},
		{" 1M", E_INVAL, 0},
		{"-1M", E_INVAL, 0},
		{"1.5G", E_INVAL, 0},
		{"0x1M", E_INVAL, 0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 0;

		assert_int_equal(config_parse_size(cases[i].text, &bytes), cases[i].status);
		assert_true(bytes == cases[i].bytes);
	}
}

static void names(void **state)
{
	static const char *const good[] = {
		"a", "0", "a-", "a--b", "x86-64", "abcdefghijklmnopqrstuvwxyz01234"};
	static const char *const bad[] = {"'-a'", "A", "a_b", "'a.b'", "''", "'a b'", "'é'",
		"abcdefghijklmnopqrstuvwxyz012345"};
	char text[128];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good) + ARRAY_SIZE(bad); i++) {
		bool is_good = i < ARRAY_SIZE(good);

		strcpy(text, "[image.");
		strcat(text, is_good ? good[i] : bad[i - ARRAY_SIZE(good)]);
		strcat(text, "]\nkernel = \"k\"");
		assert_int_equal(parse(text), 0);
		assert_int_equal(errors.count, !is_good);
		assert_int_equal(config.image_count, is_good);
	}
}

static void files_are_listed_once(void **state)
{
	const char *paths[CONFIG_FILES_MAX];

	(void)state;
	assert_int_equal(
		parse("[image.a]\nkernel = \"k1\"\ninitrd = \"i\"\n[image.b]\ninitrd = \"i\"\n"
		      "kernel = \"k2\"\n[image.c]\nkernel = \"k1\"\ninitrd = \"/bad\"\n"),
		0);
	assert_int_equal(config_list_files(&config, paths), 3);
	assert_string_equal(paths[0], "k1");
	assert_string_equal(paths[1], "i");
	assert_string_equal(paths[2], "k2");
	assert_int_equal(parse(""), 0);
	assert_int_equal(config_list_files(&config, paths), 0);
}

static void what_was_meant(void **state)
{
	static const struct {
		const char *word, *candidate;
		bool near;
	} cases[] = {
		{"cpu", "cpus", true},
		{"CPUS", "cpus", true},
		{"memroy", "memory", true},
		{"memo", "memory", true},
		{"mem", "memory", false},
		{"xy", "no", false}, /* no letter in common */
		{"on", "no", false},
		{"n", "no", true},
		{"", "no", false},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			false},
	};
	struct config_guess guess;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		config_guess_init(&guess, cases[i].word);
		config_guess_try(&guess, cases[i].candidate);
		assert_int_equal(guess.best != NULL, cases[i].near);
		assert_int_equal(config_guess_text(&guess)[0], cases[i].near ? ';' : 0);
	}
	/* The nearest wins, the first of equals. */
	config_guess_init(&guess, "web1");
	config_guess_try(&guess, "wab2");
	config_guess_try(&guess, "web2");
	config_guess_try(&guess, "web3");
	assert_string_equal(config_guess_text(&guess), "; did you mean \"web2\"?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_given),
		cmocka_unit_test(defaults),
		cmocka_unit_test(an_empty_cmdline_is_one),
		cmocka_unit_test(syntax_starts_nobody),
		cmocka_unit_test(a_mistake_marks_its_own_table),
		cmocka_unit_test(sizes),
		cmocka_unit_test(names),
		cmocka_unit_test(files_are_listed_once),
		cmocka_unit_test(what_was_meant),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
