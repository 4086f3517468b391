/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text on the screen: against the rows it must give, in any pieces; colours; hostile bytes; the
 * state that a panic finds.
 */
#include "tests/unit/test_screen.h"

/* ---- Text ---- */

#define OTHER "\x7f"

static const struct {
	const char *in, *row[ROWS];
} texts[] = {
	{"", {""}},
	{"one", {"one"}},
	{"one\ntwo\r\nthree", {"one", "two", "three"}},
	{"one\rtw\n\n.", {"twe", "", "."}},
	/* A full line takes its end with it, and the next character begins another. */
	{ALPHABET "\r\nx", {ALPHABET, "x"}},
	{ALPHABET "x", {ALPHABET, "x"}},
	{ALPHABET ALPHABET "\n", {ALPHABET, ALPHABET}},
	{ALPHABET "\rA", {"Abcdefghijklmnopqrst"}},
	{ALPHABET "\bA", {"abcdefghijklmnopqrsA"}},
	/* Scrolling: the first rows are gone. */
	{"1\n2\n3\n4\n5", {"1", "2", "3", "4", "5"}},
	{"1\n2\n3\n4\n5\n", {"2", "3", "4", "5", ""}},
	{"1\n2\n3\n4\n5\n6\n7\n8", {"4", "5", "6", "7", "8"}},
	{"1\n2\n3\n4\n" ALPHABET "x\n\ny", {"4", ALPHABET, "x", "", "y"}},
	/* Tabs, up to the last column. */
	{"\tx\ty", {"        x       y"}},
	{"1234567\tx", {"1234567 x"}},
	{"12345678\tx", {"12345678        x"}},
	{"\t\t\tx\ty", {"                   x", "y"}},
	{"\t\t\t\t\tx", {"                   x"}},
	/* Back, but not beyond the line, and nothing is wiped out. */
	{"abc\b\bX", {"aXc"}},
	{"a\n\b\bX", {"a", "X"}},
	/* Other control characters show nothing. */
	{"a\a\v\f\x01\x1f\x7f"
	 "b",
		{"ab"}},
	/* Beyond ASCII: one sign a character; stray bytes are characters too. */
	{"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80.", {"caf" OTHER " " OTHER " " OTHER "."}},
	{"\xa9\xa9x\xff\x80\x80\x80\x80.", {OTHER OTHER "x" OTHER OTHER "."}},
	{"\xc3x\xe2\x82\xe2\x82\xac.", {OTHER "x" OTHER OTHER "."}},
	{"\xc3\n\xa9", {OTHER, OTHER}},
	/* Escape sequences vanish. */
	{"\033[1mbold\033[0m \033[31;1mred\033[m.", {"bold red."}},
	{"\033[2J\033[H\033[?25l\033[>0;1c\033[0 qx\033[10;10Hy", {"xy"}},
	{"\033c\033(B\033#8\0337x", {"x"}},
	{"\033]0;title \xc3\xa9\ax\033]8;;link\033\\y", {"xy"}},
	{"\033P1$r\033\\\033_a\033\\\033^p\033\\\033Xs\033\\x", {"x"}},
	{"\033\033[1mx\033[\033[1my", {"xy"}},
	{"\033[12\x18x\033]t\x1ay", {"xy"}},
	{"\033[1\r\b2mx", {"x"}},
	{"\033[1\nx\033]t\ny", {"", "x", "y"}},
	{"\033[1\xc3\xa9x", {OTHER "x"}},
	{"\033[1;2;3;4;5;6;7;8;9;10;11;12mx", {"x"}},
	{"\033[99999999999999999999999mx", {"x"}},
};

static void test_text(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		size_t size = strlen(texts[i].in);

		/* In two pieces, cut everywhere, and drawn between them. */
		for (size_t cut = 0; cut <= size; cut++) {
			start();
			screen_put(&screen, texts[i].in, cut);
			screen_draw(&screen, (unsigned)cut);
			screen_put(&screen, texts[i].in + cut, size - cut);
			for (unsigned row = 0; row < ROWS; row++) {
				const char *want = texts[i].row[row] ? texts[i].row[row] : "";

				assert_string_equal(row_text(row), want);
			}
		}
		assert_drawn(SCREEN_POISON);
	}
}

/* A sequence without an end hides a bounded number of bytes. */
static void test_endless_escape(void **state)
{
	static const char *const starts[] = {"\033[", "\033]", "\033P", "\033("};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(starts); i++) {
		start();
		put(starts[i]);
		for (unsigned n = 0; n < 300; n++)
			put(i == 3 ? "(" : "0");
		put("\rend");
		assert_int_equal(memcmp(row_text(screen.row), "end", 3), 0);
	}
}

/* ---- Colours ---- */

