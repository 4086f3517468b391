/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of TOML: a position in the text, and strings, numbers and key parts read from it. For
 * toml.c only; knows no tables. No locks.
 */
#ifndef HV_CONFIG_TOML_SCAN_H
#define HV_CONFIG_TOML_SCAN_H

#include "hv/config/toml.h"

#define SCAN_END (-1)

struct scan {
	struct toml_doc *doc; /* strings go here */
	struct config_errors *errors;
	const char *text;
	size_t length, at;
	uint32_t line, column;
	uint16_t table; /* keys go here */
};

struct config_place scan_place(const struct scan *c);

/* Record a mistake, here unless a place is given; all return E_INVAL. */
int scan_fail(const struct scan *c, enum config_error code);
int scan_fail_with(const struct scan *c, enum config_error code, struct config_place at,
	const char *a, const char *b);
int scan_fail_number(const struct scan *c, enum config_error code, uint32_t number);
int scan_fail_earlier(const struct scan *c, enum config_error code, struct config_place at,
	const char *name, struct config_place earlier);

/* The byte at the position, or `ahead` behind it; SCAN_END behind the text. */
int scan_peek(const struct scan *c);
int scan_peek_at(const struct scan *c, size_t ahead);
void scan_advance(struct scan *c);
bool scan_at_line_end(const struct scan *c);

/* Over spaces and tabs; and a comment; and whole lines of these. */
void scan_skip_blanks(struct scan *c);
void scan_skip_comment(struct scan *c);
void scan_skip_lines(struct scan *c);

/* Refuse what TOML allows nowhere; on a copy, so that the position stays. */
int scan_check_text(struct scan c) MUST_CHECK;

/* A bare word or a string as part of a key. */
int scan_key_part(struct scan *c, const char **name) MUST_CHECK;

/* A string, number or boolean into an existing node. */
int scan_scalar(struct scan *c, struct toml_node *node) MUST_CHECK;

#endif
