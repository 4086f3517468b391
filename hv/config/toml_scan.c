/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/config/toml_scan.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

struct config_place scan_place(const struct scan *c)
{
	return (struct config_place){(uint16_t)c->line, (uint16_t)c->column};
}

int scan_fail_with(const struct scan *c, enum config_error code, struct config_place at,
	const char *a, const char *b)
{
	config_errors_add(c->errors, code, at, NULL, a, b, NULL);
	return E_INVAL;
}

int scan_fail(const struct scan *c, enum config_error code)
{
	return scan_fail_with(c, code, scan_place(c), NULL, NULL);
}

int scan_fail_number(const struct scan *c, enum config_error code, uint32_t number)
{
	char text[16];

	fmt_string(text, sizeof(text), "%u", number);
	return scan_fail_with(c, code, scan_place(c), text, NULL);
}

int scan_fail_earlier(const struct scan *c, enum config_error code, struct config_place at,
	const char *name, struct config_place earlier)
{
	char line[16];

	fmt_string(line, sizeof(line), "%u", earlier.line);
	return scan_fail_with(c, code, at, name, line);
}

int scan_peek_at(const struct scan *c, size_t ahead)
{
	return ahead < c->length - c->at ? (unsigned char)c->text[c->at + ahead] : SCAN_END;
}

int scan_peek(const struct scan *c)
{
	return scan_peek_at(c, 0);
}

void scan_advance(struct scan *c)
{
	unsigned char byte = (unsigned char)c->text[c->at++];

	if (byte == '\n') {
		c->line++;
		c->column = 1;
	} else if ((byte & 0xc0) != 0x80) {
		c->column++; /* the first byte of a character */
	}
}

void scan_skip_blanks(struct scan *c)
{
	while (scan_peek(c) == ' ' || scan_peek(c) == '\t')
		scan_advance(c);
}

/* A carriage return was seen to stand before a line feed: scan_check_text. */
bool scan_at_line_end(const struct scan *c)
{
	return scan_peek(c) == SCAN_END || scan_peek(c) == '\n' || scan_peek(c) == '\r';
}

void scan_skip_comment(struct scan *c)
{
	scan_skip_blanks(c);
	if (scan_peek(c) != '#')
		return;
	while (!scan_at_line_end(c))
		scan_advance(c);
}

void scan_skip_lines(struct scan *c)
{
	for (scan_skip_comment(c); scan_peek(c) == '\n' || scan_peek(c) == '\r';
		scan_skip_comment(c))
		scan_advance(c);
}

/* ---- The text as a whole --------------------------------------------------------------------- */

