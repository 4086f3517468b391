/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that starts as Multiboot 1 says, in 32-bit protected mode without paging, and passes
 * through every mode of the CPU: 32-bit paging, PAE, 64-bit, real. In each, memory and a device
 * register must answer. Then it switches tasks (task.c). Command line "task-switch" and "ac-loop":
 * one act of misbehaviour instead (see payloads/act.c).
 *
 * Without an IDT until then: whatever goes wrong badly is a triple fault.
 */
#include "guests/multiboot/multiboot.h"
#include "guests/multiboot/console.h"

#define ENTRY_MAGIC   0x2badb002u
#define INFO_MEMORY   0x01u
#define INFO_CMDLINE  0x04u
#define INFO_MMAP     0x40u
#define INFO_SCREEN   0x1000u
#define LAPIC_VERSION 0xfee00030u

#define ALIAS 0x40000000u /* where the tests map a page a second time */

struct mb_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
	uint32_t other[9];
	uint32_t screen, screen_high, screen_pitch, screen_columns, screen_rows;
	uint8_t screen_bits, screen_type;
};

struct __attribute__((packed)) mb_mmap {
	uint32_t size;
	uint64_t base, length;
	uint32_t type;
};

void mb_main(uint32_t magic, const struct mb_info *info);
void mb_load_segments(void);
uint32_t mb_long_mode(uint32_t pml4);
uint32_t mb_real_mode(void);
void mb_ac_loop(void);
void mb_task_switch(void);
extern const char mb_ac_handler[];

uint64_t mb_gdt[GDT_SELECTORS / 8] = {
	0, 0x00cf9b000000ffffull, /* 08: code, 32-bit */
	0x00cf93000000ffffull,    /* 10: data */
	0x00af9b000000ffffull,    /* 18: code, 64-bit */
	0x00009b000000ffffull,    /* 20: code, 16-bit */
	0x000093000000ffffull,    /* 28: data, 64 KiB */
	0x00cffb000000ffffull,    /* 33: user code */
	0x00cff3000000ffffull,    /* 3b: user data */
	0,                        /* 40: TSS in use */
	0,                        /* 48: TSS to switch to */
};
uint32_t mb_tss[2][26];
uint64_t mb_idt[49];
uint64_t mb_pages[6][512] __attribute__((aligned(4096)));
static volatile uint32_t page[1024] __attribute__((aligned(4096)));
static unsigned failures;

void mb_check(bool holds, const char *text)
{
	if (holds)
		return;
	failures++;
	put("FAIL ");
	put(text);
	put("\n");
}

static uint32_t lapic_version(void)
{
	return *(volatile uint32_t *)LAPIC_VERSION;
}

void mb_set_descriptor(unsigned selector, const void *address, uint32_t limit, uint32_t type)
{
	uint32_t base = (uint32_t)address;

	mb_gdt[selector / 8] = (uint64_t)(base >> 24) << 56 | (uint64_t)type << 40 |
			       (uint64_t)(base & 0xffffff) << 16 | limit;
}

