/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel without a 64-bit entry finds (Linux, boot.rst, "32-bit Boot Protocol"): registers,
 * segments, and in boot_params command line, memory map and the header that it came with.
 */
#include <stdbool.h>
#include "guests/multiboot/console.h"

#define VERSION_OLD   0x0203
#define LAPIC_VERSION 0xfee00030u
#define E820_USABLE   1
#define CODE_BASE     0x100000u

/* start.S pushes it. */
struct entry_state {
	uint32_t cr0, ss, es, ds, cs;
	uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
	uint32_t eflags;
};

struct __attribute__((packed)) e820 {
	uint64_t base, size;
	uint32_t type;
};

void linux32_main(const struct entry_state *s);
static unsigned failures;

static void check(bool holds, const char *text)
{
	if (holds)
		return;
	failures++;
	put("FAIL ");
	put(text);
	put("\n");
}

static uint32_t field(const struct entry_state *s, unsigned offset, unsigned size)
{
	const uint8_t *p = (const uint8_t *)s->esi + offset;
	uint32_t v = 0;

	while (size--)
		v = v << 8 | p[size];
	return v;
}

static void check_registers(const struct entry_state *s)
{
	check(s->cs == 0x10, "CS");
	check(s->ds == 0x18 && s->es == 0x18 && s->ss == 0x18, "DS, ES, SS");
	check(!(s->ebp | s->edi | s->ebx), "EBP, EDI, EBX");
	check((s->cr0 & 0x80000001) == 1, "CR0: PE without PG");
	check(!(s->eflags & 0x20200), "EFLAGS: IF, VM");
	check((*(volatile uint32_t *)LAPIC_VERSION & 0xf0) == 0x10, "segments of 4 GiB");
}

static void check_params(const struct entry_state *s)
{
	const struct e820 *map = (const struct e820 *)(s->esi + 0x2d0);
	uint32_t high = 0;

	check(field(s, 0x202, 4) == 0x53726448, "boot_params: HdrS");
	check(field(s, 0x1fe, 2) == 0xaa55, "boot_params: boot_flag");
	check(field(s, 0x210, 1) == 0xff, "boot_params: type_of_loader");
	check(field(s, 0x211, 1) & 1, "boot_params: LOADED_HIGH");
	check(field(s, 0x214, 4) == CODE_BASE, "boot_params: code32_start");
	check(!field(s, 0x218, 4) && !field(s, 0x21c, 4), "boot_params: an initrd");
	check(!field(s, 0x2cc, 4), "boot_params: what lies behind the header");
	for (unsigned i = 0; i < field(s, 0x1e8, 1); i++) {
		if (map[i].type == E820_USABLE && map[i].base == 0x100000)
			high = (uint32_t)map[i].size;
	}
	check(high >= 0x200000 && high <= 0x300000, "boot_params: memory of a guest of 4 MiB");
}

void linux32_main(const struct entry_state *s)
{
	bool old = field(s, 0x206, 2) == VERSION_OLD;

	put("linux32: ");
	put((const char *)field(s, 0x228, 4));
	put("\n");
	check_registers(s);
	check_params(s);
	put(failures ? "FAIL" : "PASS");
	put(old ? " linux32-old\n" : " linux32\n");
	finish(failures != 0);
}
