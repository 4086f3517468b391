/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EFI application: read everything, describe the machine, leave the firmware, enter the
 * hypervisor. Must not know how the hypervisor works: bootinfo.h is all they share. No locks.
 */
#include "boot/loader.h"
#include "hv/lib/string.h"

#define FAILURE_PAUSE_US 5000000u /* time to read the message before a boot menu covers it */

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);
/*
 * gnu-efi's start code calls efi_main, or from 3.0.18 on _entry, which its library would supply
 * together with memcpy and more that hv/lib has.
 */
EFI_STATUS _entry(EFI_HANDLE image, EFI_SYSTEM_TABLE *st) __attribute__((alias("efi_main")));

static EFI_STATUS start(struct loader *l, EFI_HANDLE image)
{
	uint64_t base;
	EFI_STATUS status = firmware_alloc(sizeof(*l->info), PAGE_SIZE, BOOT_MEM_LOADER, &base);

	if (EFI_ERROR(status)) {
		firmware_print("bulkhead: no memory\n");
		return status;
	}
	memset(l, 0, sizeof(*l));
	l->image = image;
	l->info = (struct bootinfo *)base;
	memset(l->info, 0, sizeof(*l->info));
	l->info->magic = BOOTINFO_MAGIC;
	l->info->version = BOOTINFO_VERSION;
	l->info->size = sizeof(*l->info);
	return EFI_SUCCESS;
}

static EFI_STATUS boot(struct loader *l, EFI_HANDLE image)
{
	EFI_STATUS status = start(l, image);

	if (!EFI_ERROR(status))
		status = image_load(l);
	if (!EFI_ERROR(status))
		status = files_load(l);
	if (!EFI_ERROR(status))
		status = machine_describe(l);
	if (!EFI_ERROR(status))
		status = leave_prepare(l);
	if (!EFI_ERROR(status))
		status = leave_firmware(l);
	return status;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
	struct loader loader;
	EFI_STATUS status;

	firmware_init(st);
	firmware_print("\nBulkhead " BULKHEAD_VERSION "\n");
	/* Else the firmware resets the machine five minutes after it started us. */
	firmware_bs->SetWatchdogTimer(0, 0, 0, NULL);
	status = boot(&loader, image);

	firmware_free_all();
	firmware_print(
		"bulkhead: not started (%s); back to the firmware\n", firmware_status_text(status));
	firmware_bs->Stall(FAILURE_PAUSE_US);
	return status;
}
