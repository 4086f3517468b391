/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every part of the loader that calls firmware needs: the system table, text on the firmware's
 * console, and memory that is remembered: to be given back on failure, to be typed in the
 * hand-over. Valid until ExitBootServices. No locks: the loader is one thread.
 */
#ifndef BOOT_FIRMWARE_H
#define BOOT_FIRMWARE_H

#include <efi.h>
/* gnu-efi defines this away for some targets; packed and aligned would vanish silently. */
#undef __attribute__
#include "boot/bootinfo.h"
#include "boot/memmap.h"
#include "hv/lib/types.h"

extern EFI_SYSTEM_TABLE *firmware_st;
extern EFI_BOOT_SERVICES *firmware_bs;

void firmware_init(EFI_SYSTEM_TABLE *st);

/* Formatted text, at most 255 characters, on the firmware's console; \n is a new line. */
void firmware_print(const char *format, ...) PRINTF(1, 2);

/* A status in words, "error 1f" for those without. */
const char *firmware_status_text(EFI_STATUS status);

#define FIRMWARE_ALLOC_MAX 192u

/*
 * At least one page, `align` (a power of two, a page or more) aligned, not zeroed. `type` is what
 * the hypervisor will see. EFI_OUT_OF_RESOURCES: none.
 */
EFI_STATUS firmware_alloc(
	uint64_t size, uint64_t align, enum boot_mem_type type, uint64_t *base) MUST_CHECK;

/* One page below `limit`, never page 0; 0 if there is none. */
uint64_t firmware_alloc_low(uint64_t limit);

/* Give back the newest allocation, or all of them. */
void firmware_free_last(void);
void firmware_free_all(void);

/* The allocations so far. */
const struct boot_own *firmware_allocs(unsigned *count);

#endif
