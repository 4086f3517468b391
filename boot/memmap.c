/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware's memory map turned into the hand-over's. One primitive, paint, sorts, carves and
 * merges at once. Pure; must not call firmware or allocate.
 */
#include "boot/memmap.h"
#include "hv/lib/string.h"

#define ADDRESS_END BIT(52) /* no x86-64 CPU has more physical address bits */

static uint64_t range_end(const struct bootinfo_mem *r)
{
	return r->base + r->size;
}

/* Replace ranges [first, last) by `count` others. */
static int splice(struct boot_memmap *map, unsigned first, unsigned last,
	const struct bootinfo_mem *with, unsigned count)
{
	unsigned tail = map->count - last;

	if (map->count - (last - first) + count > map->max)
		return E_NOMEM;
	memmove(&map->range[first + count], &map->range[last], tail * sizeof(map->range[0]));
	memcpy(&map->range[first], with, count * sizeof(map->range[0]));
	map->count = first + count + tail;
	return OK;
}

int boot_memmap_paint(struct boot_memmap *map, uint64_t base, uint64_t end, uint32_t type)
{
	const struct bootinfo_mem *left = NULL, *right = NULL;
	struct bootinfo_mem piece[3];
	unsigned first = 0, last, count = 0;

	/* [first, last) are the ranges that overlap or touch [base, end). */
	while (first < map->count && range_end(&map->range[first]) < base)
		first++;
	last = first;
	while (last < map->count && map->range[last].base <= end)
		last++;
	if (first < last && map->range[first].base < base)
		left = &map->range[first];
	if (first < last && range_end(&map->range[last - 1]) > end)
		right = &map->range[last - 1];

	if (left && left->type == type) {
		base = left->base;
		left = NULL;
	}
	if (right && right->type == type) {
		end = range_end(right);
		right = NULL;
	}
	if (left)
		piece[count++] = (struct bootinfo_mem){
			left->base, base - left->base, left->type, 0};
	piece[count++] = (struct bootinfo_mem){base, end - base, type, 0};
	if (right)
		piece[count++] = (struct bootinfo_mem){end, range_end(right) - end, right->type, 0};
	return splice(map, first, last, piece, count);
}

static uint32_t type_of(const struct boot_uefi_desc *d)
{
	static const uint8_t types[] = {
		[UEFI_RESERVED] = BOOT_MEM_FIRMWARE,
		[UEFI_LOADER_CODE] = BOOT_MEM_LOADER,
		[UEFI_LOADER_DATA] = BOOT_MEM_LOADER,
		[UEFI_BOOT_CODE] = BOOT_MEM_FREE,
		[UEFI_BOOT_DATA] = BOOT_MEM_FREE,
		[UEFI_RUNTIME_CODE] = BOOT_MEM_FIRMWARE,
		[UEFI_RUNTIME_DATA] = BOOT_MEM_FIRMWARE,
		[UEFI_CONVENTIONAL] = BOOT_MEM_FREE,
		[UEFI_UNUSABLE] = BOOT_MEM_FIRMWARE,
		[UEFI_ACPI_RECLAIM] = BOOT_MEM_ACPI,
		[UEFI_ACPI_NVS] = BOOT_MEM_FIRMWARE,
		[UEFI_MMIO] = BOOT_MEM_MMIO,
		[UEFI_MMIO_PORT] = BOOT_MEM_MMIO,
		[UEFI_PAL_CODE] = BOOT_MEM_FIRMWARE,
		[UEFI_PERSISTENT] = BOOT_MEM_FIRMWARE,
	};
	uint32_t type = d->type < ARRAY_SIZE(types) ? types[d->type] : BOOT_MEM_FIRMWARE;
	bool plain = (d->attr & UEFI_ATTR_WB) && !(d->attr & (UEFI_ATTR_SP | UEFI_ATTR_RUNTIME));

	if ((type == BOOT_MEM_FREE || type == BOOT_MEM_LOADER) && !plain)
		return BOOT_MEM_FIRMWARE;
	return type;
}

/* Firmware values may be nonsense: what may be given out shrinks to whole pages, the rest grows. */
static int paint_desc(struct boot_memmap *map, const struct boot_uefi_desc *d, uint32_t type)
{
	uint64_t base = d->phys, end;

	if (base >= ADDRESS_END)
		return OK;
	end = base + MIN(d->pages, (ADDRESS_END - base) / PAGE_SIZE) * PAGE_SIZE;
	if (type == BOOT_MEM_FREE || type == BOOT_MEM_LOADER) {
		base = align_up(base, PAGE_SIZE);
		end = align_down(end, PAGE_SIZE);
	} else if (end > base) {
		base = align_down(base, PAGE_SIZE);
		end = align_up(end, PAGE_SIZE);
	}
	return base < end ? boot_memmap_paint(map, base, end, type) : OK;
}

int boot_memmap_build(struct boot_memmap *map, const void *descs, size_t size, size_t stride,
	const struct boot_own *own, unsigned own_count)
{
	struct boot_uefi_desc d;

	map->count = 0;
	if (stride < sizeof(d))
		return E_INVAL;
	/* The values of enum boot_mem_type rise with strictness: later passes win. */
	for (uint32_t type = BOOT_MEM_FREE; type <= BOOT_MEM_MMIO; type++) {
		for (size_t i = 0; i < size / stride; i++) {
			memcpy(&d, (const char *)descs + i * stride, sizeof(d));
			if (type_of(&d) == type && paint_desc(map, &d, type))
				return E_NOMEM;
		}
	}
	for (unsigned i = 0; i < own_count; i++) {
		uint64_t end = own[i].base + align_up(own[i].size, PAGE_SIZE);

		if (own[i].base < end && boot_memmap_paint(map, own[i].base, end, own[i].type))
			return E_NOMEM;
	}
	return OK;
}

uint64_t boot_memmap_take_page(struct boot_memmap *map, uint64_t limit)
{
	uint64_t page = 0;

	for (unsigned i = 0; i < map->count; i++) {
		const struct bootinfo_mem *r = &map->range[i];
		uint64_t end = MIN(range_end(r), limit);

		if (r->type == BOOT_MEM_FREE && end > r->base)
			page = end - PAGE_SIZE;
	}
	if (page && boot_memmap_paint(map, page, page + PAGE_SIZE, BOOT_MEM_LOADER))
		return 0;
	return page;
}
