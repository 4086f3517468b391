/* SPDX-License-Identifier: Apache-2.0 */
/* Counts every 100 ms, as far as the command line says; without a number, forever. */
#include "guests/runtime/guest.h"

PAYLOAD("counter");

void payload_run(void)
{
	uint64_t limit = guest_number(UINT64_MAX), next = rdtsc();

	for (uint64_t n = 1; n <= limit; n++) {
		print("counter %lu", n);
		next += time_us_to_tsc(100000);
		time_sleep_until(next);
	}
}
