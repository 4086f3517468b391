/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "drivers/virt/acpi_tables.h"
#include "hv/lib/string.h"
#include "tests/fakes/acpi_image.h"

#define HEADER_SIZE  36u
#define RSDP_V1_SIZE 20u
#define RSDP_SIZE    36u

/* All that one reading may map is bounded; more than fits here is not. */
static const void *map(void *ctx, uint64_t phys, uint64_t size)
{
	struct acpi_image *image = ctx;
	void *copy;

	if (phys < ACPI_IMAGE_BASE || !range_within(phys - ACPI_IMAGE_BASE, size, ACPI_IMAGE_SIZE))
		return NULL;
	if (image->map_count == ACPI_IMAGE_MAPS)
		abort();
	copy = malloc(size);
	memcpy(copy, image->bytes + (phys - ACPI_IMAGE_BASE), size);
	image->map[image->map_count++] = copy;
	return copy;
}

void acpi_image_unmap(struct acpi_image *image)
{
	while (image->map_count)
		free(image->map[--image->map_count]);
}

void acpi_image_empty(struct acpi_image *image)
{
	memset(image, 0, sizeof(*image));
	image->acpi = (struct boot_acpi){map, image, ACPI_IMAGE_BASE};
	image->used = 64;
}

static void put(struct acpi_image *image, uint32_t at, uint64_t value, unsigned size)
{
	memcpy(image->bytes + at, &value, size);
}

static void close_sum(uint8_t *bytes, uint32_t size, uint32_t at)
{
	uint8_t sum = 0;

	bytes[at] = 0;
	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	bytes[at] = (uint8_t)-sum;
}

void acpi_image_close(struct acpi_image *image)
{
	for (unsigned i = 0; i < image->table_count; i++) {
		uint32_t at = image->table[i], size;

		memcpy(&size, image->bytes + at + 4, sizeof(size));
		if (size >= HEADER_SIZE && range_within(at, size, ACPI_IMAGE_SIZE))
			close_sum(image->bytes + at, size, 9);
	}
	close_sum(image->bytes, RSDP_V1_SIZE, 8);
	close_sum(image->bytes, RSDP_SIZE, 32);
}

uint32_t acpi_image_find(const struct acpi_image *image, const char *signature)
{
	for (unsigned i = 0; i < image->table_count; i++) {
		if (!memcmp(image->bytes + image->table[i], signature, 4))
			return image->table[i];
	}
	return 0;
}

/* ---- What our guests get ---- */

static void note_table(struct acpi_image *image, uint64_t phys)
{
	if (image->table_count < ACPI_IMAGE_TABLES)
		image->table[image->table_count++] = (uint32_t)(phys - ACPI_IMAGE_BASE);
}

void acpi_image_guest(struct acpi_image *image, unsigned cpus)
{
	struct acpi_build build = {.vcpu_count = cpus,
		.buf = image->bytes + 64,
		.size = ACPI_IMAGE_SIZE - 64,
		.base = ACPI_IMAGE_BASE + 64};
	uint64_t xsdt = 0, phys = 0;
	uint32_t rsdt = 0, size;

	acpi_image_empty(image);
	if (acpi_tables_build(&build) != OK)
		abort();
	image->used = 64 + build.used;
	memcpy(image->bytes, build.rsdp, sizeof(build.rsdp));
	memcpy(&rsdt, image->bytes + 16, 4);
	memcpy(&xsdt, image->bytes + 24, 8);
	note_table(image, xsdt);
	note_table(image, rsdt);
	memcpy(&size, image->bytes + image->table[0] + 4, 4);
	for (uint32_t at = HEADER_SIZE; at < size; at += 8) {
		memcpy(&phys, image->bytes + image->table[0] + at, 8);
		note_table(image, phys);
	}
	memcpy(&phys, image->bytes + acpi_image_find(image, "FACP") + 40, 4);
	note_table(image, phys & UINT32_MAX); /* DSDT */
}

/* ---- Like QEMU's q35 ---- */

static uint32_t add_table(struct acpi_image *image, const char *signature, uint32_t size)
{
	uint32_t at = image->used;

	memcpy(image->bytes + at, signature, 4);
	put(image, at + 4, size, 4);
	memcpy(image->bytes + at + 10, "BOCHS BXPC    ", 14);
	image->table[image->table_count++] = at;
	image->used = at + ((size + 15) & ~15u);
	return at;
}

