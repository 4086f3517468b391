/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the firmware knows about the machine. Everything here is optional: what is absent stays 0
 * and the hypervisor looks elsewhere or does without. No locks.
 */
#include "boot/loader.h"
#include "boot/acpi.h"
#include "boot/convert.h"
#include "boot/cpus.h"
#include "hv/lib/string.h"

/* UEFI Platform Initialization specification, MP Services protocol; not in gnu-efi. */
#define MP_SERVICES_GUID                                                                           \
	{                                                                                          \
		0x3fdda605, 0xa76e, 0x4f46,                                                        \
		{                                                                                  \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                             \
		}                                                                                  \
	}

#define PROCESSOR_AS_BSP_BIT        0x1u
#define PROCESSOR_ENABLED_BIT       0x2u
#define PROCESSOR_HEALTH_STATUS_BIT 0x4u

struct mp_processor_info {
	uint64_t processor_id; /* the local APIC ID */
	uint32_t status;
	uint32_t location[3];
	uint32_t extended[6]; /* newer firmware may fill it */
};
_Static_assert(offsetof(struct mp_processor_info, extended) == 24, "EFI_PROCESSOR_INFORMATION");

struct mp_services {
	EFI_STATUS(EFIAPI *get_number_of_processors)
	(struct mp_services *self, UINTN *count, UINTN *enabled);
	EFI_STATUS(EFIAPI *get_processor_info)
	(struct mp_services *self, UINTN number, struct mp_processor_info *info);
};

#define CPUS_MAX 4096u

/* Firmware's tables map all memory one to one (UEFI specification, "x64 Platforms"). */
static const void *map_identity(void *ctx, uint64_t phys, uint64_t size)
{
	(void)ctx;
	return phys && phys + size > phys ? (const void *)phys : NULL;
}

static struct bootinfo_cpu cpu_of(const struct mp_processor_info *info)
{
	const uint32_t usable = PROCESSOR_ENABLED_BIT | PROCESSOR_HEALTH_STATUS_BIT;
	struct bootinfo_cpu cpu = {(uint32_t)info->processor_id, 0};

	if ((info->status & usable) == usable)
		cpu.flags |= BOOT_CPU_ENABLED;
	if (info->status & PROCESSOR_AS_BSP_BIT)
		cpu.flags |= BOOT_CPU_BSP;
	return cpu;
}

static unsigned ask_mp_services(struct bootinfo_cpu *cpus)
{
	static EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *mp;
	UINTN count, enabled;
	unsigned found = 0;

	if (EFI_ERROR(firmware_bs->LocateProtocol(&guid, NULL, (void **)&mp)) ||
		EFI_ERROR(mp->get_number_of_processors(mp, &count, &enabled)))
		return 0;
	for (UINTN i = 0; i < MIN(count, (UINTN)CPUS_MAX); i++) {
		struct mp_processor_info cpu;

		memset(&cpu, 0, sizeof(cpu));
		if (!EFI_ERROR(mp->get_processor_info(mp, i, &cpu)))
			cpus[found++] = cpu_of(&cpu);
	}
	return found;
}

/* The list for the hypervisor, and behind it the two that it is made of. */
static EFI_STATUS describe_cpus(struct bootinfo *info)
{
	const struct boot_acpi tables = {map_identity, NULL, info->rsdp};
	struct boot_cpus_list mp, acpi;
	struct boot_cpus_diff diff;
	char text[BOOT_CPUS_TEXT_MAX];
	struct bootinfo_cpu *cpus;
	uint64_t base;
	EFI_STATUS status = firmware_alloc(
		3 * CPUS_MAX * sizeof(*cpus), PAGE_SIZE, BOOT_MEM_LOADER, &base);

	if (EFI_ERROR(status)) {
		firmware_print("bulkhead: no memory for the list of CPUs\n");
		return status;
	}
	cpus = (struct bootinfo_cpu *)base;
	mp.cpu = cpus + CPUS_MAX;
	mp.count = ask_mp_services(cpus + CPUS_MAX);
	acpi.cpu = cpus + 2 * CPUS_MAX;
	acpi.count = boot_acpi_cpus(&tables, cpus + 2 * CPUS_MAX, CPUS_MAX);
	info->cpus = base;
	info->cpu_count = boot_cpus_merge(&mp, &acpi, cpus, &diff);
	boot_cpus_text(&diff, text);
	if (text[0])
		firmware_print("bulkhead: %s\n", text);
	return EFI_SUCCESS;
}

