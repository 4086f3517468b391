/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console output: scripts of what guests write and when, with the exact bytes expected on the line,
 * each run with several sizes of the caller's buffer; escape sequences cut at every byte.
 */
#include "tests/unit/test_console.h"

/* A step names only what its operation uses. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define LINE_20  "a-line-of-twenty-..."
#define LINE_100 LINE_20 LINE_20 LINE_20 LINE_20 LINE_20

/* ---- Scripts ---- */

enum op {
	END,  /* a script ends with an empty step */
	IN,   /* source id writes text */
	AT,   /* time is n ms */
	OUT,  /* text is what comes, and no more */
	DUE,  /* the deadline is n ms */
	LOSE, /* source id loses n bytes */
	HAS,  /* console_has_output() is n */
	LIFE, /* source id: its guest has stopped */
	ZERO, /* source id: a new life's counter */
};

struct step {
	enum op op;
	unsigned id;
	const char *text;
	uint64_t n;
};

#define NEVER (NS_NEVER / NS_PER_MS)

static void check_deadline(ns_t now, uint64_t expected)
{
	ns_t at = console_deadline(&con);

	assert_int_equal(at / NS_PER_MS, expected);
	if (expected == NEVER)
		return;
	assert_true(at > now);
	assert_false(console_has_output(&con, at - 1));
	assert_true(console_has_output(&con, at));
}

static void run_step(const struct step *step, size_t room, ns_t *now)
{
	static char out[8192];

	switch (step->op) {
	case IN: feed(step->id, step->text); break;
	case AT: *now = ms(step->n); break;
	case OUT:
		drain(out, sizeof(out), room, *now);
		assert_string_equal(out, step->text);
		break;
	case DUE: check_deadline(*now, step->n); break;
	case HAS: assert_int_equal(console_has_output(&con, *now), step->n); break;
	case LOSE: dropped[step->id] += step->n; break;
	case LIFE: console_end_source(&con, step->id); break;
	case ZERO: dropped[step->id] = 0; break;
	case END: break;
	}
}

static void run(const struct step *script, bool color)
{
	static const size_t rooms[] = {1, 2, 3, 7, 64, 2000};

	for (unsigned i = 0; i < ARRAY_SIZE(rooms); i++) {
		ns_t now = 0;

		start(GUESTS, color);
		for (const struct step *step = script; step->op != END; step++)
			run_step(step, rooms[i], &now);
	}
}

static void test_lines(void **state)
{
	static const struct step script[] = {
		{OUT, 0, ""},
		{DUE, .n = NEVER},
		{IN, 1, "hello\n"},
		{OUT, 0, "web | hello\r\n"},
		{IN, 1, "dos\r\n\n\ttab\n"},
		{OUT, 0, "web | dos\r\nweb | \r\nweb | \ttab\r\n"},
		{IN, 1,
			"\a\b\x01\x7f\v\f"
			"caf\xc3\xa9 \xe2\x82\xac\n"},
		{OUT, 0, "web | caf\xc3\xa9 \xe2\x82\xac\r\n"},
		{IN, 1, "w1\nw2\nw3\n"},
		{IN, 2, "d1\nd2\n"},
		{IN, 3, "a1\n"},
		{IN, 0, "h1\nh2\n"},
		{OUT, 0,
			"bulkhead | h1\r\nbulkhead | h2\r\ndb | d1\r\na-long-name | a1\r\nweb | w1\r\n"
			"db | d2\r\nweb | w2\r\nweb | w3\r\n"},
		{DUE, .n = NEVER},
		{END},
	};

	(void)state;
	run(script, false);
}

