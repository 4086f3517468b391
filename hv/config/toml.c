/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/config/toml.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

#define END (-1)

struct cursor {
	struct toml_doc *doc;
	struct config_errors *errors;
	const char *text;
	size_t length, at;
	uint32_t line, column;
	uint16_t table; /* keys go here */
};

struct key_path {
	unsigned count;
	struct {
		const char *name;
		struct config_place at;
	} part[TOML_DEPTH_MAX];
};

static struct config_place here(const struct cursor *c)
{
	return (struct config_place){(uint16_t)c->line, (uint16_t)c->column};
}

static int fail_with(const struct cursor *c, enum config_error code, struct config_place at,
	const char *a, const char *b)
{
	config_errors_add(c->errors, code, at, NULL, a, b, NULL);
	return E_INVAL;
}

static int fail(const struct cursor *c, enum config_error code)
{
	return fail_with(c, code, here(c), NULL, NULL);
}

static int fail_number(const struct cursor *c, enum config_error code, uint32_t number)
{
	char text[16];

	fmt_string(text, sizeof(text), "%u", number);
	return fail_with(c, code, here(c), text, NULL);
}

static int fail_earlier(const struct cursor *c, enum config_error code, struct config_place at,
	const char *name, struct config_place earlier)
{
	char line[16];

	fmt_string(line, sizeof(line), "%u", earlier.line);
	return fail_with(c, code, at, name, line);
}

static int peek_at(const struct cursor *c, size_t ahead)
{
	return ahead < c->length - c->at ? (unsigned char)c->text[c->at + ahead] : END;
}

static int peek(const struct cursor *c)
{
	return peek_at(c, 0);
}

static void advance(struct cursor *c)
{
	unsigned char byte = (unsigned char)c->text[c->at++];

	if (byte == '\n') {
		c->line++;
		c->column = 1;
	} else if ((byte & 0xc0) != 0x80) {
		c->column++; /* the first byte of a character */
	}
}

static void skip_blanks(struct cursor *c)
{
	while (peek(c) == ' ' || peek(c) == '\t')
		advance(c);
}

/* A carriage return was seen to stand before a line feed: check_text. */
static bool at_line_end(const struct cursor *c)
{
	return peek(c) == END || peek(c) == '\n' || peek(c) == '\r';
}

static void skip_comment(struct cursor *c)
{
	skip_blanks(c);
	if (peek(c) != '#')
		return;
	while (!at_line_end(c))
		advance(c);
}

static void skip_lines(struct cursor *c)
{
	for (skip_comment(c); peek(c) == '\n' || peek(c) == '\r'; skip_comment(c))
		advance(c);
}

/* ---- The text as a whole --------------------------------------------------------------------- */

