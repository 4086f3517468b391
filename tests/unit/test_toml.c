/* SPDX-License-Identifier: Apache-2.0 */
/* What documents are read to, and where. tests/tools/toml_oracle.py compares many with tomllib. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "hv/config/toml.h"

static struct toml_doc doc;
static struct config_errors errors;

/* From a heap copy of exact size, so that reading past the end is seen. */
static int parse(const char *text)
{
	size_t length = strlen(text);
	char *copy = malloc(length ? length : 1);
	int status;

	memcpy(copy, text, length);
	config_errors_init(&errors, "f");
	status = toml_parse(&doc, copy, length, &errors);
	free(copy);
	return status;
}

static const struct toml_node *root(void)
{
	return &doc.nodes[TOML_ROOT];
}

static const struct toml_node *find(const struct toml_node *table, const char *key)
{
	const struct toml_node *n = toml_first(&doc, table);

	while (n && strcmp(n->key, key) != 0)
		n = toml_next(&doc, n);
	assert_non_null(n);
	return n;
}

static void strings(void **state)
{
	(void)state;
	assert_int_equal(parse("a = \"\\b\\t\\n\\f\\r\\\"\\\\\" # \"\n"
			       "b = 'C:\\x'\n"
			       "c = \"\\u00e9\\u20AC\\U0001f600\"\n"
			       "d = \"\"\n"),
		0);
	assert_string_equal(find(root(), "a")->value.string, "\b\t\n\f\r\"\\");
	assert_string_equal(find(root(), "b")->value.string, "C:\\x");
	assert_string_equal(find(root(), "c")->value.string, "é€😀");
	assert_string_equal(find(root(), "d")->value.string, "");
}

static void numbers_and_booleans(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} cases[] = {
		{"a=0", 0},
		{"a=-0", 0},
		{"a=+12", 12},
		{"a=1_000_000", 1000000},
		{"a=0xdead_BEEF", 0xdeadbeef},
		{"a=0o17", 15},
		{"a=0b0101", 5},
		{"a=9223372036854775807", INT64_MAX},
		{"a=-9223372036854775808", INT64_MIN},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(cases[i].text), 0);
		assert_int_equal(find(root(), "a")->type, TOML_INTEGER);
		assert_true(find(root(), "a")->value.integer == cases[i].value);
	}
	assert_int_equal(parse("a=true\nb=false"), 0);
	assert_int_equal(find(root(), "a")->type, TOML_BOOLEAN);
	assert_true(find(root(), "a")->value.boolean);
	assert_false(find(root(), "b")->value.boolean);
}

static void arrays(void **state)
{
	const struct toml_node *n;

	(void)state;
	assert_int_equal(parse("a = [ # x\r\n 1,\n\n 'y' # ]\n ,true,]\nb = []"), 0);
	n = toml_first(&doc, find(root(), "a"));
	assert_true(n->value.integer == 1);
	n = toml_next(&doc, n);
	assert_string_equal(n->value.string, "y");
	assert_null(n->key);
	n = toml_next(&doc, n);
	assert_true(n->value.boolean);
	assert_null(toml_next(&doc, n));
	assert_null(toml_first(&doc, find(root(), "b")));
	assert_null(toml_first(&doc, n)); /* no table, no array: no children */
}

static void tables(void **state)
{
	const struct toml_node *a, *b;

	(void)state;
	assert_int_equal(parse("x.y = 1\n[a.b.c]\nk = 1\n[a]\nk = 2\n[ a . 'b' ]\nk = 3\nd.e = 4\n"
			       "[a.b.d.f]\nk = 5"),
		0);
	assert_true(find(find(root(), "x"), "y")->value.integer == 1);
	a = find(root(), "a");
	b = find(a, "b");
	assert_true(find(find(b, "c"), "k")->value.integer == 1);
	assert_true(find(a, "k")->value.integer == 2);
	assert_true(find(b, "k")->value.integer == 3);
	assert_true(find(find(b, "d"), "e")->value.integer == 4);
	assert_true(find(find(find(b, "d"), "f"), "k")->value.integer == 5);
}

/* Children come in the order of the file, also of the file's tables. */
static void order(void **state)
{
	const struct toml_node *n;

	(void)state;
	assert_int_equal(parse("[g.z]\n[g.a]\n[h]\n[g.m]"), 0);
	n = toml_first(&doc, find(root(), "g"));
	assert_string_equal(n->key, "z");
	n = toml_next(&doc, n);
	assert_string_equal(n->key, "a");
	n = toml_next(&doc, n);
	assert_string_equal(n->key, "m");
	assert_null(toml_next(&doc, n));
}

static void at(struct config_place place, unsigned line, unsigned column)
{
	assert_int_equal(place.line, line);
	assert_int_equal(place.column, column);
}

/* Columns count characters, whatever their length in bytes; a tab is one. */
static void places(void **state)
{
	const struct toml_node *a;

	(void)state;
	assert_int_equal(parse("\r\n\t'é€😀' = \t'x'\r\n[ t . u ]\r\na = [\r\n 1, 2]"), 0);
	at(find(root(), "é€😀")->key_at, 2, 2);
	at(find(root(), "é€😀")->value_at, 2, 11);
	at(find(root(), "t")->key_at, 3, 3);
	at(find(find(root(), "t"), "u")->key_at, 3, 7);
	a = find(find(find(root(), "t"), "u"), "a");
	at(a->value_at, 4, 5);
	at(toml_first(&doc, a)->value_at, 5, 2);
	at(toml_next(&doc, toml_first(&doc, a))->value_at, 5, 5);
}

/* A document cut anywhere is read or refused, never overrun. */
static void truncation(void **state)
{
	static const char text[] =
		"a.'b' = \"\\u00e9é\" # é\r\n[t.\"u\"]\nb = [0x1_f, -1, # x\n'y', true]\n"
		"c = false\n[v]\n";
	char cut[sizeof(text)];

	(void)state;
	for (size_t length = 0; length < sizeof(text); length++) {
		memcpy(cut, text, length);
		cut[length] = '\0';
		if (parse(cut))
			assert_int_equal(errors.count, 1);
		else
			assert_int_equal(errors.count, 0);
	}
	assert_int_equal(errors.count, 0);
}

/* A NUL is a control character, not an end. */
static void nul(void **state)
{
	(void)state;
	config_errors_init(&errors, "f");
	assert_int_equal(toml_parse(&doc, "a=1\n\0b", 6, &errors), E_INVAL);
	assert_int_equal(errors.entries[0].code, CONFIG_TEXT_CONTROL);
}

/* A document leaves nothing behind for the next one. */
static void reuse(void **state)
{
	(void)state;
	assert_int_equal(parse("a = 1\nb = 2"), 0);
	assert_int_equal(parse("b = 3"), 0);
	assert_true(toml_first(&doc, root())->value.integer == 3);
	assert_null(toml_next(&doc, toml_first(&doc, root())));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings),
		cmocka_unit_test(numbers_and_booleans),
		cmocka_unit_test(arrays),
		cmocka_unit_test(tables),
		cmocka_unit_test(order),
		cmocka_unit_test(places),
		cmocka_unit_test(truncation),
		cmocka_unit_test(nul),
		cmocka_unit_test(reuse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