static const struct {
	const char *in;
	unsigned pen;
} colors[] = {
	{"", 7}, {"\033[1m", 15}, {"\033[1m\033[0m", 7}, {"\033[1m\033[m", 7}, {"\033[1;22m", 7},
	{"\033[31m", 1}, {"\033[31;1m", 9}, {"\033[1;31m", 9}, {"\033[36m", 6}, {"\033[37m", 7},
	{"\033[94m", 12}, {"\033[97;39m", 7}, {"\033[1;31;39m", 15}, {"\033[0;32m", 2},
	{"\033[31;0m", 7}, {"\033[30m", 8}, /* black on black */
	{"\033[90m", 8}, {"\033[41;5;4;7m", 7},
	{"\033[31;38;5;1m", 1}, /* colour numbers, not functions */
	{"\033[31;48;2;1;32;0m", 1}, {"\033[?1m", 7}, {"\033[>31m", 7}, {"\033[1 m", 7},
	{"\033[1K", 7}, {"\033[257m", 7}, /* 1 in eight bits */
	{"\033[65567m", 7},               /* 31 in sixteen */
	{"\033[2;2;2;2;2;2;2;31m", 1},
	{"\033[2;2;2;2;2;2;2;2;31m", 7}, /* more parameters than are kept */
};

static void test_colors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(colors); i++) {
		start_size(COLUMNS * 8, ROWS * 16, COLUMNS * 8 * 4, i & 1);
		put(colors[i / 2].in);
		put("M m");
		assert_int_equal(screen_row(&screen, 0)[0], colors[i / 2].pen << 8 | 'M');
		assert_int_equal(screen_row(&screen, 0)[1], ' '); /* whatever the pen */
		assert_drawn(SCREEN_POISON);
	}
	/* What the numbers of the colours are, in both orders. */
	start_size(8, 16, 32, BGR);
	assert_int_equal(screen_fake_pixel(&fake, 1), 0x00d04848);
	start_size(8, 16, 32, !BGR);
	assert_int_equal(screen_fake_pixel(&fake, 1), 0x004848d0);
}

/* ---- Panic ---- */

static uint32_t seed = 1;

static uint32_t random_number(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

/* Stopped anywhere: a line of its own, in plain colours, with everything drawn again. */
static void test_recover(void **state)
{
	(void)state;
	start();
	put("before \033[1;31mred\033]title");
	screen_draw(&screen, MOST);
	screen_fake_fill(&fake, SCREEN_POISON);
	screen_recover(&screen);
	put("PANIC: it");
	assert_drawn(SCREEN_POISON);
	assert_string_equal(row_text(0), "before red");
	assert_string_equal(row_text(1), "PANIC: it");
	assert_int_equal(screen_row(&screen, 1)[0], 7 << 8 | 'P');
	assert_int_equal(count_cells(SCREEN_POISON), COLUMNS * ROWS);
	/* No empty line before it if none had begun. */
	put("\n");
	screen_recover(&screen);
	put("again\r");
	assert_string_equal(row_text(2), "again");
	screen_recover(&screen);
	put("and");
	assert_string_equal(row_text(2), "again");
	assert_string_equal(row_text(3), "and");
}

/* Its first line does not scroll away, and its last one is there too. */
static void test_last_words(void **state)
{
	(void)state;
	start();
	put("1\n2\n3");
	screen_recover(&screen);
	put("PANIC: it\nrax\nrbx\n");
	assert_string_equal(row_text(0), "3");
	assert_string_equal(row_text(1), "PANIC: it");
	put("backtrace:\na\nb\nc");
	assert_string_equal(row_text(0), "PANIC: it");
	assert_string_equal(row_text(3), "backtrace:");
	assert_string_equal(row_text(4), "c");
	put("\n" ALPHABET "more\nhalted\n");
	assert_string_equal(row_text(0), "PANIC: it");
	assert_string_equal(row_text(3), "backtrace:");
	assert_string_equal(row_text(4), "halted");
	assert_drawn(SCREEN_POISON);
}

/* Whatever the damage to it, nothing beyond is touched. */
static void test_recover_from_damage(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		start();
		fill_with_text();
		screen.top = random_number();
		screen.row = random_number();
		screen.column = random_number();
		screen.next = random_number();
		screen.color = (uint8_t)random_number();
		for (size_t n = 0; n < sizeof(screen.parser); n++)
			((uint8_t *)&screen.parser)[n] = (uint8_t)random_number();
		if (i & 1)
			screen_recover(&screen);
		put("\033[1mx\t\b\n");
		put(ALPHABET ALPHABET);
		screen_recover(&screen);
		put("PANIC");
		assert_string_equal(row_text(screen.row), "PANIC");
		screen_draw(&screen, MOST);
		assert_pixels(SCREEN_POISON);
	}
	start();
	screen.columns = screen.rows = MOST;
	screen_recover(&screen);
	assert_true(screen.columns <= SCREEN_COLUMNS_MAX && screen.rows <= SCREEN_ROWS_MAX);
}

/* ---- Hostile bytes ---- */

static void test_noise(void **state)
{
	static const char mostly[] = "\033\033[[;m0123456789\n\r\t\b\xc3\xe2\x82]P\a";

	(void)state;
	start();
	for (unsigned i = 0; i < 3000; i++) {
		char bytes[50];

		for (unsigned n = 0; n < sizeof(bytes); n++)
			bytes[n] = random_number() % 3
					   ? mostly[random_number() % (sizeof(mostly) - 1)]
					   : (char)random_number();
		screen_put(&screen, bytes, sizeof(bytes));
		screen_draw(&screen, random_number() % 50);
		assert_true(screen.row < ROWS && screen.column <= COLUMNS && screen.top < ROWS);
		assert_pixels(SCREEN_POISON);
	}
	assert_drawn(SCREEN_POISON);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_endless_escape),
		cmocka_unit_test(test_colors),
		cmocka_unit_test(test_recover),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_recover_from_damage),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
