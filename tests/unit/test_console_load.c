/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console output under load: long lines, floods, random mixes of all sources, and slots that come
 * and go.
 */
#include "tests/unit/test_console.h"

/* ---- Long lines, floods, mixes ---- */

static void test_long_lines(void **state)
{
	char out[4096], expected[2048], a[601];

	(void)state;
	memset(a, 'a', 600);
	a[600] = 0;
	/* Alone, pieces join. */
	start(2, false);
	feed(1, a);
	feed(1, "\n");
	drain(out, sizeof(out), 100, 0);
	snprintf(expected, sizeof(expected), "web | %s\r\n", a);
	assert_string_equal(out, expected);
	/* With others, each piece is a turn; a rest that is only LF shows nothing. */
	feed_bytes(1, a, 512);
	feed(1, "\n");
	feed(2, "1\n2\n3\n");
	drain(out, sizeof(out), 100, 0);
	snprintf(expected, sizeof(expected),
		"db | 1\r\nweb | %.256s\r\ndb | 2\r\nweb | %.256s\r\ndb | 3\r\n", a, a);
	assert_string_equal(out, expected);
	/* The hypervisor's are no different. */
	feed_bytes(0, a, 300);
	feed(0, "\n");
	drain(out, sizeof(out), 100, 0);
	snprintf(expected, sizeof(expected), "bulkhead | %.300s\r\n", a);
	assert_string_equal(out, expected);
}

static unsigned count_lines(const char *text, const char *prefix)
{
	unsigned n = 0;

	for (; (text = strstr(text, prefix)); text++)
		n++;
	return n;
}

/* Guest 1 fills its ring again and again, with text or with bytes that never show. */
static void flood(const char *text)
{
	unsigned i = 0;

	while (ring_put(&rings[1], (uint8_t)text[i]))
		i = text[i + 1] ? i + 1 : 0;
}

static void test_fairness(void **state)
{
	static const char *const floods[] = {"flood\n", "floodfloodflood", "\n", "\033[1m", "\a"};
	char out[4097];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(floods); i++) {
		start(3, false);
		for (unsigned n = 0; n < 50; n++) {
			size_t used;

			flood(floods[i]);
			feed(2, "me too\n");
			feed(3, "x\ny\n");
			feed(0, "first\n");
			/* One turn of everybody before the flood's second. */
			used = console_output(&con, out, 1200, 0);
			out[used] = 0;
			assert_int_equal(count_lines(out, "bulkhead | first\r\n"), 1);
			assert_int_equal(count_lines(out, "db | me too\r\n"), 1);
			assert_int_equal(count_lines(out, "a-long-name | x\r\n"), 1);
			assert_int_equal(count_lines(out, "a-long-name | y\r\n"), 1);
			while (console_has_output(&con, 0))
				console_output(&con, out, sizeof(out) - 1, 0);
		}
	}
}

/* Work in one call is bounded although a ring is never empty. */
static void test_invisible_flood(void **state)
{
	char out[64];

	(void)state;
	start(1, false);
	flood("\a");
	assert_int_equal(console_output(&con, out, sizeof(out), 0), 0);
	assert_in_range(ring_used(&rings[1]), RING_SIZE - 1024, RING_SIZE - 1);
	assert_true(console_has_output(&con, 0));
	for (unsigned n = 0; console_has_output(&con, 0); n++) {
		assert_true(n < 100);
		assert_int_equal(console_output(&con, out, sizeof(out), 0), 0);
	}
}

struct mix {
	char sent[GUESTS + 1][1 << 16], shown[GUESTS + 1][1 << 16];
	size_t sent_used[GUESTS + 1], shown_used[GUESTS + 1];
	char screen[1 << 18];
	size_t screen_used;
};

/* What source id sends, and what of it the screen must show: all but the line ends. */
static void mix_send(struct mix *mix, unsigned id)
{
	static const char *const words[] = {"word", " ", "\n", "\r\n", "\033[1;31m", "\033]0;t\a",
		"\t", "\a", "long-long-long-long-long-long-long-long-long-long-long-long", "|",
		"\n\n"};
	const char *word = words[(unsigned)rand() % ARRAY_SIZE(words)];

	if (ring_room(&rings[id]) < strlen(word))
		return;
	feed(id, word);
	if (word[0] > ' ' || word[0] == ' ' || word[0] == '\t') {
		memcpy(mix->sent[id] + mix->sent_used[id], word, strlen(word));
		mix->sent_used[id] += strlen(word);
	}
}

