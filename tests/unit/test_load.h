/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture of the loader tests and the loader fuzz target: a guest of a given size whose chunks are
 * separate allocations, and builders of small valid images that a test then damages.
 */
#ifndef TESTS_UNIT_TEST_LOAD_H
#define TESTS_UNIT_TEST_LOAD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/vm/load.h"

#define FX_CHUNKS_MAX 512
#define FX_FILE_MAX   0x10000

struct load_fixture {
	struct guest_mem mem;
	void *chunk[FX_CHUNKS_MAX];
	struct load_layout layout;
	struct load_request req;
	struct load_result result;
	uint8_t file[FX_FILE_MAX];
};

static inline void fx_put(struct load_fixture *f, uint64_t at, uint64_t value, unsigned bytes)
{
	memcpy(f->file + at, &value, bytes);
}

static inline struct load_fixture *fx_create(uint64_t ram)
{
	struct load_fixture *f = calloc(1, sizeof(*f));

	f->mem.chunk = f->chunk;
	guest_mem_layout_pc(&f->mem, ram);
	for (uint64_t i = 0; i * GUEST_CHUNK_SIZE < ram; i++) {
		uint64_t rest = ram - i * GUEST_CHUNK_SIZE;

		f->chunk[i] = calloc(1, rest < GUEST_CHUNK_SIZE ? rest : GUEST_CHUNK_SIZE);
	}
	if (load_layout_init(&f->layout, &f->mem))
		abort();
	f->req = (struct load_request){.kernel = f->file,
		.cmdline = "console=ttyS0",
		.name = "web",
		.vcpu_count = 2,
		.layout = &f->layout};
	return f;
}

static inline void fx_destroy(struct load_fixture *f)
{
	for (unsigned i = 0; i < FX_CHUNKS_MAX; i++)
		free(f->chunk[i]);
	free(f);
}

static inline void *fx_at(struct load_fixture *f, gpa_t gpa)
{
	return guest_mem_map(&f->mem, gpa, 1, NULL);
}

static inline uint64_t fx_get(struct load_fixture *f, gpa_t gpa, unsigned bytes)
{
	uint64_t value = 0;

	if (guest_mem_read(&f->mem, gpa, &value, bytes))
		abort();
	return value;
}

/* Bytes that differ from place to place, so that a shifted copy shows. */
static inline void fx_pattern(struct load_fixture *f, uint64_t at, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		f->file[at + i] = (uint8_t)(1 + (i * 31 + (i >> 8)) % 255);
}

/* bzImage 2.15: 2 setup sectors, 8 KiB of code, wants 16 MiB at 16 MiB. */
#define FX_LINUX_CODE     0x600u
#define FX_LINUX_SIZE     0x2000u
#define FX_LINUX_BASE     MIB(16)
#define FX_LINUX_INIT     MIB(16)
#define FX_LINUX_CMD_SIZE 2047u

static inline void fx_linux(struct load_fixture *f)
{
	fx_put(f, 0x1f1, 2, 1);
	fx_put(f, 0x1f4, FX_LINUX_SIZE / 16, 4);
	fx_put(f, 0x1fe, 0xaa55, 2);
	fx_put(f, 0x200, 0x6aeb, 2); /* the header ends at 26Ch */
	memcpy(f->file + 0x202, "HdrS", 4);
	fx_put(f, 0x206, 0x020f, 2);
	fx_put(f, 0x211, 1, 1);
	fx_put(f, 0x22c, 0x7fffffff, 4);
	fx_put(f, 0x230, MIB(2), 4);
	fx_put(f, 0x234, 1, 1);
	fx_put(f, 0x236, 1, 2);
	fx_put(f, 0x238, FX_LINUX_CMD_SIZE, 4);
	fx_put(f, 0x258, FX_LINUX_BASE, 8);
	fx_put(f, 0x260, FX_LINUX_INIT, 4);
	fx_put(f, 0x268, 0x12345678, 4);
	fx_pattern(f, FX_LINUX_CODE, FX_LINUX_SIZE);
	f->req.kernel_size = FX_LINUX_CODE + FX_LINUX_SIZE;
}

/* The same without a 64-bit entry. */
static inline void fx_linux32(struct load_fixture *f)
{
	fx_linux(f);
	fx_put(f, 0x236, 4, 2);
}

/*
 * ELF64: code 1000h bytes at 2 MiB, data 80h bytes in the file and 3000h in memory at 4 MiB -
 * 1000h.
 */
#define FX_ELF_PHDR(i)   (64 + 56 * (i))
#define FX_ELF_CODE      0x1000u
#define FX_ELF_DATA      0x2000u
#define FX_ELF_CODE_BASE MIB(2)
#define FX_ELF_DATA_BASE (MIB(4) - 0x1000)
#define FX_ELF_ENTRY     (FX_ELF_CODE_BASE + 0x40)
#define FX_VIRT          0xffffffff80000000ull

static inline void fx_elf_phdr(struct load_fixture *f, unsigned i, uint64_t offset, uint64_t paddr,
	uint64_t filesz, uint64_t memsz)
{
	fx_put(f, FX_ELF_PHDR(i), 1, 4);
	fx_put(f, FX_ELF_PHDR(i) + 8, offset, 8);
	fx_put(f, FX_ELF_PHDR(i) + 16, paddr + FX_VIRT, 8);
	fx_put(f, FX_ELF_PHDR(i) + 24, paddr, 8);
	fx_put(f, FX_ELF_PHDR(i) + 32, filesz, 8);
	fx_put(f, FX_ELF_PHDR(i) + 40, memsz, 8);
}

