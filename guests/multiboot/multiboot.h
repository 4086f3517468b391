/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Multiboot payload share: 32-bit code without a library. */
#ifndef GUESTS_MULTIBOOT_MULTIBOOT_H
#define GUESTS_MULTIBOOT_MULTIBOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PTE_PW  3u
#define PTE_PS  0x80u
#define CR0_TS  0x8u
#define CR0_WP  0x10000u
#define CR0_PG  0x80000000u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_PGE 0x80u

/* Selectors of the GDT in main.c. */
#define SEL_CODE      0x08
#define SEL_DATA      0x10
#define SEL_USER_CODE 0x33
#define SEL_TSS       0x40 /* the one in use */
#define SEL_TSS_ZERO  0x48 /* leads nowhere */
/* Filled in by task.c. */
#define SEL_TSS_B     0x50
#define SEL_TSS_C     0x58
#define SEL_TSS_16    0x60
#define SEL_GATE_B    0x68
#define SEL_CODE_16   0x70
#define SEL_ABSENT    0x78
#define GDT_SELECTORS 0x80

struct __attribute__((packed)) mb_table {
	uint16_t limit;
	uint32_t base;
};

extern uint64_t mb_gdt[GDT_SELECTORS / 8], mb_idt[49];
extern uint64_t mb_pages[6][512]; /* page tables of whatever kind */
extern uint32_t mb_tss[2][26];

bool mb_asked_for(const char *cmdline, const char *word);
void mb_check(bool holds, const char *text);
void mb_set_descriptor(unsigned selector, const void *address, uint32_t limit, uint32_t type);
void mb_map_all(void *directory); /* 4 MiB pages, 1:1 */

static inline uint32_t read_cr0(void)
{
	uint32_t v;

	__asm__ volatile("movl %%cr0, %0" : "=r"(v));
	return v;
}

static inline void write_cr0(uint32_t v)
{
	__asm__ volatile("movl %0, %%cr0; jmp 1f; 1:" : : "r"(v) : "memory");
}

static inline uint32_t read_cr3(void)
{
	uint32_t v;

	__asm__ volatile("movl %%cr3, %0" : "=r"(v));
	return v;
}

static inline void write_cr3(uint32_t v)
{
	__asm__ volatile("movl %0, %%cr3" : : "r"(v) : "memory");
}

static inline void write_cr4(uint32_t v)
{
	__asm__ volatile("movl %0, %%cr4" : : "r"(v) : "memory");
}

/* task.c */
void test_tasks(const char *cmdline);

#endif
