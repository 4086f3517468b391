/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware console and memory for the rest of the loader. Must not know what either is used for.
 * No locks: the loader is one thread.
 */
#include "boot/firmware.h"
#include "boot/convert.h"
#include "hv/lib/fmt.h"

EFI_SYSTEM_TABLE *firmware_st;
EFI_BOOT_SERVICES *firmware_bs;

/* base 0: already given back. */
static struct boot_own allocs[FIRMWARE_ALLOC_MAX];
static unsigned alloc_count;

void firmware_init(EFI_SYSTEM_TABLE *st)
{
	firmware_st = st;
	firmware_bs = st->BootServices;
}

static void print_unit(CHAR16 *line, unsigned *n, CHAR16 unit)
{
	line[(*n)++] = unit;
}

void firmware_print(const char *format, ...)
{
	static char text[256];
	static uint16_t wide[256];
	static CHAR16 line[2 * 256];
	unsigned n = 0;
	va_list args;

	if (!firmware_st->ConOut)
		return;
	va_start(args, format);
	fmt_vstring(text, sizeof(text), format, args);
	va_end(args);
	if (boot_convert_utf16(wide, ARRAY_SIZE(wide), text))
		wide[ARRAY_SIZE(wide) - 1] = 0; /* what could be converted is printed */
	for (unsigned i = 0; wide[i]; i++) {
		if (wide[i] == '\n')
			print_unit(line, &n, '\r');
		print_unit(line, &n, wide[i]);
	}
	line[n] = 0;
	firmware_st->ConOut->OutputString(firmware_st->ConOut, line);
}

const char *firmware_status_text(EFI_STATUS status)
{
	static char other[24];

	switch (status) {
	case EFI_SUCCESS: return "success";
	case EFI_NOT_FOUND: return "not found";
	case EFI_OUT_OF_RESOURCES: return "not enough memory";
	case EFI_DEVICE_ERROR: return "the device reports an error";
	case EFI_NO_MEDIA: return "no medium";
	case EFI_MEDIA_CHANGED: return "the medium was changed";
	case EFI_VOLUME_CORRUPTED: return "the file system is damaged";
	case EFI_ACCESS_DENIED: return "access denied";
	case EFI_UNSUPPORTED: return "not supported by this firmware";
	case EFI_INVALID_PARAMETER: return "the firmware refuses the request";
	case EFI_END_OF_FILE: return "the file ends early";
	case EFI_BAD_BUFFER_SIZE: return "the file is too large";
	case EFI_LOAD_ERROR: return "the program is damaged";
	default:
		fmt_string(
			other, sizeof(other), "firmware error %x", (unsigned)(status & 0xffffffff));
		return other;
	}
}

static void free_range(uint64_t base, uint64_t end)
{
	if (base < end)
		firmware_bs->FreePages(base, (end - base) / PAGE_SIZE);
}

EFI_STATUS firmware_alloc(uint64_t size, uint64_t align, enum boot_mem_type type, uint64_t *base)
{
	EFI_PHYSICAL_ADDRESS raw = 0;
	uint64_t bytes, raw_size;
	EFI_STATUS status;

	if (alloc_count == FIRMWARE_ALLOC_MAX || size > BIT(52))
		return EFI_OUT_OF_RESOURCES;
	bytes = align_up(MAX(size, (uint64_t)1), PAGE_SIZE);
	raw_size = bytes + align - PAGE_SIZE;
	status = firmware_bs->AllocatePages(
		AllocateAnyPages, EfiLoaderData, raw_size / PAGE_SIZE, &raw);
	if (EFI_ERROR(status))
		return EFI_OUT_OF_RESOURCES;
	*base = align_up(raw, align);
	free_range(raw, *base);
	free_range(*base + bytes, raw + raw_size);
	allocs[alloc_count++] = (struct boot_own){*base, bytes, type};
	return EFI_SUCCESS;
}

uint64_t firmware_alloc_low(uint64_t limit)
{
	EFI_PHYSICAL_ADDRESS page = limit - 1, other = limit - 1;
	EFI_STATUS status;

	if (alloc_count == FIRMWARE_ALLOC_MAX)
		return 0;
	status = firmware_bs->AllocatePages(AllocateMaxAddress, EfiLoaderData, 1, &page);
	if (!EFI_ERROR(status) && page == 0) {
		status = firmware_bs->AllocatePages(AllocateMaxAddress, EfiLoaderData, 1, &other);
		firmware_bs->FreePages(page, 1);
		page = other;
	}
	if (EFI_ERROR(status))
		return 0;
	allocs[alloc_count++] = (struct boot_own){page, PAGE_SIZE, BOOT_MEM_LOADER};
	return page;
}

void firmware_free_last(void)
{
	const struct boot_own *last = &allocs[--alloc_count];

	free_range(last->base, last->base + last->size);
}

void firmware_free_all(void)
{
	while (alloc_count)
		firmware_free_last();
}

const struct boot_own *firmware_allocs(unsigned *count)
{
	*count = alloc_count;
	return allocs;
}
