/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/config/errors.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

#define GUESS_WORD_MAX 32u
#define GUESS_DISTANCE 2u

/* Every place is %s or %.Ns and there are at most three: config_errors_add passes just that. */
static const struct {
	enum config_severity severity;
	const char *text;
} mistakes[CONFIG_ERROR_COUNT] = {
	[CONFIG_TEXT_TOO_LARGE] = {CONFIG_SYNTAX, "the file is larger than %s bytes"},
	[CONFIG_TEXT_NOT_UTF8] = {CONFIG_SYNTAX, "this is not UTF-8 text"},
	[CONFIG_TEXT_BOM] = {CONFIG_SYNTAX,
		"the file starts with a byte order mark; save it as UTF-8 without one"},
	[CONFIG_TEXT_CONTROL] = {CONFIG_SYNTAX, "control character %s is not allowed"},
	[CONFIG_TEXT_LONE_CR] = {CONFIG_SYNTAX, "carriage return without a line feed"},
	[CONFIG_KEY_EXPECTED] = {CONFIG_SYNTAX, "a key is expected here"},
	[CONFIG_EQUALS_EXPECTED] = {CONFIG_SYNTAX, "\"=\" is expected after a key"},
	[CONFIG_VALUE_EXPECTED] = {CONFIG_SYNTAX,
		"a value is expected: a string in quotes, a number, true, false or an array"},
	[CONFIG_LINE_END_EXPECTED] = {CONFIG_SYNTAX, "the end of the line is expected here"},
	[CONFIG_HEADER_OPEN] = {CONFIG_SYNTAX, "\"]\" is expected after a table's name"},
	[CONFIG_HEADER_ARRAY] = {CONFIG_SYNTAX,
		"arrays of tables are not supported; write [table.name]"},
	[CONFIG_STRING_OPEN] = {CONFIG_SYNTAX, "the string that starts here has no closing quote"},
	[CONFIG_STRING_MULTILINE] = {CONFIG_SYNTAX, "multi-line strings are not supported"},
	[CONFIG_STRING_ESCAPE] = {CONFIG_SYNTAX,
		"unknown escape; write \\\\ for a backslash, or 'single quotes'"},
	[CONFIG_STRING_UNICODE] = {CONFIG_SYNTAX, "this escape does not name a character"},
	[CONFIG_NUMBER_MALFORMED] = {CONFIG_SYNTAX, "\"%.40s\" is not a number"},
	[CONFIG_NUMBER_RANGE] = {CONFIG_SYNTAX, "the number does not fit into 64 bits"},
	[CONFIG_NUMBER_FLOAT] = {CONFIG_SYNTAX,
		"numbers with a fraction or exponent are not supported"},
	[CONFIG_NUMBER_DATE] = {CONFIG_SYNTAX, "dates and times are not supported"},
	[CONFIG_ARRAY_OPEN] = {CONFIG_SYNTAX, "the array that starts here has no \"]\""},
	[CONFIG_ARRAY_COMMA] = {CONFIG_SYNTAX, "\",\" or \"]\" is expected here"},
	[CONFIG_ARRAY_NESTED] = {CONFIG_SYNTAX, "arrays in arrays are not supported"},
	[CONFIG_INLINE_TABLE] = {CONFIG_SYNTAX, "inline tables are not supported; write a [table]"},
	[CONFIG_KEY_TWICE] = {CONFIG_SYNTAX, "\"%.40s\" is given twice, first in line %s"},
	[CONFIG_TABLE_TWICE] = {CONFIG_SYNTAX, "table \"%.40s\" is given twice, first in line %s"},
	[CONFIG_TABLE_IS_VALUE] = {CONFIG_SYNTAX,
		"\"%.40s\" cannot be a table, line %s gives it a value"},
	[CONFIG_TABLE_BY_DOTS] = {CONFIG_SYNTAX,
		"table \"%.40s\" of line %s cannot be added to with dots; write the key below its header"},
	[CONFIG_TOO_DEEP] = {CONFIG_SYNTAX, "a key has at most %s parts"},
	[CONFIG_TOO_MANY_VALUES] = {CONFIG_SYNTAX, "the file has more than %s tables and values"},

	[CONFIG_UNKNOWN_TABLE] = {CONFIG_MEANING, "there is no \"%.40s\"%s"},
	[CONFIG_UNKNOWN_KEY] = {CONFIG_MEANING, "there is no key \"%.40s\"%s"},
	[CONFIG_KEY_MISSING] = {CONFIG_MEANING, "%s is missing"},
	[CONFIG_TABLE_EXPECTED] = {CONFIG_MEANING, "\"%.40s\" must be a table: write [%s]"},
	[CONFIG_WRONG_TYPE] = {CONFIG_MEANING, "%s must be %s, not %s"},
	[CONFIG_NAME_INVALID] = {CONFIG_MEANING,
		"\"%.40s\" is not a name: 1 to 31 of a-z, 0-9 and \"-\", not starting with \"-\""},
	[CONFIG_CHOICE_INVALID] = {CONFIG_MEANING, "%s cannot be \"%.40s\"%s"},
	[CONFIG_IMAGES_TOO_MANY] = {CONFIG_MEANING, "more than %s images"},
	[CONFIG_GUESTS_TOO_MANY] = {CONFIG_MEANING, "more than %s guests"},
	[CONFIG_PATH_EMPTY] = {CONFIG_MEANING, "%s is empty"},
	[CONFIG_PATH_TOO_LONG] = {CONFIG_MEANING, "%s is longer than %s characters"},
	[CONFIG_PATH_CHARACTER] = {CONFIG_MEANING,
		"%s has a character that is not printable ASCII or is a backslash; folders are separated by \"/\""},
	[CONFIG_PATH_ABSOLUTE] = {CONFIG_MEANING,
		"%s starts with \"/\"; paths start in the config's folder"},
	[CONFIG_PATH_COMPONENT] = {CONFIG_MEANING, "%s has an empty, \".\" or \"..\" component"},
	[CONFIG_CMDLINE_TOO_LONG] = {CONFIG_MEANING, "cmdline is longer than %s characters"},
	[CONFIG_CMDLINE_CHARACTER] = {CONFIG_MEANING,
		"cmdline has a character that is not printable ASCII"},
	[CONFIG_SIZE_MALFORMED] = {CONFIG_MEANING,
		"%s \"%.40s\" is not a size: write a whole number and K, M or G, as in \"256M\""},
	[CONFIG_SIZE_RANGE] = {CONFIG_MEANING, "%s \"%.40s\" is more than any machine has"},
	[CONFIG_CPU_NUMBER] = {CONFIG_MEANING, "%s is not a CPU number: 0 to 65535"},
	[CONFIG_CPUS_EMPTY] = {CONFIG_MEANING, "cpus is empty"},
	[CONFIG_CPUS_TOO_MANY] = {CONFIG_MEANING, "more than %s cpus"},
	[CONFIG_PORT_RANGE] = {CONFIG_MEANING, "exit_port %s is not an I/O port: 1 to 0xffff"},

	[CONFIG_HOUSEKEEPING_ABSENT] = {CONFIG_MEANING,
		"CPU %s does not exist, the machine has CPUs 0 to %s; CPU 0 is used"},
	[CONFIG_HOUSEKEEPING_UNUSABLE] = {CONFIG_MEANING,
		"CPU %s cannot be used: %s; CPU 0 is used"},
	[CONFIG_FILE_MISSING] = {CONFIG_MEANING, "%s: there is no file \"%.100s\""},
	[CONFIG_FILE_UNREADABLE] = {CONFIG_MEANING, "%s: file \"%.100s\" cannot be read"},
	[CONFIG_IMAGE_UNKNOWN] = {CONFIG_MEANING, "there is no image \"%.40s\"%s"},
	[CONFIG_IMAGE_BAD] = {CONFIG_MEANING, "image.%s has a mistake"},
	[CONFIG_CPU_ABSENT] = {CONFIG_MEANING,
		"CPU %s does not exist, the machine has CPUs 0 to %s"},
	[CONFIG_CPU_UNUSABLE] = {CONFIG_MEANING, "CPU %s cannot be used: %s"},
	[CONFIG_CPU_REPEATED] = {CONFIG_MEANING, "CPU %s is given twice"},
	[CONFIG_CPU_TAKEN] = {CONFIG_MEANING, "CPU %s is also given to guest.%s"},
	[CONFIG_MEMORY_UNIT_WRONG] = {CONFIG_MEANING,
		"memory must be a multiple of 2M, at least 2M"},
	[CONFIG_MEMORY_FILES] = {CONFIG_MEANING,
		"memory is too small: kernel and initrd of image.%s alone need %s"},
	[CONFIG_MEMORY_FULL] = {CONFIG_MEANING, "memory %s does not fit, %s of %s is left for it"},
	[CONFIG_AFTER_UNKNOWN] = {CONFIG_MEANING, "there is no guest \"%.40s\"%s"},
	[CONFIG_AFTER_CYCLE] = {CONFIG_MEANING, "waits for itself: %s is after %s%s"},
	[CONFIG_AFTER_ALWAYS] = {CONFIG_MEANING,
		"waits for guest.%s, which never stops by itself (restart = \"always\")"},
	[CONFIG_AFTER_BAD] = {CONFIG_MEANING, "waits for guest.%s, which cannot start"},

	[CONFIG_WARN_HOUSEKEEPING_SHARED] = {CONFIG_WARNING,
		"shares CPU %s with the hypervisor's work"},
};

