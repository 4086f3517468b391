/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a boot, in the order in which main.c calls them, and what they hand to each other.
 * A step that fails has said so in words on the firmware's console. No locks: one thread.
 */
#ifndef BOOT_LOADER_H
#define BOOT_LOADER_H

#include "boot/firmware.h"
#include "boot/paging.h"

struct loader {
	EFI_HANDLE image;
	struct bootinfo *info; /* in LOADER memory, zeroed */
	uint64_t entry;        /* virtual address in the hypervisor */
	uint64_t stack_top;
	struct boot_paging paging;

	/* The firmware's memory map, and room for the hand-over's. */
	void *map;
	UINTN map_size, map_used, map_key, desc_size;
	struct bootinfo_mem *mem;
	unsigned mem_max;
};

/* image.c: place the embedded hypervisor in memory. */
EFI_STATUS image_load(struct loader *l) MUST_CHECK;

/* files.c: the config and the files it names. A file that cannot be read is no failure. */
EFI_STATUS files_load(struct loader *l) MUST_CHECK;

/* list.c: the files that the config names, into `files` (room for LIST_FILES_MAX); their number. */
#define LIST_FILES_MAX 128u
unsigned boot_list_files(const char *config, size_t size, struct bootinfo_file *files);

/* machine.c: CPUs, ACPI, framebuffer, clock. What the firmware does not know stays 0. */
EFI_STATUS machine_describe(struct loader *l) MUST_CHECK;

/* leave.c: memory map and page tables; leave_prepare() is the last step that may allocate. */
EFI_STATUS leave_prepare(struct loader *l) MUST_CHECK;
/* Ends boot services and enters the hypervisor; returns only if the firmware refuses. */
EFI_STATUS leave_firmware(struct loader *l) MUST_CHECK;

/* jump.c: interrupts off and timers stopped; then the hypervisor, on its tables and the stack. */
void jump_silence_interrupts(void);
void jump_enter(
	uint64_t cr3, uint64_t stack_top, uint64_t entry, const struct bootinfo *info) NORETURN;

#endif
