/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out of the firmware: everything that needs memory is prepared first, because between the
 * last GetMemoryMap and ExitBootServices nothing may be allocated. No locks.
 */
#include "boot/insn.h"
#include "boot/loader.h"
#include "hv/lib/string.h"

#define STACK_SIZE       KIB(64)
#define TRAMPOLINE_LIMIT 0x9f000u /* above it lies the extended BIOS data area on some machines */
#define SPARE_DESCS      64u      /* our own allocations and the firmware's events split ranges */
#define EXIT_TRIES       8u

#define CR4_LA57               BIT(12)
#define CPUID_EXT_MAX          0x80000000u
#define CPUID_EXT1             0x80000001u
#define CPUID_EXT1_EDX_PAGE1GB BIT(26)

static EFI_STATUS read_map(struct loader *l)
{
	UINT32 version;

	l->map_used = l->map_size;
	return firmware_bs->GetMemoryMap(
		&l->map_used, l->map, &l->map_key, &l->desc_size, &version);
}

static EFI_STATUS alloc_maps(struct loader *l)
{
	UINTN needed = 0, key, desc_size = 0;
	UINT32 version;
	unsigned own;
	uint64_t base;
	EFI_STATUS status = firmware_bs->GetMemoryMap(&needed, NULL, &key, &desc_size, &version);

	if (status != EFI_BUFFER_TOO_SMALL || !desc_size)
		return EFI_UNSUPPORTED;
	firmware_allocs(&own);
	l->map_size = needed + SPARE_DESCS * desc_size;
	l->mem_max = (unsigned)boot_memmap_bound(l->map_size / desc_size, own + SPARE_DESCS);
	status = firmware_alloc(l->map_size, PAGE_SIZE, BOOT_MEM_LOADER, &base);
	if (EFI_ERROR(status))
		return status;
	l->map = (void *)base;
	status = firmware_alloc(l->mem_max * sizeof(l->mem[0]), PAGE_SIZE, BOOT_MEM_LOADER, &base);
	l->mem = (struct bootinfo_mem *)base;
	return status;
}

/* From the firmware's map as read last to the hand-over's. */
static int convert_map(struct loader *l, struct boot_memmap *map)
{
	unsigned own_count;
	const struct boot_own *own = firmware_allocs(&own_count);

	*map = (struct boot_memmap){l->mem, 0, l->mem_max};
	return boot_memmap_build(map, l->map, l->map_used, l->desc_size, own, own_count);
}

/* What is RAM does not change any more, only what it is used for: the tables can be built now. */
static EFI_STATUS build_tables(struct loader *l)
{
	struct boot_paging *p = &l->paging;
	struct bootinfo *info = l->info;
	struct boot_memmap map;
	uint64_t base;
	EFI_STATUS status;

	if (EFI_ERROR(read_map(l)) || convert_map(l, &map))
		return EFI_OUT_OF_RESOURCES;
	p->levels = 4;
	p->gib_pages = insn_cpuid(CPUID_EXT_MAX).eax >= CPUID_EXT1 &&
		       (insn_cpuid(CPUID_EXT1).edx & CPUID_EXT1_EDX_PAGE1GB);
	p->max = boot_paging_bound(p, map.range, map.count, info->hv_size);
	status = firmware_alloc(p->max * PAGE_SIZE, PAGE_SIZE, BOOT_MEM_LOADER, &base);
	if (EFI_ERROR(status))
		return status;
	p->pool = (uint64_t *)base;
	memset(p->pool, 0, p->max * PAGE_SIZE);
	if (boot_paging_build(p, map.range, map.count, info->hv_phys, info->hv_size))
		return EFI_OUT_OF_RESOURCES;
	return EFI_SUCCESS;
}

static EFI_STATUS prepare(struct loader *l)
{
	uint64_t base;
	EFI_STATUS status;

	/*
	 * The hypervisor's tables have four levels; only from outside of long mode could it change
	 * that.
	 */
	if (insn_read_cr4() & CR4_LA57) {
		firmware_print(
			"bulkhead: this firmware uses 5-level paging, which is not supported: "
			"switch it off in setup\n");
		return EFI_UNSUPPORTED;
	}
	status = firmware_alloc(STACK_SIZE, PAGE_SIZE, BOOT_MEM_LOADER, &base);
	if (EFI_ERROR(status))
		return status;
	l->stack_top = base + STACK_SIZE;
	l->info->trampoline = (uint32_t)firmware_alloc_low(TRAMPOLINE_LIMIT);
	status = alloc_maps(l);
	return EFI_ERROR(status) ? status : build_tables(l);
}

EFI_STATUS leave_prepare(struct loader *l)
{
	EFI_STATUS status = prepare(l);

	if (EFI_ERROR(status))
		firmware_print("bulkhead: cannot prepare the hand-over: %s\n",
			firmware_status_text(status));
	return status;
}

/*
 * UEFI specification, EFI_BOOT_SERVICES.ExitBootServices(): a stale key is answered with
 * EFI_INVALID_PARAMETER, and from then on only the memory map may be asked for.
 */
static EFI_STATUS exit_boot_services(struct loader *l)
{
	EFI_STATUS status = EFI_INVALID_PARAMETER;

	for (unsigned i = 0; i < EXIT_TRIES && status == EFI_INVALID_PARAMETER; i++) {
		status = read_map(l);
		if (!EFI_ERROR(status))
			status = firmware_bs->ExitBootServices(l->image, l->map_key);
	}
	return status;
}

/* The firmware is gone: this cannot fail, the storage was sized for the largest map. */
static void finish_info(struct loader *l)
{
	struct bootinfo *info = l->info;
	struct boot_memmap map;

	if (convert_map(l, &map))
		map.count = 0; /* the hypervisor refuses a machine without memory, in words */
	/* Low memory that boot services held is free now. */
	if (!info->trampoline)
		info->trampoline = (uint32_t)boot_memmap_take_page(&map, TRAMPOLINE_LIMIT);
	info->mem = (uint64_t)l->mem;
	info->mem_count = map.count;
	info->checksum = 0;
	info->checksum = 0u - bootinfo_sum(info);
}

EFI_STATUS leave_firmware(struct loader *l)
{
	EFI_STATUS status;

	firmware_print("starting the hypervisor\n");
	status = exit_boot_services(l);
	if (EFI_ERROR(status)) {
		firmware_print("bulkhead: the firmware does not let go: %s\n",
			firmware_status_text(status));
		return status;
	}
	jump_silence_interrupts();
	finish_info(l);
	jump_enter((uint64_t)l->paging.pool, l->stack_top, l->entry, l->info);
}
