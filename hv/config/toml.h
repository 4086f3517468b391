/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a subset of TOML 1.0 into a table of nodes; docs/config.md has the subset. Whatever it
 * accepts, any TOML parser reads to the same values. Knows no key's meaning. No locks: a document
 * belongs to one caller.
 */
#ifndef HV_CONFIG_TOML_H
#define HV_CONFIG_TOML_H

#include "hv/config/errors.h"

#define TOML_TEXT_MAX  65534u /* bytes; lines and columns then fit into 16 bits */
#define TOML_NODES_MAX 4096u
#define TOML_DEPTH_MAX 8u /* parts of one key */

#define TOML_ROOT 0u
#define TOML_NONE 0u /* the root is nobody's child or neighbour */

enum toml_type { TOML_TABLE, TOML_ARRAY, TOML_STRING, TOML_INTEGER, TOML_BOOLEAN };

/* How a table came to be decides who may add to it. */
enum toml_origin {
	TOML_BY_PATH,   /* [a.b] made a */
	TOML_BY_HEADER, /* [a.b] made b */
	TOML_BY_DOTS,   /* a.b = 1 made a */
};

struct toml_node {
	const char *key; /* in the document; NULL for the root and in arrays */
	union {
		int64_t integer;
		bool boolean;
		const char *string; /* NUL-terminated UTF-8 without inner NULs, in the document */
		struct {
			uint16_t first, last;
		} child;
	} value;
	uint16_t next;
	uint8_t type;   /* enum toml_type */
	uint8_t origin; /* enum toml_origin, of a table */
	struct config_place key_at;
	struct config_place value_at;
};

/* Points into itself: never copied by value. */
struct toml_doc {
	unsigned node_count;
	unsigned text_used;
	struct toml_node nodes[TOML_NODES_MAX];
	char text[TOML_TEXT_MAX + 1];
};

/* Parse all of text; the first mistake goes to errors and ends it with E_INVAL. */
int toml_parse(struct toml_doc *doc, const char *text, size_t length,
	struct config_errors *errors) MUST_CHECK;

/* Children of a table or array, in file order: NULL at the end. */
const struct toml_node *toml_first(const struct toml_doc *doc, const struct toml_node *parent);
const struct toml_node *toml_next(const struct toml_doc *doc, const struct toml_node *node);

/* "a string", "a number" …: for messages. */
const char *toml_type_name(enum toml_type type);

#endif