/* Length of the well-formed UTF-8 sequence at the cursor (Unicode, table 3-7); 0: ill-formed. */
static unsigned utf8_length(const struct scan *c)
{
	int first = scan_peek(c), second = scan_peek_at(c, 1);
	unsigned length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (first >= 0x80 && (first < 0xc2 || first > 0xf4))
		return 0;
	for (unsigned i = 1; i < length; i++) {
		if (scan_peek_at(c, i) == SCAN_END || (scan_peek_at(c, i) & 0xc0) != 0x80)
			return 0;
	}
	if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
		(first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
		return 0;
	return length;
}

/* TOML allows these nowhere, so that the parser need not look for them. */
int scan_check_text(struct scan c)
{
	char code[8];

	if (c.length >= 3 && memcmp(c.text, "\xef\xbb\xbf", 3) == 0)
		return scan_fail(&c, CONFIG_TEXT_BOM);
	while (scan_peek(&c) != SCAN_END) {
		int byte = scan_peek(&c);
		unsigned length = utf8_length(&c);

		if (!length)
			return scan_fail(&c, CONFIG_TEXT_NOT_UTF8);
		if (byte == '\r' && scan_peek_at(&c, 1) != '\n')
			return scan_fail(&c, CONFIG_TEXT_LONE_CR);
		if ((byte < ' ' && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f) {
			fmt_string(code, sizeof(code), "%02xh", (unsigned)byte);
			return scan_fail_with(&c, CONFIG_TEXT_CONTROL, scan_place(&c), code, NULL);
		}
		while (length--)
			scan_advance(&c);
	}
	return 0;
}

/* ---- Strings --------------------------------------------------------------------------------- */

/*
 * No string is longer decoded than written, and each written one has a delimiter that pays for its
 * NUL: the pool, as large as the largest text, cannot run out. The bound is kept all the same.
 */
static void put_byte(struct toml_doc *doc, unsigned byte)
{
	if (doc->text_used < sizeof(doc->text) - 1)
		doc->text[doc->text_used++] = (char)byte;
}

static const char *string_begin(const struct toml_doc *doc)
{
	return &doc->text[doc->text_used];
}

static void string_end(struct toml_doc *doc)
{
	doc->text[doc->text_used] = '\0';
	if (doc->text_used < sizeof(doc->text) - 1)
		doc->text_used++;
}

static void put_character(struct toml_doc *doc, uint32_t u)
{
	if (u < 0x80) {
		put_byte(doc, u);
		return;
	}
	if (u < 0x800) {
		put_byte(doc, 0xc0 | u >> 6);
	} else {
		if (u < 0x10000) {
			put_byte(doc, 0xe0 | u >> 12);
		} else {
			put_byte(doc, 0xf0 | u >> 18);
			put_byte(doc, 0x80 | (u >> 12 & 0x3f));
		}
		put_byte(doc, 0x80 | (u >> 6 & 0x3f));
	}
	put_byte(doc, 0x80 | (u & 0x3f));
}

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Behind \u or \U. U+0000 is refused as well: strings end with a NUL. */
static int scan_unicode(struct scan *c, unsigned digits, struct config_place at)
{
	uint32_t u = 0;

	for (; digits; digits--, scan_advance(c)) {
		int digit = hex_digit(scan_peek(c));

		if (digit < 0)
			return scan_fail_with(c, CONFIG_STRING_UNICODE, at, NULL, NULL);
		u = u << 4 | (uint32_t)digit;
	}
	if (u == 0 || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff))
		return scan_fail_with(c, CONFIG_STRING_UNICODE, at, NULL, NULL);
	put_character(c->doc, u);
	return 0;
}

static int scan_escape(struct scan *c)
{
	static const char written[] = "btnfr\"\\", meant[] = "\b\t\n\f\r\"\\";
	struct config_place at = scan_place(c);
	const char *found;
	int letter;

	scan_advance(c);
	letter = scan_peek(c);
	if (letter == 'u' || letter == 'U') {
		scan_advance(c);
		return scan_unicode(c, letter == 'u' ? 4 : 8, at);
	}
	found = letter == SCAN_END ? NULL : strchr(written, letter);
	if (!found)
		return scan_fail_with(c, CONFIG_STRING_ESCAPE, at, NULL, NULL);
	put_byte(c->doc, (unsigned char)meant[found - written]);
	scan_advance(c);
	return 0;
}

/* "basic" with escapes or 'literal' without. */
static int scan_string(struct scan *c, const char **result)
{
	struct config_place at = scan_place(c);
	int quote = scan_peek(c), status;

	if (scan_peek_at(c, 1) == quote && scan_peek_at(c, 2) == quote)
		return scan_fail(c, CONFIG_STRING_MULTILINE);
	scan_advance(c);
	*result = string_begin(c->doc);
	while (scan_peek(c) != quote) {
		if (scan_at_line_end(c))
			return scan_fail_with(c, CONFIG_STRING_OPEN, at, NULL, NULL);
		if (quote == '"' && scan_peek(c) == '\\') {
			status = scan_escape(c);
			if (status)
				return status;
			continue;
		}
		put_byte(c->doc, (unsigned)scan_peek(c));
		scan_advance(c);
	}
	scan_advance(c);
	string_end(c->doc);
	return 0;
}

/*
 * ---- Words and numbers
 * ------------------------------------------------------------------------------------
 */

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' ||
	       c == '_';
}

int scan_key_part(struct scan *c, const char **name)
{
	if (scan_peek(c) == '"' || scan_peek(c) == '\'')
		return scan_string(c, name);
	if (!is_bare(scan_peek(c)))
		return scan_fail(c, CONFIG_KEY_EXPECTED);
	*name = string_begin(c->doc);
	for (; is_bare(scan_peek(c)); scan_advance(c))
		put_byte(c->doc, (unsigned)scan_peek(c));
	string_end(c->doc);
	return 0;
}