static void test_partial_lines(void **state)
{
	static const struct step script[] = {
		/* The time counts from the first byte, also when more come. */
		{AT, .n = 1000},
		{IN, 1, "log"},
		{OUT, 0, ""},
		{DUE, .n = 1050},
		{AT, .n = 1030},
		{IN, 1, "in: "},
		{OUT, 0, ""},
		{DUE, .n = 1050},
		{AT, .n = 1049},
		{OUT, 0, ""},
		{AT, .n = 1050},
		{OUT, 0, "web | login: "},
		{DUE, .n = NEVER},
		/* An echo on the open line comes at once. */
		{IN, 1, "r"},
		{OUT, 0, "r"},
		{IN, 1, "oot\r\n"},
		{OUT, 0, "oot\r\n"},
		{IN, 1, "x"},
		{OUT, 0, ""},
		{DUE, .n = 1100},
		{IN, 1, "yz\n"},
		{OUT, 0, "web | xyz\r\n"},
		/* The second of two lines is partial. */
		{AT, .n = 2000},
		{IN, 1, "one\ntwo"},
		{OUT, 0, "web | one\r\n"},
		{DUE, .n = 2050},
		{AT, .n = 2090},
		{OUT, 0, "web | two"},
		{END},
	};

	(void)state;
	run(script, false);
}

static void test_cut_lines(void **state)
{
	static const struct step script[] = {
		{IN, 1, "web# "},
		{OUT, 0, ""},
		{AT, .n = 50},
		{OUT, 0, "web | web# "},
		{IN, 2, "tick\n"},
		{OUT, 0, "\r\ndb | tick\r\n"},
		/* The cut line goes on with a new prefix, after the time of a new partial line. */
		{IN, 1, "ls"},
		{OUT, 0, ""},
		{DUE, .n = 100},
		{AT, .n = 100},
		{OUT, 0, "web | ls"},
		/* Its end alone shows nothing: the screen has ended it. */
		{IN, 0, "log\n"},
		{OUT, 0, "\r\nbulkhead | log\r\n"},
		{IN, 1, "\r\n"},
		{OUT, 0, ""},
		/* But an empty line is one. */
		{IN, 1, "\r\n"},
		{OUT, 0, "web | \r\n"},
		/* Two partial lines alternate. */
		{IN, 1, "a"},
		{IN, 2, "b"},
		{OUT, 0, ""},
		{AT, .n = 150},
		{OUT, 0, "db | b\r\nweb | a"},
		{IN, 1, "A"},
		{OUT, 0, "A"},
		{IN, 2, "B\n"},
		{OUT, 0, "\r\ndb | B\r\n"},
		{IN, 1, "AA\n"},
		{OUT, 0, "web | AA\r\n"},
		{IN, 1, "\n"},
		{OUT, 0, "web | \r\n"},
		/* The end of an open line arrives together with somebody's line. */
		{IN, 1, "p"},
		{OUT, 0, ""},
		{AT, .n = 200},
		{OUT, 0, "web | p"},
		{IN, 0, "h\n"},
		{IN, 1, "\nq\n"},
		{OUT, 0, "\r\nbulkhead | h\r\nweb | q\r\n"},
		{END},
	};

	(void)state;
	run(script, false);
}

static void test_color(void **state)
{
	static const struct step script[] = {
		{IN, 0, "h\n"},
		{IN, 1, "\033[31mred\033[0m\n"},
		{IN, 2, "d"},
		{OUT, 0, "\033[1mbulkhead |\033[0m h\r\n\033[36mweb |\033[0m red\r\n"},
		{AT, .n = 50},
		{OUT, 0, "\033[32mdb |\033[0m d"},
		{IN, 2, "e\n"},
		{OUT, 0, "e\r\n"},
		{LOSE, 2, .n = 7},
		{OUT, 0, "\033[1mbulkhead |\033[0m db: 7 bytes of console output dropped\r\n"},
		{END},
	};

	(void)state;
	run(script, true);
}

