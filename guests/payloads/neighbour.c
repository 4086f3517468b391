/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives beside guests that misbehave and says every 100 ms how it is: `tick N t=MS checksum ok`,
 * where MS is guest time since the start, or a line with CORRUPT. Registers are watched while it
 * sleeps.
 */
#include "guests/runtime/guest.h"

PAYLOAD("neighbour");

#define TICK_US       100000
#define WATCHED_BYTES KIB(256)

static uint64_t *watched;

static void choose(uint64_t base, uint64_t end)
{
	if (end - base >= WATCHED_BYTES)
		watched = (uint64_t *)base;
}

static uint64_t pattern(unsigned i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ull;
}

static bool memory_intact(void)
{
	for (unsigned i = 0; i < WATCHED_BYTES / 8; i++) {
		if (watched[i] != pattern(i)) {
			print("CORRUPT memory at 0x%lx: 0x%lx", (uint64_t)&watched[i], watched[i]);
			watched[i] = pattern(i);
			return false;
		}
	}
	return true;
}

static bool sleep_until(uint64_t tsc)
{
	int changed = -1;

	while (rdtsc() < tsc && changed < 0) {
		time_arm(tsc);
		changed = regs_changed(true);
	}
	if (changed >= 0)
		print("CORRUPT register %d", changed);
	return changed < 0;
}

void payload_run(void)
{
	uint64_t start = rdtsc(), next = start;
	bool good;

	guest_free_ram(choose);
	for (unsigned i = 0; i < WATCHED_BYTES / 8; i++)
		watched[i] = pattern(i);
	regs_init(start);
	for (uint64_t n = 1;; n++) {
		next += time_us_to_tsc(TICK_US);
		good = sleep_until(next);
		good = memory_intact() && good;
		if (good)
			print("tick %lu t=%lu checksum ok", n,
				time_tsc_to_us(rdtsc() - start) / 1000);
	}
}