static unsigned number_base(const char **digits, size_t *length)
{
	unsigned base = 10;

	if (*length < 2 || (*digits)[0] != '0')
		return base;
	switch ((*digits)[1]) {
	case 'x': base = 16; break;
	case 'o': base = 8; break;
	case 'b': base = 2; break;
	default: return base;
	}
	*digits += 2;
	*length -= 2;
	return base;
}

/* E_INVAL: no number; E_RANGE: one beyond 64 bits. Underscores stand between digits only. */
static int parse_digits(const char *digits, size_t length, unsigned base, uint64_t *result)
{
	bool overflow = false, after_digit = false;
	uint64_t v = 0;

	for (size_t i = 0; i < length; i++) {
		int digit = hex_digit((unsigned char)digits[i]);

		if (digits[i] == '_' && after_digit) {
			after_digit = false;
			continue;
		}
		if (digit < 0 || (unsigned)digit >= base)
			return E_INVAL;
		after_digit = true;
		overflow |= v > (UINT64_MAX - (unsigned)digit) / base;
		v = v * base + (unsigned)digit;
	}
	*result = v;
	if (!after_digit)
		return E_INVAL;
	return overflow ? E_RANGE : 0;
}

/* What somebody meant who wrote this instead of a whole number. */
static enum config_error not_integer(const char *token, size_t length)
{
	if (length == 3 && (memcmp(token, "inf", 3) == 0 || memcmp(token, "nan", 3) == 0))
		return CONFIG_NUMBER_FLOAT;
	for (size_t i = 0; i < length; i++) {
		if (i && (token[i] == '-' || token[i] == ':') && is_digit(token[i - 1]))
			return CONFIG_NUMBER_DATE;
		if (i && (token[i] == '.' || token[i] == 'e' || token[i] == 'E'))
			return CONFIG_NUMBER_FLOAT;
		if (!is_digit(token[i]) && token[i] != '_')
			break;
	}
	return CONFIG_NUMBER_MALFORMED;
}

static int scan_integer(struct scan *c, int64_t *result)
{
	struct config_place at = scan_place(c);
	const char *token = &c->text[c->at], *digits = token;
	size_t length = 0, digit_count;
	bool sign = *token == '+' || *token == '-';
	uint64_t limit = *token == '-' ? BIT(63) : INT64_MAX, v = 0;
	unsigned base = 10;
	char shown[41];
	int status;

	for (; is_bare(scan_peek(c)) || (scan_peek(c) != SCAN_END && strchr("+.:", scan_peek(c)));
		length++)
		scan_advance(c);
	digits += sign;
	digit_count = length - sign;
	if (!sign)
		base = number_base(&digits, &digit_count);
	status = parse_digits(digits, digit_count, base, &v);
	if (base == 10 && digit_count > 1 && digits[0] == '0')
		status = E_INVAL;
	if (status == E_INVAL) {
		fmt_string(
			shown, sizeof(shown), "%.*s", (int)MIN(length, sizeof(shown) - 1), token);
		return scan_fail_with(c,
			base == 10 ? not_integer(digits, digit_count) : CONFIG_NUMBER_MALFORMED, at,
			shown, NULL);
	}
	if (status || v > limit)
		return scan_fail_with(c, CONFIG_NUMBER_RANGE, at, NULL, NULL);
	*result = *token == '-' ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

static bool take_word(struct scan *c, const char *word)
{
	size_t length = strlen(word);

	if (c->length - c->at < length || memcmp(&c->text[c->at], word, length) != 0 ||
		is_bare(scan_peek_at(c, length)))
		return false;
	while (length--)
		scan_advance(c);
	return true;
}

int scan_scalar(struct scan *c, struct toml_node *node)
{
	int first = scan_peek(c);

	node->value_at = scan_place(c);
	if (first == '"' || first == '\'') {
		node->type = TOML_STRING;
		return scan_string(c, &node->value.string);
	}
	if (first == '+' || first == '-' || is_digit(first)) {
		node->type = TOML_INTEGER;
		return scan_integer(c, &node->value.integer);
	}
	node->type = TOML_BOOLEAN;
	node->value.boolean = first == 't';
	if (take_word(c, "true") || take_word(c, "false"))
		return 0;
	if (take_word(c, "inf") || take_word(c, "nan"))
		return scan_fail_with(c, CONFIG_NUMBER_FLOAT, node->value_at, NULL, NULL);
	return scan_fail(c, first == '{' ? CONFIG_INLINE_TABLE : CONFIG_VALUE_EXPECTED);
}
