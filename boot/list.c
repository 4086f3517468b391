/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files the config names: the config's own parser answers, the hypervisor reports mistakes.
 * No locks.
 */
#include "boot/loader.h"
#include "hv/config/config.h"
#include "hv/lib/string.h"

_Static_assert(LIST_FILES_MAX >= CONFIG_FILES_MAX, "every file of a config fits");
_Static_assert(BOOT_PATH_MAX > CONFIG_PATH_MAX, "every path of a config fits");

struct scratch {
	struct config config;
	struct config_errors errors;
	const char *paths[CONFIG_FILES_MAX];
};

unsigned boot_list_files(const char *text, size_t size, struct bootinfo_file *files)
{
	struct scratch *s;
	unsigned count = 0;
	uint64_t base;

	if (EFI_ERROR(firmware_alloc(sizeof(*s), PAGE_SIZE, BOOT_MEM_LOADER, &base))) {
		firmware_print("bulkhead: no memory to read the config: no file is loaded\n");
		return 0;
	}
	s = (struct scratch *)base;
	if (config_parse(&s->config, "bulkhead.toml", text, size, &s->errors) == OK)
		count = config_list_files(&s->config, s->paths);
	for (unsigned i = 0; i < count; i++) {
		memset(&files[i], 0, sizeof(files[i]));
		memcpy(files[i].path, s->paths[i], strnlen(s->paths[i], BOOT_PATH_MAX - 1));
	}
	firmware_free_last();
	return count;
}
