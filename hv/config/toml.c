/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/config/toml.h"
#include "hv/config/toml_scan.h"
#include "hv/lib/string.h"

struct key_path {
	unsigned count;
	struct {
		const char *name;
		struct config_place at;
	} part[TOML_DEPTH_MAX];
};

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* The node's number, TOML_NONE when there is no room: the mistake is then recorded. */
static uint16_t add_node(struct scan *c, uint16_t parent, enum toml_type type, const char *key,
	struct config_place at)
{
	struct toml_doc *doc = c->doc;
	struct toml_node *up = &doc->nodes[parent];
	uint16_t number = (uint16_t)doc->node_count;

	if (doc->node_count == TOML_NODES_MAX) {
		scan_fail_number(c, CONFIG_TOO_MANY_VALUES, TOML_NODES_MAX - 1);
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

/* ---- Keys and arrays ------------------------------------------------------------------------- */

static int parse_key(struct scan *c, struct key_path *path)
{
	path->count = 0;
	for (;;) {
		int status;

		scan_skip_blanks(c);
		if (path->count == TOML_DEPTH_MAX)
			return scan_fail_number(c, CONFIG_TOO_DEEP, TOML_DEPTH_MAX);
		path->part[path->count].at = scan_place(c);
		status = scan_key_part(c, &path->part[path->count].name);
		if (status)
			return status;
		path->count++;
		scan_skip_blanks(c);
		if (scan_peek(c) != '.')
			return 0;
		scan_advance(c);
	}
}

static int parse_array(struct scan *c, uint16_t array)
{
	struct config_place at = scan_place(c);

	c->doc->nodes[array].value_at = at;
	scan_advance(c);
	for (scan_skip_lines(c); scan_peek(c) != ']'; scan_skip_lines(c)) {
		uint16_t number;
		int status;

		if (scan_peek(c) == SCAN_END)
			return scan_fail_with(c, CONFIG_ARRAY_OPEN, at, NULL, NULL);
		if (scan_peek(c) == '[')
			return scan_fail(c, CONFIG_ARRAY_NESTED);
		number = add_node(c, array, TOML_BOOLEAN, NULL, scan_place(c));
		status = number == TOML_NONE ? E_INVAL : scan_scalar(c, &c->doc->nodes[number]);
		if (status)
			return status;
		scan_skip_lines(c);
		if (scan_peek(c) == ',')
			scan_advance(c);
		else if (scan_peek(c) == SCAN_END)
			return scan_fail_with(c, CONFIG_ARRAY_OPEN, at, NULL, NULL);
		else if (scan_peek(c) != ']')
			return scan_fail(c, CONFIG_ARRAY_COMMA);
	}
	scan_advance(c);
	return 0;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* The table that all parts of a key but the last lead to. */
static int descend(struct scan *c, const struct key_path *path, uint16_t from,
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
			return scan_fail_earlier(c, CONFIG_TABLE_IS_VALUE, at, name, node->key_at);
		} else if (origin == TOML_BY_DOTS && node->origin != TOML_BY_DOTS) {
			return scan_fail_earlier(c, CONFIG_TABLE_BY_DOTS, at, name, node->key_at);
		}
		table = child;
	}
	*to = table;
	return 0;
}

/* [a.b] makes b, or gives a header to a table that only a longer path made. */
static int open_table(struct scan *c, const struct key_path *path)
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
		return scan_fail_earlier(c, CONFIG_TABLE_IS_VALUE, at, name, node->key_at);
	} else if (node->origin != TOML_BY_PATH) {
		return scan_fail_earlier(c, CONFIG_TABLE_TWICE, at, name, node->key_at);
	}
	node->origin = TOML_BY_HEADER;
	node->key_at = at;
	node->value_at = at;
	c->table = child;
	return 0;
}

static int parse_header(struct scan *c)
{
	struct key_path path;
	int status;

	if (scan_peek_at(c, 1) == '[')
		return scan_fail(c, CONFIG_HEADER_ARRAY);
	scan_advance(c);
	status = parse_key(c, &path);
	if (status)
		return status;
	if (scan_peek(c) != ']')
		return scan_fail(c, CONFIG_HEADER_OPEN);
	status = open_table(c, &path);
	if (status)
		return status;
	scan_advance(c);
	return 0;
}

static int parse_key_value(struct scan *c)
{
	struct key_path path;
	const char *name;
	struct config_place at;
	uint16_t parent, child;
	int status = parse_key(c, &path);

	if (status)
		return status;
	if (scan_peek(c) != '=')
		return scan_fail(c, CONFIG_EQUALS_EXPECTED);
	status = descend(c, &path, c->table, TOML_BY_DOTS, &parent);
	if (status)
		return status;
	name = path.part[path.count - 1].name;
	at = path.part[path.count - 1].at;
	child = find_child(c->doc, parent, name);
	if (child != TOML_NONE)
		return scan_fail_earlier(
			c, CONFIG_KEY_TWICE, at, name, c->doc->nodes[child].key_at);
	child = add_node(c, parent, TOML_ARRAY, name, at);
	if (child == TOML_NONE)
		return E_INVAL;
	scan_advance(c);
	scan_skip_blanks(c);
	return scan_peek(c) == '[' ? parse_array(c, child) : scan_scalar(c, &c->doc->nodes[child]);
}

int toml_parse(struct toml_doc *doc, const char *text, size_t length, struct config_errors *errors)
{
	struct scan c = {.doc = doc,
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
		.key_at = scan_place(&c),
		.value_at = scan_place(&c)};
	if (length > TOML_TEXT_MAX)
		return scan_fail_number(&c, CONFIG_TEXT_TOO_LARGE, TOML_TEXT_MAX);
	status = scan_check_text(c);
	if (status)
		return status;
	for (scan_skip_lines(&c); scan_peek(&c) != SCAN_END; scan_skip_lines(&c)) {
		status = scan_peek(&c) == '[' ? parse_header(&c) : parse_key_value(&c);
		if (status)
			return status;
		scan_skip_comment(&c);
		if (!scan_at_line_end(&c))
			return scan_fail(&c, CONFIG_LINE_END_EXPECTED);
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
