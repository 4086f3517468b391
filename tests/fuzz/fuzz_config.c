/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a config: read, checked, and what the check lets start can run side by side. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "hv/config/check.h"

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

#define MACHINE_CPUS   8u
#define MACHINE_MEMORY GIB(1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config config;
static struct config_errors errors;
static struct config_verdict verdict;
static char expanded[TOML_TEXT_MAX + 1];

/* A file's size hangs on its name: absent, broken, larger than any guest, or small. */
static int file_size(void *context, const char *path, uint64_t *size_bytes)
{
	(void)context;
	switch (path[0]) {
	case 'a': return E_NOENT;
	case 'b': return E_FAULT;
	case 'c': *size_bytes = UINT64_MAX; return 0;
	default: *size_bytes = KIB((uint64_t)path[0]); return 0;
	}
}

/*
 * Random bytes rarely spell a config. Inputs that start with '!' are written with words: each byte
 * from 80h on stands for one.
 */
static size_t expand(char *out, size_t room, const uint8_t *data, size_t size)
{
	static const char *const words[] = {"[machine]\n", "[image.i]\nkernel = \"k\"\n",
		"[image.j]\n", "[guest.g]\nimage = \"i\"\ncpus = [1]\nmemory = \"64M\"\n",
		"[guest.h]\nimage = \"i\"\ncpus = [1]\nmemory = \"600M\"\n",
		"[guest.k]\nimage = \"j\"\ncpus = [2]\nmemory = \"600M\"\n",
		"[guest.l]\nimage = \"i\"\ncpus = [3]\nmemory = \"500M\"\n", "[guest.",
		"after = \"g\"\n", "after = \"h\"\n", "after = \"k\"\n", "after = \"l\"\n",
		"image = \"i\"\n", "image = \"j\"\n", "cpus = [", "memory = \"",
		"cmdline = \"x\"\n", "restart = \"always\"\n", "restart = \"on-failure\"\n",
		"exit_port = 0xf4\n", "kernel = \"", "initrd = \"", "housekeeping = 1\n",
		"color = true\n", "console = \"", "when_all_stopped = \"stay\"\n", "]\n", "\"\n",
		"\\u00", "600M", "= ", "\n"};
	size_t used = 0;

	for (size_t i = 0; i < size; i++) {
		const char raw[2] = {(char)data[i], '\0'};
		const char *word = data[i] < 0x80 ? raw : words[data[i] % ARRAY_SIZE(words)];
		size_t length = data[i] < 0x80 ? 1 : strlen(word);

		if (length > room - used)
			break;
		memcpy(out + used, word, length);
		used += length;
	}
	return used;
}

static void check_messages(void)
{
	char line[512];

	MUST(errors.count <= CONFIG_ERRORS_MAX);
	for (unsigned i = 0; i < errors.count; i++) {
		size_t length = config_errors_format(&errors, i, line, sizeof(line));

		MUST(length == strlen(line));
		for (size_t k = 0; k < length; k++)
			MUST(line[k] >= ' ' && line[k] <= '~');
	}
}

static bool waits_for(unsigned guest, unsigned other)
{
	int up = config.guests[guest].after_index;

	for (unsigned steps = 0; up >= 0 && steps < CONFIG_GUESTS_MAX; steps++) {
		if (up == (int)other)
			return true;
		up = config.guests[up].after_index;
	}
	return false;
}

static void check_guest(unsigned index)
{
	const struct config_guest *g = &config.guests[index];
	const struct config_image *image = config_guest_image(&config, g);

	MUST(!g->bad && image && !image->bad && image->kernel.text);
	MUST(strlen(image->kernel.text) <= CONFIG_PATH_MAX);
	MUST(strlen(config_guest_cmdline(&config, g)) <= CONFIG_CMDLINE_MAX);
	MUST(g->cpus.count == 1 && g->cpus.cpu[0].number < MACHINE_CPUS);
	MUST(g->memory.value && g->memory.value % CONFIG_MEMORY_UNIT == 0);
	MUST(g->memory.value <= MACHINE_MEMORY);
	MUST(g->after_index < 0 || !verdict.guest_bad[g->after_index]);
	MUST(!waits_for(index, index));
	for (unsigned k = 0; k < index; k++) {
		if (!verdict.guest_bad[k] &&
			config.guests[k].cpus.cpu[0].number == g->cpus.cpu[0].number)
			MUST(waits_for(index, k) || waits_for(k, index));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct config_machine_facts facts = {
		.cpu_count = MACHINE_CPUS, .memory_bytes = MACHINE_MEMORY, .file_size = file_size};
	const char *paths[CONFIG_FILES_MAX];
	const char *text = (const char *)data;
	bool any_bad = false;
	int status;

	if (size && data[0] == '!') {
		size = expand(expanded, sizeof(expanded), data + 1, size - 1);
		text = expanded;
	}
	status = config_parse(&config, "f", text, size, &errors);
	if (status) {
		MUST(errors.mistake_count == 1 && !config.guest_count);
		check_messages();
		return 0;
	}
	config_check(&config, &facts, &verdict, &errors);
	check_messages();
	MUST(config_list_files(&config, paths) <= CONFIG_FILES_MAX);
	MUST(verdict.housekeeping < MACHINE_CPUS);
	for (unsigned i = 0; i < config.guest_count; i++) {
		any_bad |= verdict.guest_bad[i];
		if (!verdict.guest_bad[i])
			check_guest(i);
	}
	MUST(!any_bad || errors.mistake_count); /* nobody is stopped without a word */
	return 0;
}