static uint64_t find_table(const EFI_GUID *guid)
{
	for (UINTN i = 0; i < firmware_st->NumberOfTableEntries; i++) {
		const EFI_CONFIGURATION_TABLE *t = &firmware_st->ConfigurationTable[i];

		if (!memcmp(&t->VendorGuid, guid, sizeof(*guid)))
			return (uint64_t)t->VendorTable;
	}
	return 0;
}

static void describe_acpi(struct bootinfo *info)
{
	static const EFI_GUID acpi20 = ACPI_20_TABLE_GUID, acpi10 = ACPI_TABLE_GUID;

	info->rsdp = find_table(&acpi20);
	if (!info->rsdp)
		info->rsdp = find_table(&acpi10);
	boot_acpi_read(&(struct boot_acpi){map_identity, NULL, info->rsdp}, &info->acpi);
}

static bool take_framebuffer(
	struct bootinfo_framebuffer *fb, const EFI_GRAPHICS_OUTPUT_PROTOCOL *gop)
{
	const EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE *mode = gop->Mode;
	const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info;

	if (!mode || !mode->Info || !mode->FrameBufferBase)
		return false;
	info = mode->Info;
	if (info->PixelFormat != PixelRedGreenBlueReserved8BitPerColor &&
		info->PixelFormat != PixelBlueGreenRedReserved8BitPerColor)
		return false;
	if (info->PixelsPerScanLine < info->HorizontalResolution ||
		(uint64_t)info->PixelsPerScanLine * 4 * info->VerticalResolution >
			mode->FrameBufferSize)
		return false;
	fb->base = mode->FrameBufferBase;
	fb->size = mode->FrameBufferSize;
	fb->width = info->HorizontalResolution;
	fb->height = info->VerticalResolution;
	fb->pitch = info->PixelsPerScanLine * 4;
	fb->bgr = info->PixelFormat == PixelBlueGreenRedReserved8BitPerColor;
	return true;
}

/* The console splitter publishes one without a framebuffer: look at all of them. */
static void describe_framebuffer(struct bootinfo *info)
{
	static EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
	EFI_HANDLE *handles;
	UINTN count;

	if (EFI_ERROR(firmware_bs->LocateHandleBuffer(ByProtocol, &guid, NULL, &count, &handles)))
		return;
	for (UINTN i = 0; i < count; i++) {
		if (EFI_ERROR(firmware_bs->HandleProtocol(handles[i], &guid, (void **)&gop)))
			continue;
		if (take_framebuffer(&info->framebuffer, gop))
			break;
	}
	firmware_bs->FreePool(handles);
}

static void describe_time(struct bootinfo *info)
{
	struct boot_calendar c;
	EFI_TIME t;

	if (EFI_ERROR(firmware_st->RuntimeServices->GetTime(&t, NULL)))
		return;
	c = (struct boot_calendar){t.Year, t.Month, t.Day, t.Hour, t.Minute, t.Second, 0};
	if (t.TimeZone != EFI_UNSPECIFIED_TIMEZONE)
		c.utc_minutes = t.TimeZone;
	info->unix_time = boot_convert_time(&c);
}

EFI_STATUS machine_describe(struct loader *l)
{
	describe_acpi(l->info);
	describe_framebuffer(l->info);
	describe_time(l->info);
	return describe_cpus(l->info);
}