static inline void fx_elf(struct load_fixture *f)
{
	memcpy(f->file, "\177ELF\2\1\1", 7);
	fx_put(f, 16, 2, 2);
	fx_put(f, 18, 62, 2);
	fx_put(f, 24, FX_ELF_ENTRY, 8);
	fx_put(f, 32, 64, 8);
	fx_put(f, 54, 56, 2);
	fx_put(f, 56, 3, 2);
	fx_elf_phdr(f, 0, FX_ELF_CODE, FX_ELF_CODE_BASE, 0x1000, 0x1000);
	fx_elf_phdr(f, 1, FX_ELF_DATA, FX_ELF_DATA_BASE, 0x80, 0x3000);
	fx_put(f, FX_ELF_PHDR(2), 0x6474e551, 4); /* PT_GNU_STACK */
	fx_pattern(f, FX_ELF_CODE, 0x1080);
	f->req.kernel_size = FX_ELF_DATA + 0x80;
}

/* Multiboot with address fields: header at 400h, 1000h bytes from 100h on at 1 MiB, 800h of bss. */
#define FX_MB_HEADER 0x400u
#define FX_MB_START  0x100u
#define FX_MB_BASE   MIB(1)
#define FX_MB_SIZE   0x1000u
#define FX_MB_BSS    0x800u
#define FX_MB_ENTRY  (FX_MB_BASE + 0x20)

static inline void fx_mb_flags(struct load_fixture *f, uint64_t at, uint32_t flags)
{
	fx_put(f, at, 0x1badb002, 4);
	fx_put(f, at + 4, flags, 4);
	fx_put(f, at + 8, 0u - 0x1badb002 - flags, 4);
}

static inline void fx_mb(struct load_fixture *f)
{
	fx_pattern(f, FX_MB_START, FX_MB_SIZE);
	fx_mb_flags(f, FX_MB_HEADER, 0x10003);
	fx_put(f, FX_MB_HEADER + 12, FX_MB_BASE + FX_MB_HEADER - FX_MB_START, 4);
	fx_put(f, FX_MB_HEADER + 16, FX_MB_BASE, 4);
	fx_put(f, FX_MB_HEADER + 20, FX_MB_BASE + FX_MB_SIZE, 4);
	fx_put(f, FX_MB_HEADER + 24, FX_MB_BASE + FX_MB_SIZE + FX_MB_BSS, 4);
	fx_put(f, FX_MB_HEADER + 28, FX_MB_ENTRY, 4);
	f->req.kernel_size = FX_MB_START + FX_MB_SIZE;
}

/* Multiboot around ELF32: one segment of 1000h bytes at 1 MiB, linked at C0000000h. */
#define FX_ELF32_VIRT 0xc0000000u

static inline void fx_mb_elf32(struct load_fixture *f)
{
	memcpy(f->file, "\177ELF\1\1\1", 7);
	fx_put(f, 16, 2, 2);
	fx_put(f, 18, 3, 2);
	fx_put(f, 24, FX_ELF32_VIRT + FX_MB_ENTRY, 4);
	fx_put(f, 28, 52, 4);
	fx_put(f, 42, 32, 2);
	fx_put(f, 44, 1, 2);
	fx_put(f, 52, 1, 4);
	fx_put(f, 56, FX_ELF_CODE, 4);
	fx_put(f, 60, FX_ELF32_VIRT + FX_MB_BASE, 4);
	fx_put(f, 64, FX_MB_BASE, 4);
	fx_put(f, 68, FX_MB_SIZE, 4);
	fx_put(f, 72, FX_MB_SIZE + FX_MB_BSS, 4);
	fx_pattern(f, FX_ELF_CODE, FX_MB_SIZE);
	fx_mb_flags(f, FX_ELF_CODE + 8, 3);
	f->req.kernel_size = FX_ELF_CODE + FX_MB_SIZE;
}

/* One way to damage an image, and what must come of it. */
struct fx_damage {
	uint64_t at;
	uint64_t value;
	unsigned bytes;
	int status;
	const char *words; /* found in the error text */
};

/* Damage a fresh image in each way of the list. Returns how many did not end as they should. */
static inline unsigned fx_damage_check(struct load_fixture *f, void (*build)(struct load_fixture *),
	const struct fx_damage *d, unsigned count)
{
	unsigned wrong = 0;

	for (; count; count--, d++) {
		int status;

		memset(f->file, 0, FX_FILE_MAX);
		build(f);
		fx_put(f, d->at, d->value, d->bytes);
		status = load_guest(&f->req, &f->mem, &f->result);
		if (status == d->status && strstr(f->result.error, d->words))
			continue;
		fprintf(stderr, "0x%llx at 0x%llx: status %d \"%s\", not %d \"%s\"\n",
			(unsigned long long)d->value, (unsigned long long)d->at, status,
			f->result.error, d->status, d->words);
		wrong++;
	}
	return wrong;
}

#endif