/* Sort the screen's lines by prefix; anything else on the screen is an error. */
static void mix_check(struct mix *mix)
{
	char *line = mix->screen, *end;

	mix->screen[mix->screen_used] = 0;
	for (; *line; line = end + 2) {
		unsigned id = 0;
		size_t prefix, size;

		end = strstr(line, "\r\n");
		if (!end)
			end = line + strlen(line);
		while (id <= GUESTS && (strncmp(line, names[id], strlen(names[id])) != 0 ||
					       strncmp(line + strlen(names[id]), " | ", 3) != 0))
			id++;
		assert_true(id <= GUESTS);
		prefix = strlen(names[id]) + 3;
		size = (size_t)(end - line) - prefix;
		for (size_t i = 0; i < size; i++)
			assert_true(line[prefix + i] >= ' ' || line[prefix + i] == '\t');
		memcpy(mix->shown[id] + mix->shown_used[id], line + prefix, size);
		mix->shown_used[id] += size;
		if (!*end)
			break;
	}
	for (unsigned id = 0; id <= GUESTS; id++) {
		assert_int_equal(mix->shown_used[id], mix->sent_used[id]);
		assert_memory_equal(mix->shown[id], mix->sent[id], mix->sent_used[id]);
	}
}

static void test_mix(void **state)
{
	struct mix *mix = malloc(sizeof(*mix));

	(void)state;
	assert_non_null(mix);
	for (unsigned seed = 0; seed < 50; seed++) {
		ns_t now = 0;

		srand(seed);
		start(GUESTS, false);
		memset(mix, 0, sizeof(*mix));
		for (unsigned n = 0; n < 3000; n++) {
			size_t room = (unsigned)rand() % 40;

			now += (unsigned)rand() % 4 ? 0 : ms((unsigned)rand() % 60);
			mix_send(mix, (unsigned)rand() % (GUESTS + 1));
			mix->screen_used += console_output(
				&con, mix->screen + mix->screen_used, room, now);
		}
		mix->screen_used += drain(mix->screen + mix->screen_used,
			sizeof(mix->screen) - mix->screen_used, 100, now);
		now = MAX(now, console_deadline(&con) == NS_NEVER ? now : now + ms(50));
		mix->screen_used += drain(mix->screen + mix->screen_used,
			sizeof(mix->screen) - mix->screen_used, 100, now);
		assert_int_equal(console_deadline(&con), NS_NEVER);
		mix_check(mix);
	}
	free(mix);
}

/* ---- Slots ---- */

static void test_slots(void **state)
{
	char out[512];
	int last = 0;

	(void)state;
	start(0, false);
	assert_null(console_source_name(&con, 1));
	assert_string_equal(console_source_name(&con, 0), "bulkhead");
	for (unsigned i = 1; i < CONSOLE_SOURCES_MAX; i++)
		last = console_add_source(&con, "n", &rings[1], NULL);
	assert_int_equal(last, 128);
	assert_int_equal(console_add_source(&con, "n", &rings[1], NULL), E_NOMEM);
	console_remove_source(&con, 0);
	console_remove_source(&con, CONSOLE_SOURCES_MAX);
	console_remove_source(&con, 128);
	assert_int_equal(console_add_source(&con, "last", &rings[2], NULL), 128);
	feed(2, "hello\n");
	drain(out, sizeof(out), 64, 0);
	assert_string_equal(out, "last | hello\r\n");

	/* A slot used again: nothing of the old source stays, its open line is ended. */
	start(2, false);
	feed(1, "abc");
	drain(out, sizeof(out), 64, 0);
	drain(out, sizeof(out), 64, ms(50));
	assert_string_equal(out, "web | abc");
	feed(1, "rest\033[");
	console_remove_source(&con, 1);
	assert_null(console_source_name(&con, 1));
	drain(out, sizeof(out), 64, ms(50));
	assert_string_equal(out, "");
	assert_int_equal(console_add_source(&con, "new", &rings[3], NULL), 1);
	feed(3, "mine\n");
	drain(out, sizeof(out), 64, ms(50));
	assert_string_equal(out, "\r\nnew | mine\r\n");

	/* A long name is cut. */
	assert_int_equal(console_add_source(&con, "0123456789012345678901234567890123456789",
				 &rings[1], &dropped[1]),
		3);
	rings[1].tail = rings[1].head;
	feed(1, "x\n");
	dropped[1] = 2;
	drain(out, sizeof(out), 64, ms(50));
	assert_string_equal(out,
		"0123456789012345678901234567890 | x\r\nbulkhead | "
		"0123456789012345678901234567890: 2 bytes of console output dropped\r\n");
}

/* The longest turn fits its buffer: the sanitizer watches. */
static void test_longest_turn(void **state)
{
	static const char name[] = "0123456789012345678901234567890";
	const size_t prefix = 5 + sizeof(name) - 1 + 2 + 4 + 1;
	char out[1024], text[CONSOLE_LINE_MAX];

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t size = sizeof(text) - 2; size <= sizeof(text); size++) {
		start(1, true);
		assert_int_equal(console_add_source(&con, name, &rings[2], NULL), 2);
		feed(1, "open");
		drain(out, sizeof(out), 400, 0);
		drain(out, sizeof(out), 400, ms(50));
		feed_bytes(2, text, size);
		feed(2, "\n");
		assert_int_equal(drain(out, sizeof(out), 400, ms(50)), 2 + prefix + size + 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_fairness),
		cmocka_unit_test(test_invisible_flood),
		cmocka_unit_test(test_mix),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_longest_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