/* Length of the well-formed UTF-8 sequence at the cursor (Unicode, table 3-7); 0: ill-formed. */
static unsigned utf8_length(const struct cursor *c)
{
	int first = peek(c), second = peek_at(c, 1);
	unsigned length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (first >= 0x80 && (first < 0xc2 || first > 0xf4))
		return 0;
	for (unsigned i = 1; i < length; i++) {
		if (peek_at(c, i) == END || (peek_at(c, i) & 0xc0) != 0x80)
			return 0;
	}
	if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
		(first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
		return 0;
	return length;
}

/* TOML allows these nowhere, so that the parser need not look for them. */
static int check_text(struct cursor c)
{
	char code[8];

	if (c.length >= 3 && memcmp(c.text, "\xef\xbb\xbf", 3) == 0)
		return fail(&c, CONFIG_TEXT_BOM);
	while (peek(&c) != END) {
		int byte = peek(&c);
		unsigned length = utf8_length(&c);

		if (!length)
			return fail(&c, CONFIG_TEXT_NOT_UTF8);
		if (byte == '\r' && peek_at(&c, 1) != '\n')
			return fail(&c, CONFIG_TEXT_LONE_CR);
		if ((byte < ' ' && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f) {
			fmt_string(code, sizeof(code), "%02xh", (unsigned)byte);
			return fail_with(&c, CONFIG_TEXT_CONTROL, here(&c), code, NULL);
		}
		while (length--)
			advance(&c);
	}
	return 0;
}

/* ---- Nodes and strings ----------------------------------------------------------------------- */

/* The node's number, TOML_NONE when there is no room: the mistake is then recorded. */
static uint16_t add_node(struct cursor *c, uint16_t parent, enum toml_type type, const char *key,
	struct config_place at)
{
	struct toml_doc *doc = c->doc;
	struct toml_node *up = &doc->nodes[parent];
	uint16_t number = (uint16_t)doc->node_count;

	if (doc->node_count == TOML_NODES_MAX) {
		fail_number(c, CONFIG_TOO_MANY_VALUES, TOML_NODES_MAX - 1);
		return TOML_NONE;
	}
	doc->node_count++;
	doc->nodes[number] = (struct toml_node){
		.key = key, .type = (uint8_t)type, .key_at = at, .value_at = at};
	if (up->value.child.last == TOML_NONE)
		up->value.child.first = number;
	else
		doc->nodes[up->value.child.last].next = number;
	up->value.child.last = number;
	return number;
}

static uint16_t find_child(const struct toml_doc *doc, uint16_t parent, const char *key)
{
	uint16_t i = doc->nodes[parent].value.child.first;

	while (i != TOML_NONE && strcmp(doc->nodes[i].key, key) != 0)
		i = doc->nodes[i].next;
	return i;
}

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
static int parse_unicode(struct cursor *c, unsigned digits, struct config_place at)
{
	uint32_t u = 0;

	for (; digits; digits--, advance(c)) {
		int digit = hex_digit(peek(c));

		if (digit < 0)
			return fail_with(c, CONFIG_STRING_UNICODE, at, NULL, NULL);
		u = u << 4 | (uint32_t)digit;
	}
	if (u == 0 || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff))
		return fail_with(c, CONFIG_STRING_UNICODE, at, NULL, NULL);
	put_character(c->doc, u);
	return 0;
}

static int parse_escape(struct cursor *c)
{
	static const char written[] = "btnfr\"\\", meant[] = "\b\t\n\f\r\"\\";
	struct config_place at = here(c);
	const char *found;
	int letter;

	advance(c);
	letter = peek(c);
	if (letter == 'u' || letter == 'U') {
		advance(c);
		return parse_unicode(c, letter == 'u' ? 4 : 8, at);
	}
	found = letter == END ? NULL : strchr(written, letter);
	if (!found)
		return fail_with(c, CONFIG_STRING_ESCAPE, at, NULL, NULL);
	put_byte(c->doc, (unsigned char)meant[found - written]);
	advance(c);
	return 0;
}

/* "basic" with escapes or 'literal' without. */
static int parse_string(struct cursor *c, const char **result)
{
	struct config_place at = here(c);
	int quote = peek(c), status;

	if (peek_at(c, 1) == quote && peek_at(c, 2) == quote)
		return fail(c, CONFIG_STRING_MULTILINE);
	advance(c);
	*result = string_begin(c->doc);
	while (peek(c) != quote) {
		if (at_line_end(c))
			return fail_with(c, CONFIG_STRING_OPEN, at, NULL, NULL);
		if (quote == '"' && peek(c) == '\\') {
			status = parse_escape(c);
			if (status)
				return status;
			continue;
		}
		put_byte(c->doc, (unsigned)peek(c));
		advance(c);
	}
	advance(c);
	string_end(c->doc);
	return 0;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' ||
	       c == '_';
}

static int parse_key_part(struct cursor *c, const char **name)
{
	if (peek(c) == '"' || peek(c) == '\'')
		return parse_string(c, name);
	if (!is_bare(peek(c)))
		return fail(c, CONFIG_KEY_EXPECTED);
	*name = string_begin(c->doc);
	for (; is_bare(peek(c)); advance(c))
		put_byte(c->doc, (unsigned)peek(c));
	string_end(c->doc);
	return 0;
}

static int parse_key(struct cursor *c, struct key_path *path)
{
	path->count = 0;
	for (;;) {
		int status;

		skip_blanks(c);
		if (path->count == TOML_DEPTH_MAX)
			return fail_number(c, CONFIG_TOO_DEEP, TOML_DEPTH_MAX);
		path->part[path->count].at = here(c);
		status = parse_key_part(c, &path->part[path->count].name);
		if (status)
			return status;
		path->count++;
		skip_blanks(c);
		if (peek(c) != '.')
			return 0;
		advance(c);
	}
}

/* ---- Values ---------------------------------------------------------------------------------- */

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

static int parse_integer(struct cursor *c, int64_t *result)
{
	struct config_place at = here(c);
	const char *token = &c->text[c->at], *digits = token;
	size_t length = 0, digit_count;
	bool sign = *token == '+' || *token == '-';
	uint64_t limit = *token == '-' ? BIT(63) : INT64_MAX, v = 0;
	unsigned base = 10;
	char shown[41];
	int status;

	for (; is_bare(peek(c)) || (peek(c) != END && strchr("+.:", peek(c))); length++)
		advance(c);
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
		return fail_with(c,
			base == 10 ? not_integer(digits, digit_count) : CONFIG_NUMBER_MALFORMED, at,
			shown, NULL);
	}
	if (status || v > limit)
		return fail_with(c, CONFIG_NUMBER_RANGE, at, NULL, NULL);
	*result = *token == '-' ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

static bool take_word(struct cursor *c, const char *word)
{
	size_t length = strlen(word);

	if (c->length - c->at < length || memcmp(&c->text[c->at], word, length) != 0 ||
		is_bare(peek_at(c, length)))
		return false;
	while (length--)
		advance(c);
	return true;
}

/* A string, number or boolean into an existing node. */
static int parse_scalar(struct cursor *c, struct toml_node *node)
{
	int first = peek(c);

	node->value_at = here(c);
	if (first == '"' || first == '\'') {
		node->type = TOML_STRING;
		return parse_string(c, &node->value.string);
	}
	if (first == '+' || first == '-' || is_digit(first)) {
		node->type = TOML_INTEGER;
		return parse_integer(c, &node->value.integer);
	}
	node->type = TOML_BOOLEAN;
	node->value.boolean = first == 't';
	if (take_word(c, "true") || take_word(c, "false"))
		return 0;
	if (take_word(c, "inf") || take_word(c, "nan"))
		return fail_with(c, CONFIG_NUMBER_FLOAT, node->value_at, NULL, NULL);
	return fail(c, first == '{' ? CONFIG_INLINE_TABLE : CONFIG_VALUE_EXPECTED);
}

static int parse_array(struct cursor *c, uint16_t array)
{
	struct config_place at = here(c);

	c->doc->nodes[array].value_at = at;
	advance(c);
	for (skip_lines(c); peek(c) != ']'; skip_lines(c)) {
		uint16_t number;
		int status;

		if (peek(c) == END)
			return fail_with(c, CONFIG_ARRAY_OPEN, at, NULL, NULL);
		if (peek(c) == '[')
			return fail(c, CONFIG_ARRAY_NESTED);
		number = add_node(c, array, TOML_BOOLEAN, NULL, here(c));
		status = number == TOML_NONE ? E_INVAL : parse_scalar(c, &c->doc->nodes[number]);
		if (status)
			return status;
		skip_lines(c);
		if (peek(c) == ',')
			advance(c);
		else if (peek(c) == END)
			return fail_with(c, CONFIG_ARRAY_OPEN, at, NULL, NULL);
		else if (peek(c) != ']')
			return fail(c, CONFIG_ARRAY_COMMA);
	}
	advance(c);
	return 0;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* The table that all parts of a key but the last lead to. */
static int descend(struct cursor *c, const struct key_path *path, uint16_t from,
	enum toml_origin origin, uint16_t *to)
{
	uint16_t table = from;

	for (unsigned i = 0; i + 1 < path->count; i++) {
		const char *name = path->part[i].name;
		struct config_place at = path->part[i].at;
		uint16_t child = find_child(c->doc, table, name);
		const struct toml_node *node = &c->doc->nodes[child];

		if (child == TOML_NONE) {
			child = add_node(c, table, TOML_TABLE, name, at);
			if (child == TOML_NONE)
				return E_INVAL;
			c->doc->nodes[child].origin = (uint8_t)origin;
		} else if (node->type != TOML_TABLE) {
			return fail_earlier(c, CONFIG_TABLE_IS_VALUE, at, name, node->key_at);
		} else if (origin == TOML_BY_DOTS && node->origin != TOML_BY_DOTS) {
			return fail_earlier(c, CONFIG_TABLE_BY_DOTS, at, name, node->key_at);
		}
		table = child;
	}
	*to = table;
	return 0;
}

/* [a.b] makes b, or gives a header to a table that only a longer path made. */
static int open_table(struct cursor *c, const struct key_path *path)
{
	const char *name = path->part[path->count - 1].name;
	struct config_place at = path->part[path->count - 1].at;
	uint16_t parent, child;
	struct toml_node *node;
	int status = descend(c, path, TOML_ROOT, TOML_BY_PATH, &parent);

	if (status)
		return status;
	child = find_child(c->doc, parent, name);
	node = &c->doc->nodes[child];
	if (child == TOML_NONE) {
		child = add_node(c, parent, TOML_TABLE, name, at);
		if (child == TOML_NONE)
			return E_INVAL;
		node = &c->doc->nodes[child];
	} else if (node->type != TOML_TABLE) {
		return fail_earlier(c, CONFIG_TABLE_IS_VALUE, at, name, node->key_at);
	} else if (node->origin != TOML_BY_PATH) {
		return fail_earlier(c, CONFIG_TABLE_TWICE, at, name, node->key_at);
	}
	node->origin = TOML_BY_HEADER;
	node->key_at = at;
	node->value_at = at;
	c->table = child;
	return 0;
}

static int parse_header(struct cursor *c)
{
	struct key_path path;
	int status;

	if (peek_at(c, 1) == '[')
		return fail(c, CONFIG_HEADER_ARRAY);
	advance(c);
	status = parse_key(c, &path);
	if (status)
		return status;
	if (peek(c) != ']')
		return fail(c, CONFIG_HEADER_OPEN);
	status = open_table(c, &path);
	if (status)
		return status;
	advance(c);
	return 0;
}

static int parse_key_value(struct cursor *c)
{
	struct key_path path;
	const char *name;
	struct config_place at;
	uint16_t parent, child;
	int status = parse_key(c, &path);

	if (status)
		return status;
	if (peek(c) != '=')
		return fail(c, CONFIG_EQUALS_EXPECTED);
	status = descend(c, &path, c->table, TOML_BY_DOTS, &parent);
	if (status)
		return status;
	name = path.part[path.count - 1].name;
	at = path.part[path.count - 1].at;
	child = find_child(c->doc, parent, name);
	if (child != TOML_NONE)
		return fail_earlier(c, CONFIG_KEY_TWICE, at, name, c->doc->nodes[child].key_at);
	child = add_node(c, parent, TOML_ARRAY, name, at);
	if (child == TOML_NONE)
		return E_INVAL;
	advance(c);
	skip_blanks(c);
	return peek(c) == '[' ? parse_array(c, child) : parse_scalar(c, &c->doc->nodes[child]);
}

int toml_parse(struct toml_doc *doc, const char *text, size_t length, struct config_errors *errors)
{
	struct cursor c = {.doc = doc,
		.errors = errors,
		.text = text,
		.length = length,
		.line = 1,
		.column = 1};
	int status;

	doc->node_count = 1;
	doc->text_used = 0;
	doc->nodes[TOML_ROOT] = (struct toml_node){.type = TOML_TABLE,
		.origin = TOML_BY_HEADER,
		.key_at = here(&c),
		.value_at = here(&c)};
	if (length > TOML_TEXT_MAX)
		return fail_number(&c, CONFIG_TEXT_TOO_LARGE, TOML_TEXT_MAX);
	status = check_text(c);
	if (status)
		return status;
	for (skip_lines(&c); peek(&c) != END; skip_lines(&c)) {
		status = peek(&c) == '[' ? parse_header(&c) : parse_key_value(&c);
		if (status)
			return status;
		skip_comment(&c);
		if (!at_line_end(&c))
			return fail(&c, CONFIG_LINE_END_EXPECTED);
	}
	return 0;
}

/* ---- Reading a document ---------------------------------------------------------------------- */

const struct toml_node *toml_first(const struct toml_doc *doc, const struct toml_node *parent)
{
	if (parent->type != TOML_TABLE && parent->type != TOML_ARRAY)
		return NULL;
	return parent->value.child.first == TOML_NONE ? NULL
						      : &doc->nodes[parent->value.child.first];
}

const struct toml_node *toml_next(const struct toml_doc *doc, const struct toml_node *node)
{
	return node->next == TOML_NONE ? NULL : &doc->nodes[node->next];
}

const char *toml_type_name(enum toml_type type)
{
	static const char *const names[] = {
		[TOML_TABLE] = "a table",
		[TOML_ARRAY] = "an array",
		[TOML_STRING] = "a string",
		[TOML_INTEGER] = "a number",
		[TOML_BOOLEAN] = "true or false",
	};

	return names[type];
}