static void test_dropped(void **state)
{
	static const struct step script[] = {
		/* The notice comes after what the ring held; these bytes wrap its indices. */
		{IN, 1, "one\n" LINE_100 "\n"},
		{LOSE, 1, .n = 1},
		{OUT, 0,
			"web | one\r\nweb | " LINE_100 "\r\n"
			"bulkhead | web: 1 byte of console output dropped\r\n"},
		{DUE, .n = NEVER},
		/* At most one a second, whoever loses. */
		{AT, .n = 400},
		{LOSE, 1, .n = 10},
		{LOSE, 2, .n = 5000000000},
		{OUT, 0, ""},
		{DUE, .n = 1000},
		{IN, 1, "more\n"},
		{OUT, 0, "web | more\r\n"},
		{LOSE, 1, .n = 10},
		{AT, .n = 1000},
		{OUT, 0, "bulkhead | db: 5000000000 bytes of console output dropped\r\n"},
		{DUE, .n = 2000},
		{AT, .n = 2500},
		{OUT, 0, "bulkhead | web: 20 bytes of console output dropped\r\n"},
		{DUE, .n = NEVER},
		{END},
	};

	(void)state;
	run(script, false);
}

static void test_dropped_beside_lines(void **state)
{
	static const struct step script[] = {
		/* It cuts an open line; the hypervisor can lose bytes too. */
		{AT, .n = 5000},
		{IN, 1, "# "},
		{OUT, 0, ""},
		{AT, .n = 5050},
		{OUT, 0, "web | # "},
		{LOSE, 0, .n = 3},
		{OUT, 0, "\r\nbulkhead | bulkhead: 3 bytes of console output dropped\r\n"},
		{IN, 1, "x\n"},
		{OUT, 0, "web | x\r\n"},
		/* Not in front of a partial line that came before it. */
		{AT, .n = 7000},
		{IN, 1, "Z"},
		{LOSE, 1, .n = 2},
		{OUT, 0, ""},
		{DUE, .n = 7050},
		{AT, .n = 7050},
		{OUT, 0, "web | Z\r\nbulkhead | web: 2 bytes of console output dropped\r\n"},
		{LIFE, 1},
		{OUT, 0, ""},
		/* A counter that starts again. */
		{AT, .n = 8100},
		{ZERO, 1},
		{OUT, 0, ""},
		{LOSE, 1, .n = 30},
		{OUT, 0, "bulkhead | web: 30 bytes of console output dropped\r\n"},
		{LOSE, 1, .n = 1},
		{OUT, 0, ""},
		{ZERO, 1},
		{AT, .n = 9200},
		{OUT, 0, ""},
		{END},
	};

	(void)state;
	run(script, false);
}

static void test_lives(void **state)
{
	static const struct step script[] = {
		/* Not yet printed, cut short, with the next life's bytes behind it. */
		{IN, 1, "panic: no in"},
		{LIFE, 1},
		{IN, 1, "boot\n"},
		{OUT, 0, "web | panic: no in\r\nweb | boot\r\n"},
		/* Open on the screen. */
		{IN, 1, "# "},
		{OUT, 0, ""},
		{AT, .n = 50},
		{OUT, 0, "web | # "},
		{HAS, .n = 0},
		{LIFE, 1},
		{HAS, .n = 1},
		{OUT, 0, "\r\n"},
		/* Open and cut. */
		{IN, 1, "# "},
		{OUT, 0, ""},
		{AT, .n = 100},
		{OUT, 0, "web | # "},
		{IN, 2, "d\n"},
		{OUT, 0, "\r\ndb | d\r\n"},
		{LIFE, 1},
		{IN, 1, "\nboot\n"},
		{OUT, 0, "web | \r\nweb | boot\r\n"},
		/* In an escape sequence. */
		{IN, 1, "a\033]0;title"},
		{LIFE, 1},
		{IN, 1, "b\n"},
		{OUT, 0, "web | a\r\nweb | b\r\n"},
		/* At a line's end. */
		{IN, 1, "c\n"},
		{LIFE, 1},
		{OUT, 0, "web | c\r\n"},
		{LIFE, 1},
		{LIFE, 77},
		{OUT, 0, ""},
		{END},
	};

	(void)state;
	run(script, false);
}