static void load_tables(void)
{
	const struct mb_table g = {sizeof(mb_gdt) - 1, (uint32_t)mb_gdt};

	mb_set_descriptor(SEL_TSS, mb_tss[0], sizeof(mb_tss[0]) - 1, 0x89);
	mb_set_descriptor(SEL_TSS_ZERO, mb_tss[1], sizeof(mb_tss[1]) - 1, 0x89);
	__asm__ volatile("lgdt %0" : : "m"(g) : "memory");
	mb_load_segments();
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

static void test_info(uint32_t magic, const struct mb_info *info)
{
	uint32_t at = info->mmap_addr, ram = 0;

	mb_check(magic == ENTRY_MAGIC, "EAX at entry");
	mb_check((info->flags & (INFO_MEMORY | INFO_CMDLINE | INFO_MMAP)) ==
			 (INFO_MEMORY | INFO_CMDLINE | INFO_MMAP),
		"Multiboot information is missing");
	mb_check(info->mem_lower >= 512 && info->mem_upper >= 2048, "mem_lower and mem_upper");
	for (; at < info->mmap_addr + info->mmap_length;) {
		const struct mb_mmap *m = (const struct mb_mmap *)at;

		if (m->type == 1 && m->base == 0x100000)
			ram = (uint32_t)(m->length >> 10);
		at += m->size + 4;
	}
	mb_check(ram >= info->mem_upper && ram - info->mem_upper < 1024,
		"memory map and mem_upper differ");
}

/* Text that stays where it is put, at the place that the information tells. */
static void test_screen(const struct mb_info *info)
{
	volatile uint16_t *last;

	mb_check(info->flags & INFO_SCREEN, "the screen is missing");
	mb_check(info->screen == 0xb8000 && !info->screen_high, "screen: address");
	mb_check(info->screen_columns == 80 && info->screen_rows == 25, "screen: size");
	mb_check(info->screen_pitch == 160 && info->screen_bits == 16, "screen: pitch and bits");
	mb_check(info->screen_type == 2, "screen: text");
	last = (volatile uint16_t *)(info->screen + 24 * info->screen_pitch) + 79;
	*last = 0x0741;
	mb_check(*last == 0x0741, "screen: text memory");
}

void mb_map_all(void *directory)
{
	for (uint32_t i = 0; i < 1024; i++)
		((volatile uint32_t *)directory)[i] = i << 22 | PTE_PS | PTE_PW;
}

/* 4 MiB pages and one table of 4 KiB pages. */
static void test_paging32(void)
{
	volatile uint32_t *directory = (uint32_t *)mb_pages[0], *table = (uint32_t *)mb_pages[1];

	mb_map_all(mb_pages[0]);
	directory[ALIAS >> 22] = (uint32_t)table | PTE_PW;
	table[0] = (uint32_t)page | PTE_PW;
	write_cr4(CR4_PSE);
	write_cr3((uint32_t)directory);
	page[0] = 0x1234;
	write_cr0(read_cr0() | CR0_PG);
	mb_check(*(volatile uint32_t *)ALIAS == 0x1234, "32-bit paging: a page seen twice");
	*(volatile uint32_t *)(ALIAS + 4) = 0x5678;
	mb_check(page[1] == 0x5678, "32-bit paging: a write");
	mb_check((table[0] & 0x60) == 0x60, "32-bit paging: accessed and dirty bits");
	mb_check((lapic_version() & 0xf0) == 0x10, "32-bit paging: LAPIC");
	table[1] = (LAPIC_VERSION & ~0xfffu) | PTE_PW;
	mb_check((*(volatile uint32_t *)(ALIAS + 0x1030) & 0xf0) == 0x10,
		"32-bit paging: LAPIC by 4 KiB");
	write_cr0(read_cr0() & ~CR0_PG);
	write_cr4(0);
}

/* 4 page directories of 2 MiB pages. */
static void test_pae(void)
{
	uint64_t *pointers = mb_pages[0];

	for (uint32_t i = 0; i < 512 * 4; i++)
		mb_pages[1 + i / 512][i % 512] = (uint64_t)i << 21 | PTE_PS | PTE_PW;
	for (uint32_t i = 0; i < 4; i++)
		pointers[i] = (uint32_t)mb_pages[1 + i] | 1;
	for (uint32_t i = 4; i < 512; i++)
		pointers[i] = 0;
	write_cr4(CR4_PAE);
	write_cr3((uint32_t)pointers);
	write_cr0(read_cr0() | CR0_PG);
	mb_check(page[0] == 0x1234, "PAE: memory");
	mb_check((lapic_version() & 0xf0) == 0x10, "PAE: LAPIC");
	/* The directory at 1 GiB now is the one at 0: in effect with the next load of CR3. */
	pointers[1] = (uint32_t)mb_pages[1] | 1;
	write_cr3((uint32_t)pointers);
	mb_check(*(volatile uint32_t *)(ALIAS + (uint32_t)page) == 0x1234, "PAE: a new PDPTE");
	/* Entries that were used are loaded again, whatever the CPU has noted in them. */
	write_cr4(CR4_PAE | CR4_PGE);
	write_cr0(read_cr0() ^ CR0_WP);
	write_cr0(read_cr0() ^ CR0_WP);
	mb_check(page[0] == 0x1234, "PAE: PDPTEs loaded by CR4 and CR0");
	write_cr0(read_cr0() & ~CR0_PG);
}

/* The PAE directories serve under a PML4 and a PDPT too. */
static void test_long(void)
{
	for (uint32_t i = 0; i < 4; i++)
		mb_pages[0][i] = (uint32_t)mb_pages[1 + i] | PTE_PW;
	mb_pages[5][0] = (uint32_t)mb_pages[0] | PTE_PW;
	write_cr4(CR4_PAE);
	mb_check((mb_long_mode((uint32_t)mb_pages[5]) & 0xf0) == 0x10, "64-bit mode: LAPIC");
	mb_check(!(read_cr0() & CR0_PG), "64-bit mode: paging is off afterwards");
	write_cr4(0);
}

static void test_real(void)
{
	/* 10000h from the interrupt handler, 5A5Ah from the port, 20000h by the BIOS's tick. */
	mb_check(mb_real_mode() == 0x35a5a, "real mode");
}

bool mb_asked_for(const char *cmdline, const char *word)
{
	for (; *cmdline; cmdline++) {
		unsigned i = 0;

		while (word[i] && cmdline[i] == word[i])
			i++;
		if (!word[i])
			return true;
	}
	return false;
}

static void act(const char *cmdline)
{
	const struct mb_table t = {sizeof(mb_idt) - 1, (uint32_t)mb_idt};
	uint32_t handler = (uint32_t)mb_ac_handler;

	if (mb_asked_for(cmdline, "task-switch"))
		mb_task_switch();
	if (!mb_asked_for(cmdline, "ac-loop"))
		return;
	mb_idt[17] = (uint64_t)(handler >> 16) << 48 | 0xee00ull << 32 |
		     (uint64_t)SEL_USER_CODE << 16 | (handler & 0xffff);
	__asm__ volatile("lidt %0" : : "m"(t) : "memory");
	mb_ac_loop();
}

void mb_main(uint32_t magic, const struct mb_info *info)
{
	const char *cmdline = (const char *)info->cmdline;

	put("multiboot: ");
	put(cmdline);
	put("\n");
	load_tables();
	act(cmdline);
	mb_check((lapic_version() & 0xf0) == 0x10, "no paging: LAPIC");
	test_info(magic, info);
	test_screen(info);
	test_paging32();
	test_pae();
	test_long();
	test_real();
	test_tasks(cmdline);
	put(failures ? "FAIL multiboot\n" : "PASS multiboot\n");
	finish(failures != 0);
}
