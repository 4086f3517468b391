/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be wrong with a config, one value per mistake, and a bounded list of what was found.
 * Knows neither TOML nor the meaning of keys. No locks: a list belongs to one caller.
 */
#ifndef HV_CONFIG_ERRORS_H
#define HV_CONFIG_ERRORS_H

#include "hv/lib/types.h"

enum config_error {
	/* Syntax: the file cannot be understood, no guest starts. */
	CONFIG_TEXT_TOO_LARGE,
	CONFIG_TEXT_NOT_UTF8,
	CONFIG_TEXT_BOM,
	CONFIG_TEXT_CONTROL,
	CONFIG_TEXT_LONE_CR,
	CONFIG_KEY_EXPECTED,
	CONFIG_EQUALS_EXPECTED,
	CONFIG_VALUE_EXPECTED,
	CONFIG_LINE_END_EXPECTED,
	CONFIG_HEADER_OPEN,
	CONFIG_HEADER_ARRAY,
	CONFIG_STRING_OPEN,
	CONFIG_STRING_MULTILINE,
	CONFIG_STRING_ESCAPE,
	CONFIG_STRING_UNICODE,
	CONFIG_NUMBER_MALFORMED,
	CONFIG_NUMBER_RANGE,
	CONFIG_NUMBER_FLOAT,
	CONFIG_NUMBER_DATE,
	CONFIG_ARRAY_OPEN,
	CONFIG_ARRAY_COMMA,
	CONFIG_ARRAY_NESTED,
	CONFIG_INLINE_TABLE,
	CONFIG_KEY_TWICE,
	CONFIG_TABLE_TWICE,
	CONFIG_TABLE_IS_VALUE,
	CONFIG_TABLE_BY_DOTS,
	CONFIG_TOO_DEEP,
	CONFIG_TOO_MANY_VALUES,

	/* Meaning, seen while reading: stops the guest or the guests of the image. */
	CONFIG_UNKNOWN_TABLE,
	CONFIG_UNKNOWN_KEY,
	CONFIG_KEY_MISSING,
	CONFIG_TABLE_EXPECTED,
	CONFIG_WRONG_TYPE,
	CONFIG_NAME_INVALID,
	CONFIG_CHOICE_INVALID,
	CONFIG_IMAGES_TOO_MANY,
	CONFIG_GUESTS_TOO_MANY,
	CONFIG_PATH_EMPTY,
	CONFIG_PATH_TOO_LONG,
	CONFIG_PATH_CHARACTER,
	CONFIG_PATH_ABSOLUTE,
	CONFIG_PATH_COMPONENT,
	CONFIG_CMDLINE_TOO_LONG,
	CONFIG_CMDLINE_CHARACTER,
	CONFIG_SIZE_MALFORMED,
	CONFIG_SIZE_RANGE,
	CONFIG_CPU_NUMBER,
	CONFIG_CPUS_EMPTY,
	CONFIG_CPUS_TOO_MANY,
	CONFIG_PORT_RANGE,

	/* Meaning, seen by the check. */
	CONFIG_HOUSEKEEPING_ABSENT,
	CONFIG_HOUSEKEEPING_UNUSABLE,
	CONFIG_FILE_MISSING,
	CONFIG_FILE_UNREADABLE,
	CONFIG_IMAGE_UNKNOWN,
	CONFIG_IMAGE_BAD,
	CONFIG_CPU_ABSENT,
	CONFIG_CPU_UNUSABLE,
	CONFIG_CPU_REPEATED,
	CONFIG_CPU_TAKEN,
	CONFIG_MEMORY_UNIT_WRONG,
	CONFIG_MEMORY_FILES,
	CONFIG_MEMORY_FULL,
	CONFIG_AFTER_UNKNOWN,
	CONFIG_AFTER_CYCLE,
	CONFIG_AFTER_ALWAYS,
	CONFIG_AFTER_BAD,

	/* Warnings: stop nothing. */
	CONFIG_WARN_HOUSEKEEPING_SHARED,

	CONFIG_ERROR_COUNT,
};

enum config_severity { CONFIG_SYNTAX, CONFIG_MEANING, CONFIG_WARNING };

/* Both count from 1; a column is a character (not a byte). line 0: no place. */
struct config_place {
	uint16_t line, column;
};

#define CONFIG_ERRORS_MAX     64
#define CONFIG_ERROR_TEXT_MAX 192

struct config_error_entry {
	enum config_error code;
	struct config_place at;
	char text[CONFIG_ERROR_TEXT_MAX]; /* "guest.web: what is wrong"; printable ASCII */
};

struct config_errors {
	const char *file_name;
	unsigned count;         /* entries kept */
	unsigned dropped;       /* found after the list was full */
	unsigned mistake_count; /* kept or dropped, warnings not counted */
	struct config_error_entry entries[CONFIG_ERRORS_MAX]; /* in the order of the file */
};

void config_errors_init(struct config_errors *errors, const char *file_name);

/*
 * Record one mistake about `subject` ("guest.web", NULL: about the file). a, b and c fill the
 * places of the mistake's text in order; NULL is an empty string. Characters a terminal might obey
 * become '?'.
 */
void config_errors_add(struct config_errors *errors, enum config_error code, struct config_place at,
	const char *subject, const char *a, const char *b, const char *c);

/* Write entry `index` as "file:line:column: text"; returns the characters stored, as fmt_string. */
size_t config_errors_format(
	const struct config_errors *errors, unsigned index, char *buf, size_t size);

enum config_severity config_error_severity(enum config_error code);

/* The text with %s where a, b and c go. For tests and documentation. */
const char *config_error_text(enum config_error code);

/* The search for what was meant: try every candidate, then ask for the sentence. */
struct config_guess {
	const char *word;
	const char *best; /* NULL: nothing is near */
	unsigned distance;
	char text[64];
};

void config_guess_init(struct config_guess *guess, const char *word);
void config_guess_try(struct config_guess *guess, const char *candidate);

/* `; did you mean "x"?` or an empty string; lives in the guess. */
const char *config_guess_text(struct config_guess *guess);

#endif
