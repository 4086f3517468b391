/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places the hypervisor that this program carries. Must not know what is in it: an ELF file that
 * wants to live at HV_VIRT_BASE. No locks.
 */
#include "boot/loader.h"
#include "boot/elf.h"

/* hypervisor_blob.S */
extern const char hypervisor_blob[], hypervisor_blob_end[];

#define HV_SIZE_MAX MIB(256)

EFI_STATUS image_load(struct loader *l)
{
	size_t blob_size = (size_t)(hypervisor_blob_end - hypervisor_blob);
	struct boot_elf elf;
	EFI_STATUS status;
	uint64_t base;

	if (boot_elf_check(hypervisor_blob, blob_size, HV_VIRT_BASE, HV_SIZE_MAX, &elf)) {
		firmware_print("bulkhead: the hypervisor inside this file is damaged\n");
		return EFI_LOAD_ERROR;
	}
	status = firmware_alloc(elf.size, MIB(2), BOOT_MEM_HYPERVISOR, &base);
	if (EFI_ERROR(status)) {
		firmware_print("bulkhead: no %u KiB of memory for the hypervisor\n",
			(unsigned)(elf.size >> 10));
		return status;
	}
	if (boot_elf_load(hypervisor_blob, blob_size, HV_VIRT_BASE, (void *)base, elf.size))
		return EFI_LOAD_ERROR;
	l->entry = elf.entry;
	l->info->hv_phys = base;
	l->info->hv_size = elf.size;
	return EFI_SUCCESS;
}
