/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware's memory map turned into the hand-over's: sorted, disjoint, merged, page multiples.
 * Pure: knows UEFI's descriptor layout but calls no firmware. No locks: the loader is one thread.
 */
#ifndef BOOT_MEMMAP_H
#define BOOT_MEMMAP_H

#include "boot/bootinfo.h"
#include "hv/lib/types.h"

/* UEFI specification, EFI_BOOT_SERVICES.GetMemoryMap(): types and attributes used here. */
enum boot_uefi_type {
	UEFI_RESERVED = 0,
	UEFI_LOADER_CODE = 1,
	UEFI_LOADER_DATA = 2,
	UEFI_BOOT_CODE = 3,
	UEFI_BOOT_DATA = 4,
	UEFI_RUNTIME_CODE = 5,
	UEFI_RUNTIME_DATA = 6,
	UEFI_CONVENTIONAL = 7,
	UEFI_UNUSABLE = 8,
	UEFI_ACPI_RECLAIM = 9,
	UEFI_ACPI_NVS = 10,
	UEFI_MMIO = 11,
	UEFI_MMIO_PORT = 12,
	UEFI_PAL_CODE = 13,
	UEFI_PERSISTENT = 14,
};

#define UEFI_ATTR_WB      0x0000000000000008ull
#define UEFI_ATTR_SP      0x0000000000040000ull /* specific purpose: not for general use */
#define UEFI_ATTR_RUNTIME 0x8000000000000000ull

struct boot_uefi_desc {
	uint32_t type;
	uint32_t pad;
	uint64_t phys;
	uint64_t virt;
	uint64_t pages;
	uint64_t attr;
};
_Static_assert(sizeof(struct boot_uefi_desc) == 40, "EFI_MEMORY_DESCRIPTOR");
_Static_assert(offsetof(struct boot_uefi_desc, pages) == 24, "EFI_MEMORY_DESCRIPTOR");

/* A range that the loader allocated and wants to see under a type of its own. */
struct boot_own {
	uint64_t base; /* page aligned */
	uint64_t size; /* bytes, rounded up to pages here */
	uint32_t type; /* enum boot_mem_type */
};

/* A sorted, disjoint list in the caller's storage. */
struct boot_memmap {
	struct bootinfo_mem *range;
	unsigned count, max;
};

/* How many ranges a map of `descs` descriptors and `own` own ranges can need at most. */
static inline size_t boot_memmap_bound(size_t descs, size_t own)
{
	return 2 * (descs + own) + 2;
}

/*
 * Make [base, end) carry `type`, whatever was there, and merge it with equal neighbours.
 * Both must be page aligned and base < end. E_NOMEM (list unchanged) when the storage is full.
 */
int boot_memmap_paint(
	struct boot_memmap *map, uint64_t base, uint64_t end, uint32_t type) MUST_CHECK;

/*
 * Fill `map` (range and max given by the caller) from the firmware's descriptors, which lie
 * `stride` bytes apart in `size` bytes. Where the firmware lists a range twice the stricter type
 * wins; the loader's own ranges win over everything.
 */
int boot_memmap_build(struct boot_memmap *map, const void *descs, size_t size, size_t stride,
	const struct boot_own *own, unsigned own_count) MUST_CHECK;

/* Take the highest free page below `limit`, never page 0, as LOADER. Returns its address or 0. */
uint64_t boot_memmap_take_page(struct boot_memmap *map, uint64_t limit);

#endif