void config_errors_init(struct config_errors *errors, const char *file_name)
{
	errors->file_name = file_name;
	errors->count = 0;
	errors->dropped = 0;
	errors->mistake_count = 0;
}

enum config_severity config_error_severity(enum config_error code)
{
	return mistakes[code].severity;
}

const char *config_error_text(enum config_error code)
{
	return mistakes[code].text;
}

static bool is_before(struct config_place a, struct config_place b)
{
	return a.line < b.line || (a.line == b.line && a.column < b.column);
}

/* The list stays in the order of the file, which is how people correct it. */
static struct config_error_entry *make_room(struct config_errors *errors, struct config_place at)
{
	unsigned i = errors->count++;

	for (; i && is_before(at, errors->entries[i - 1].at); i--)
		errors->entries[i] = errors->entries[i - 1];
	return &errors->entries[i];
}

void config_errors_add(struct config_errors *errors, enum config_error code, struct config_place at,
	const char *subject, const char *a, const char *b, const char *c)
{
	struct config_error_entry *entry;
	size_t used = 0;

	if (config_error_severity(code) != CONFIG_WARNING)
		errors->mistake_count++;
	if (errors->count == CONFIG_ERRORS_MAX) {
		errors->dropped++;
		return;
	}
	entry = make_room(errors, at);
	entry->code = code;
	entry->at = at;
	if (subject)
		used = fmt_string(entry->text, sizeof(entry->text), "%s: ", subject);
	fmt_string(entry->text + used, sizeof(entry->text) - used, mistakes[code].text, a ? a : "",
		b ? b : "", c ? c : "");
	for (char *p = entry->text; *p; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

size_t config_errors_format(
	const struct config_errors *errors, unsigned index, char *buf, size_t size)
{
	const struct config_error_entry *entry = &errors->entries[index];
	enum config_severity severity = config_error_severity(entry->code);
	const char *prefix = severity == CONFIG_WARNING ? "warning: " : "";
	const char *suffix = severity == CONFIG_SYNTAX ? "; no guest is started" : "";

	return fmt_string(buf, size, "%s:%u:%u: %s%s%s", errors->file_name, entry->at.line,
		entry->at.column, prefix, entry->text, suffix);
}

void config_guess_init(struct config_guess *guess, const char *word)
{
	guess->word = word;
	guess->best = NULL;
	guess->distance = GUESS_DISTANCE + 1;
	guess->text[0] = '\0';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* Levenshtein's distance, case ignored; the lengths are at most GUESS_WORD_MAX. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	unsigned row[GUESS_WORD_MAX + 1];

	for (unsigned j = 0; j <= b_length; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b_length; j++) {
			unsigned replace = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
			unsigned gap = MIN(row[j], row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = MIN(replace, gap);
		}
	}
	return row[b_length];
}

void config_guess_try(struct config_guess *guess, const char *candidate)
{
	size_t word_length = strnlen(guess->word, GUESS_WORD_MAX + 1);
	size_t length = strnlen(candidate, GUESS_WORD_MAX + 1);
	unsigned d;

	if (word_length > GUESS_WORD_MAX || length > GUESS_WORD_MAX)
		return;
	d = distance(guess->word, word_length, candidate, length);
	/* A word that shares no letter with the candidate is no misspelling of it. */
	if (d < guess->distance && d < length) {
		guess->distance = d;
		guess->best = candidate;
	}
}

const char *config_guess_text(struct config_guess *guess)
{
	if (guess->best)
		fmt_string(guess->text, sizeof(guess->text), "; did you mean \"%s\"?", guess->best);
	return guess->text;
}