/* ---- Escape sequences ---- */

static const struct {
	const char *in, *out;
} escapes[] = {
	{"\033[31mred\033[0m", "red"},
	{"a\033[2J\033[1;1Hb", "ab"},
	{"\033[?25l\033[>0;1c\033[0 qx", "x"},
	{"\033c\033(B\033#8\0337\033=x", "x"},
	{"\033]0;title \xc3\xa9\ax", "x"},
	{"\033]8;;http://x/\033\\link\033]8;;\033\\", "link"},
	{"\033P1$r\033\\\033_a\033\\\033^p\033\\\033Xs\033\\x", "x"},
	{"\033]title\033[1mx", "x"}, /* a string ended by another sequence */
	{"\033\033[1mx\033[\033[1my", "xy"},
	{"\033[1\r\b;2mx", "x"},           /* controls inside do not end it */
	{"\033[12\x18x\033]t\x1ay", "xy"}, /* CAN and SUB do */
	{"\033[1\xc3\xa9x", "\xc3\xa9x"},
	{"\xc2\x9b"
	 "31mx\xc2\xa9",
		"\xc2"
		"31mx\xc2\xa9"}, /* CSI as U+009B */
	{"\xc2\033[m\x9b\x9bx", "\xc2x"},
	{"\xe2\x9b\x84", "\xe2\x9b\x84"},
};

static void test_escapes(void **state)
{
	char out[1024], expected[256];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(escapes); i++) {
		size_t size = strlen(escapes[i].in);

		snprintf(expected, sizeof(expected), "web | >%s<\r\n", escapes[i].out);
		/* Cut after each byte, with a pause that flushes, and once in single bytes. */
		for (size_t cut = 0; cut <= size + 1; cut++) {
			size_t used = 0;

			start(1, false);
			feed(1, ">");
			for (size_t k = 0; k < size; k++) {
				feed_bytes(1, escapes[i].in + k, 1);
				if (k + 1 != cut && cut <= size)
					continue;
				used += drain(out + used, sizeof(out) - used, 16, ms(100 * k));
				used += drain(out + used, sizeof(out) - used, 16, ms(100 * k + 50));
			}
			feed(1, "<\n");
			drain(out + used, sizeof(out) - used, 16, ms(100000));
			assert_string_equal(out, expected);
		}
	}
}

static void test_many_escapes(void **state)
{
	char out[64];

	(void)state;
	start(1, false);
	for (unsigned i = 0; i < 400; i++)
		feed(1, "\033[1;31m");
	feed(1, "x\n");
	drain(out, sizeof(out), 32, 0);
	assert_string_equal(out, "web | x\r\n");
}

/* Sequences without an end: the line's end or a number of bytes ends them. */
static void test_endless_escapes(void **state)
{
	static const char *const starts[] = {
		"\033", "\033[", "\033]", "\033P", "\033(", "\033]\033"};
	char out[2048], text[1200];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(starts); i++) {
		start(1, false);
		feed(1, "a");
		feed(1, starts[i]);
		feed(1, "\nb\n");
		drain(out, sizeof(out), 64, 0);
		assert_string_equal(out, "web | a\r\nweb | b\r\n");
	}
	for (unsigned i = 1; i < 3; i++) {
		start(1, false);
		memset(text, '0', sizeof(text));
		feed(1, starts[i]);
		feed_bytes(1, text, sizeof(text));
		feed(1, "end\n");
		drain(out, sizeof(out), 64, 0);
		assert_int_equal(strspn(out + 6, "0"), sizeof(text) - 1023);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_partial_lines),
		cmocka_unit_test(test_cut_lines),
		cmocka_unit_test(test_color),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_dropped_beside_lines),
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_many_escapes),
		cmocka_unit_test(test_endless_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
