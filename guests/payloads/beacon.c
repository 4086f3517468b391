/* SPDX-License-Identifier: Apache-2.0 */
/* A sign of life each second, forever: a count, and whether the guest's memory is what it was. */
#include "guests/runtime/guest.h"

PAYLOAD("beacon");

static uint64_t sum;

static void fill(uint64_t base, uint64_t end)
{
	for (uint64_t *p = (uint64_t *)base; p < (uint64_t *)end; p++)
		*p = (uint64_t)p * 0x9e3779b97f4a7c15ull;
}

static void add(uint64_t base, uint64_t end)
{
	for (const uint64_t *p = (const uint64_t *)base; p < (const uint64_t *)end; p++)
		sum = (sum << 1 | sum >> 63) ^ *p;
}

void payload_run(void)
{
	uint64_t next = rdtsc(), first;

	guest_free_ram(fill);
	guest_free_ram(add);
	first = sum;
	for (uint64_t n = 1;; n++) {
		sum = 0;
		guest_free_ram(add);
		if (sum == first)
			print("beacon %lu: checksum ok", n);
		else
			print("beacon %lu: CORRUPT checksum %lx, not %lx", n, sum, first);
		next += time_hz();
		time_sleep_until(next);
	}
}