static uint32_t q35_dsdt(struct acpi_image *image)
{
	/* Scope (\_SB) { Name (_S4_, Package {1, 1, 0, 0}) }; Name (\_S5, Package {0, 0, 0, 0}) */
	static const uint8_t aml[] = {0x10, 0x11, '_', 'S', 'B', '_', 0x08, '_', 'S', '4', '_',
		0x12, 0x06, 0x04, 0x01, 0x01, 0x00, 0x00, 0x08, '\\', '_', 'S', '5', '_', 0x12,
		0x06, 0x04, 0x00, 0x00, 0x00, 0x00};
	uint32_t at = add_table(image, "DSDT", HEADER_SIZE + 256 + sizeof(aml));

	memcpy(image->bytes + at + HEADER_SIZE + 200, aml, sizeof(aml));
	return at;
}

static uint32_t q35_fadt(struct acpi_image *image, uint32_t dsdt)
{
	uint32_t at = add_table(image, "FACP", 244);

	image->bytes[at + 8] = 3; /* revision */
	put(image, at + 40, ACPI_IMAGE_BASE + dsdt, 4);
	put(image, at + 46, 9, 2);      /* SCI */
	put(image, at + 48, 0xb2, 4);   /* SMI_CMD */
	put(image, at + 52, 0x0302, 2); /* ACPI_ENABLE, ACPI_DISABLE */
	put(image, at + 56, 0x600, 4);
	put(image, at + 64, 0x604, 4);
	put(image, at + 76, 0x608, 4);
	put(image, at + 112, 0x484a5, 4); /* among them RESET_REG_SUP */
	put(image, at + 116, 0x0801, 2);  /* 8 bits of port space */
	put(image, at + 120, 0xcf9, 8);
	put(image, at + 128, 0x0f, 1);
	put(image, at + 140, ACPI_IMAGE_BASE + dsdt, 8);
	put(image, at + 172, 0x1001, 2);
	put(image, at + 176, 0x604, 8);
	put(image, at + 208, 0x2001, 2);
	put(image, at + 212, 0x608, 8);
	return at;
}

static uint32_t q35_madt(struct acpi_image *image, unsigned cpus)
{
	static const uint8_t ioapic[] = {1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0};
	static const uint8_t nmi[] = {4, 6, 0xff, 0, 0, 1};
	uint32_t size = 44 + 8 * cpus + sizeof(ioapic) + sizeof(nmi);
	uint32_t at = add_table(image, "APIC", size), next = at + 44;

	put(image, at + 36, 0x1fee00000, 8);
	for (unsigned i = 0; i < cpus; i++, next += 8) {
		const uint8_t lapic[] = {0, 8, (uint8_t)i, (uint8_t)i, 1, 0, 0, 0};

		memcpy(image->bytes + next, lapic, sizeof(lapic));
	}
	memcpy(image->bytes + next, ioapic, sizeof(ioapic));
	memcpy(image->bytes + next + sizeof(ioapic), nmi, sizeof(nmi));
	return at;
}

static uint32_t q35_hpet(struct acpi_image *image)
{
	uint32_t at = add_table(image, "HPET", 56);

	put(image, at + 36, 0x8086a201, 4);
	put(image, at + 44, 0xfed00000, 8);
	return at;
}

static uint32_t q35_mcfg(struct acpi_image *image)
{
	uint32_t at = add_table(image, "MCFG", 60);

	put(image, at + 44, 0xb0000000, 8);
	put(image, at + 54, 0xff00, 2); /* buses 0 to 255 */
	return at;
}

/* Both root tables list everything, WAET too; the firmware is OVMF, which writes an XSDT. */
void acpi_image_q35(struct acpi_image *image, unsigned cpus)
{
	uint32_t list[6], xsdt, rsdt;

	acpi_image_empty(image);
	list[0] = q35_fadt(image, q35_dsdt(image));
	list[1] = q35_madt(image, cpus);
	list[2] = q35_hpet(image);
	list[3] = q35_mcfg(image);
	list[4] = add_table(image, "WAET", 40);
	list[5] = add_table(image, "BGRT", 56);
	xsdt = add_table(image, "XSDT", HEADER_SIZE + 6 * 8);
	rsdt = add_table(image, "RSDT", HEADER_SIZE + 6 * 4);
	for (unsigned i = 0; i < 6; i++) {
		put(image, xsdt + HEADER_SIZE + i * 8, ACPI_IMAGE_BASE + list[i], 8);
		put(image, rsdt + HEADER_SIZE + i * 4, ACPI_IMAGE_BASE + list[i], 4);
	}
	memcpy(image->bytes, "RSD PTR ", 8);
	image->bytes[15] = 2;
	put(image, 16, ACPI_IMAGE_BASE + rsdt, 4);
	put(image, 20, RSDP_SIZE, 4);
	put(image, 24, ACPI_IMAGE_BASE + xsdt, 8);
	acpi_image_close(image);
}
