/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a config means as a whole and on one machine. Pure: the machine is described by the caller,
 * so the host tool and the hypervisor say the same. No locks.
 */
#ifndef HV_CONFIG_CHECK_H
#define HV_CONFIG_CHECK_H

#include "hv/config/config.h"

#define CONFIG_MEMORY_UNIT MIB(2) /* guest memory is a multiple of it */

struct config_machine_facts {
	unsigned cpu_count; /* enabled CPUs; 0: unknown, not checked */
	/*
	 * Why this one of them cannot be used, in words; NULL: it can. The function NULL: not
	 * checked.
	 */
	const char *(*cpu_problem)(void *context, unsigned cpu);
	uint64_t memory_bytes; /* what guests can have together; 0: unknown, not checked */
	/*
	 * 0 and the size, E_NOENT, or another status if it cannot be read. NULL: files are not
	 * checked.
	 */
	int (*file_size)(void *context, const char *path, uint64_t *size_bytes);
	void *context;
};

struct config_verdict {
	uint32_t housekeeping; /* the CPU to use: 0 where the configured one does not exist */
	bool image_bad[CONFIG_IMAGES_MAX];
	bool guest_bad[CONFIG_GUESTS_MAX]; /* do not start it; an error says why */
};

/*
 * Check a config that config_parse accepted. Adds to errors; guests that are not bad can all be
 * started: each when its `after`, if any, has stopped, the others at once.
 */
void config_check(const struct config *config, const struct config_machine_facts *facts,
	struct config_verdict *verdict, struct config_errors *errors);

#endif
