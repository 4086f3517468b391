/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between load.c and the loaders of the single formats; nobody else includes it. Same rules as
 * load.h: pure, no lock.
 */
#ifndef HV_VM_LOAD_PRIV_H
#define HV_VM_LOAD_PRIV_H

#include "hv/vm/load.h"

/* The loader's own structures in guest RAM, all inside [LOAD_LOW_BASE, LOAD_LOW_END). */
#define LOAD_LOW_BASE     0x10000u
#define LOAD_PML4         0x10000u /* PML4, PDPT, four page directories */
#define LOAD_PDPT         0x11000u
#define LOAD_PD           0x12000u
#define LOAD_GDT          0x16000u
#define LOAD_INFO         0x17000u /* boot_params, Multiboot information or struct payload_info */
#define LOAD_CMDLINE      0x18000u
#define LOAD_STACK_TOP    0x1d000u /* 16 KiB */
#define LOAD_LOW_END      0x20000u
#define LOAD_SEGMENTS_MAX 16

struct load_ctx {
	const struct load_request *req;
	const struct load_layout *layout;
	const struct guest_mem *mem;
	struct load_result *result;
};

/* A piece of the kernel file and where it goes in guest-physical memory. */
struct load_segment {
	uint64_t file_offset, file_size;
	gpa_t base;
	uint64_t size; /* >= file_size; the rest is cleared */
};

struct load_image {
	struct load_segment segment[LOAD_SEGMENTS_MAX];
	unsigned segment_count;
	uint64_t entry; /* physical */
};

/* Store a sentence in result->error; returns status, so that callers can return it. */
int load_fail(struct load_ctx *ctx, int status, const char *format, ...) PRINTF(3, 4);

/* Bounded copy out of the kernel file; E_RANGE without a message. */
int load_file_read(
	const struct load_ctx *ctx, uint64_t offset, void *buf, uint64_t size) MUST_CHECK;

/* Copy file bytes into RAM and count them. E_RANGE with a message naming `what`. */
int load_copy(struct load_ctx *ctx, gpa_t to, const void *from, uint64_t size,
	const char *what) MUST_CHECK;

/* One zeroed page of the low area for a loader to fill; NULL (with a message) if it is not RAM. */
void *load_low_page(struct load_ctx *ctx, gpa_t gpa);

/*
 * Every segment in the file, in usable RAM, off the low area and off each other; entry inside one.
 */
int load_image_check(struct load_ctx *ctx, const struct load_image *image) MUST_CHECK;
int load_image_copy(struct load_ctx *ctx, const struct load_image *image) MUST_CHECK;

/*
 * Put the initrd as high as it goes below limit and off the image's segments, on a 2 MiB boundary
 * if there is room for one. Sets result->initrd_base (0 if there is no initrd).
 */
int load_initrd(struct load_ctx *ctx, const struct load_image *image, gpa_t limit) MUST_CHECK;

/* Put `text` or `name text` at LOAD_CMDLINE. max: characters the kernel takes, without the NUL. */
int load_cmdline(struct load_ctx *ctx, const char *name, uint64_t max) MUST_CHECK;

/* GDT, for 64-bit mode also identity page tables, and the matching entry state with a stack. */
int load_entry_long(struct load_ctx *ctx, uint64_t rip) MUST_CHECK;
int load_entry_flat32(struct load_ctx *ctx, uint64_t rip, uint16_t cs) MUST_CHECK;

/* Read the program headers of an ELF32 (i386) or ELF64 (x86-64) executable into *image. */
int load_elf_parse(struct load_ctx *ctx, struct load_image *image) MUST_CHECK;

bool load_linux_detect(const struct load_ctx *ctx);
bool load_multiboot_detect(const struct load_ctx *ctx);
bool load_elf_detect(const struct load_ctx *ctx);
int load_linux(struct load_ctx *ctx) MUST_CHECK;
int load_multiboot(struct load_ctx *ctx) MUST_CHECK;
int load_elf(struct load_ctx *ctx) MUST_CHECK;

/* What a PC's BIOS leaves in memory for the kernel that it starts. */
int load_bios(const struct load_ctx *ctx) MUST_CHECK;

#endif
