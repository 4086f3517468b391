/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: starts as zeroes, every byte of usable RAM is there and is not another's, and the PC's
 * holes read as an undriven bus. Leaves a pattern behind, which the next guest in its place must
 * not see. Command line "quick": only the check for zeroes and the pattern.
 */
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("memory");

static uint64_t total, dirty;

static void count_dirty(uint64_t base, uint64_t end)
{
	total += end - base;
	for (const uint64_t *p = (const uint64_t *)base; p < (const uint64_t *)end; p++) {
		if (*p)
			dirty++;
	}
}

static uint64_t pattern(const void *p)
{
	return (uint64_t)p * 0x9e3779b97f4a7c15ull + 0x6265656e68657265ull;
}

static void fill(uint64_t base, uint64_t end)
{
	for (uint64_t *p = (uint64_t *)base; p < (uint64_t *)end; p++)
		*p = pattern(p);
}

static void compare(uint64_t base, uint64_t end)
{
	for (const uint64_t *p = (const uint64_t *)base; p < (const uint64_t *)end; p++) {
		if (!check(*p == pattern(p), "0x%lx lost its pattern: 0x%lx", (uint64_t)p, *p))
			return;
	}
}

/* Byte, word and unaligned accesses over a page and a 2 MiB boundary. */
static void unaligned(void)
{
	uint8_t *p = (uint8_t *)align_down(guest_ram_end() - 0x10000, 0x1000) - 4096;
	uint64_t value = 0x1122334455667788;

	memcpy(p - 3, &value, 8);
	check(*(volatile uint64_t *)(p - 3) == value, "unaligned quadword");
	check(p[-3] == 0x88 && p[4] == 0x11, "bytes of it");
}

static void holes(void)
{
	static const uint64_t hole[] = {0xa0000, 0xb0000, 0xb7ff8, 0xc0000000, 0xe0000000,
		0xfeb00000, 0xfec10000, 0xfed40000, 0xfef00000};

	for (unsigned i = 0; i < ARRAY_SIZE(hole); i++) {
		volatile uint64_t *p = (volatile uint64_t *)hole[i];

		*p = 0;
		check(*p == UINT64_MAX, "0x%lx reads 0x%lx", hole[i], *p);
		check(*(volatile uint8_t *)p == 0xff, "0x%lx at 8 bits", hole[i]);
	}
}

void payload_run(void)
{
	guest_free_ram(count_dirty);
	print("memory: %lu KiB free, %lu quadwords not zero", total >> 10, dirty);
	check(total >= MIB(1), "only %lu bytes are free", total);
	if (on_bulkhead()) {
		check(dirty == 0, "memory that is not zero");
		holes();
	}
	guest_free_ram(fill);
	guest_free_ram(compare);
	if (strcmp(guest_cmdline(), "quick"))
		unaligned();
}
