/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host program: says about a config what the hypervisor will say, with the hypervisor's own
 * code. Knows files and options; every rule is in hv/config.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "hv/config/check.h"

#define STATUS_MISTAKE 1
#define STATUS_USAGE   4
#define TEXT_MAX       (TOML_TEXT_MAX + 2u) /* one more than is allowed shows that there is more */

static struct config config;
static struct config_errors errors;
static struct config_verdict verdict;
static char text[TEXT_MAX];

static int usage(void)
{
	fputs("usage: bulkhead check FILE [--cpus N] [--memory SIZE]   say what is wrong with a config\n"
	      "       bulkhead files FILE                              check it, list the files it names\n"
	      "       bulkhead dump < FRAMES                           parsed TOML as JSON, for tests\n"
	      "FILE: a bulkhead.toml; the files it names are looked for in its folder.\n"
	      "--cpus: CPUs of the machine; --memory: what its guests can have, as 512M or 3G.\n",
		stderr);
	return STATUS_USAGE;
}

/* Of a file named by the config; context is the config's own path. */
static int file_size(void *context, const char *path, uint64_t *size_bytes)
{
	const char *config_path = context, *slash = strrchr(config_path, '/');
	int folder_length = slash ? (int)(slash - config_path) + 1 : 0;
	char full[4096];
	struct stat st;

	if ((size_t)snprintf(full, sizeof(full), "%.*s%s", folder_length, config_path, path) >=
		sizeof(full))
		return E_RANGE;
	if (stat(full, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? E_NOENT : E_FAULT;
	if (!S_ISREG(st.st_mode))
		return E_FAULT;
	*size_bytes = (uint64_t)st.st_size;
	return 0;
}

static void print_errors(void)
{
	char line[512];

	for (unsigned i = 0; i < errors.count; i++) {
		config_errors_format(&errors, i, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
	}
	if (errors.dropped)
		fprintf(stderr, "%s: %u more\n", errors.file_name, errors.dropped);
}

static int check(char *path, struct config_machine_facts *facts)
{
	FILE *file = fopen(path, "rb");
	size_t length;

	if (!file) {
		fprintf(stderr, "bulkhead: %s: %s\n", path, strerror(errno));
		return STATUS_MISTAKE;
	}
	length = fread(text, 1, sizeof(text), file);
	if (ferror(file)) {
		fprintf(stderr, "bulkhead: %s: %s\n", path, strerror(errno));
		fclose(file);
		return STATUS_MISTAKE;
	}
	fclose(file);
	facts->file_size = file_size;
	facts->context = path;
	if (config_parse(&config, path, text, length, &errors) == 0)
		config_check(&config, facts, &verdict, &errors);
	print_errors();
	return errors.mistake_count ? STATUS_MISTAKE : 0;
}

static int command_check(int argc, char **argv)
{
	struct config_machine_facts facts = {0};
	char *path = NULL;

	for (int i = 0; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		char *end;

		if (strcmp(argv[i], "--cpus") == 0) {
			unsigned long n = strtoul(value, &end, 10);

			if (*value < '0' || *value > '9' || *end || n < 1 || n > UINT16_MAX)
				return usage();
			facts.cpu_count = (unsigned)n;
			i++;
		} else if (strcmp(argv[i], "--memory") == 0) {
			if (config_parse_size(value, &facts.memory_bytes) || !facts.memory_bytes)
				return usage();
			i++;
		} else if (argv[i][0] == '-' || path) {
			return usage();
		} else {
			path = argv[i];
		}
	}
	return path ? check(path, &facts) : usage();
}

static int command_files(int argc, char **argv)
{
	struct config_machine_facts facts = {0};
	const char *paths[CONFIG_FILES_MAX];
	unsigned count;
	int status;

	if (argc != 1 || argv[0][0] == '-')
		return usage();
	status = check(argv[0], &facts);
	if (status)
		return status;
	count = config_list_files(&config, paths);
	for (unsigned i = 0; i < count; i++)
		puts(paths[i]);
	return 0;
}

/* ---- dump ------------------------------------------------------------------------------------ */

static void print_json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ')
			printf("\\u%04x", (unsigned)*s);
		else
			putchar(*s);
	}
	putchar('"');
}

/* What stands before the children of a table or array, or the whole of another value. */
static void print_json_node(const struct toml_node *node)
{
	if (node->key) {
		print_json_string(node->key);
		putchar(':');
	}
	switch ((enum toml_type)node->type) {
	case TOML_TABLE: putchar('{'); break;
	case TOML_ARRAY: putchar('['); break;
	case TOML_STRING: print_json_string(node->value.string); break;
	case TOML_INTEGER: printf("%lld", (long long)node->value.integer); break;
	case TOML_BOOLEAN: fputs(node->value.boolean ? "true" : "false", stdout); break;
	}
}

/* Keys can nest as deep as a header and a dotted key together, and an array in them. */
#define DEPTH_MAX (2 * TOML_DEPTH_MAX + 2)

static void print_json(const struct toml_doc *doc)
{
	const struct toml_node *open[DEPTH_MAX], *child = toml_first(doc, &doc->nodes[TOML_ROOT]);
	unsigned depth = 1;

	open[0] = &doc->nodes[TOML_ROOT];
	print_json_node(open[0]);
	while (depth) {
		if (!child) {
			const struct toml_node *closed = open[--depth];

			putchar(closed->type == TOML_TABLE ? '}' : ']');
			child = depth ? toml_next(doc, closed) : NULL;
		} else {
			print_json_node(child);
			if (child->type == TOML_TABLE || child->type == TOML_ARRAY) {
				open[depth++] = child;
				child = toml_first(doc, child);
				continue;
			}
			child = toml_next(doc, child);
		}
		if (child)
			putchar(',');
	}
}

/*
 * Standard input holds documents, each behind its length in bytes as a decimal line. Prints a line
 * each: a JSON object, or "!" and the mistake.
 */
static int command_dump(int argc, char **argv)
{
	unsigned length;
	char line[512];

	(void)argv;
	if (argc)
		return usage();
	while (scanf("%u", &length) == 1 && getchar() == '\n') {
		unsigned kept = length < sizeof(text) ? length : (unsigned)sizeof(text);

		if (fread(text, 1, kept, stdin) != kept)
			return usage();
		for (; kept < length; kept++)
			getchar();
		config_errors_init(&errors, "-");
		if (toml_parse(&config.doc, text, length, &errors)) {
			config_errors_format(&errors, 0, line, sizeof(line));
			printf("!%s\n", line);
		} else {
			print_json(&config.doc);
			putchar('\n');
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{"check", command_check},
		{"files", command_files},
		{"dump", command_dump},
	};

	if (argc < 2)
		return usage();
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 2, argv + 2);
	}
	return usage();
}
