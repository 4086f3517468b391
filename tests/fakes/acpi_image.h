/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables in a piece of memory, for the loader's reader of them: those that a guest of ours
 * gets, and a set like QEMU's q35. Each mapping is a copy of exactly the bytes that were asked for,
 * so that a read beyond them is seen. Patch `bytes`, then close the sums again or not.
 */
#ifndef TESTS_FAKES_ACPI_IMAGE_H
#define TESTS_FAKES_ACPI_IMAGE_H

#include "boot/acpi.h"

#define ACPI_IMAGE_BASE   0x7f000000ull
#define ACPI_IMAGE_SIZE   0x10000u
#define ACPI_IMAGE_TABLES 16u
#define ACPI_IMAGE_MAPS   8192u

struct acpi_image {
	uint8_t bytes[ACPI_IMAGE_SIZE];
	uint32_t used;
	uint32_t table[ACPI_IMAGE_TABLES]; /* offsets of tables with a header; the RSDP is at 0 */
	unsigned table_count;
	struct boot_acpi acpi;
	void *map[ACPI_IMAGE_MAPS];
	unsigned map_count;
};

void acpi_image_guest(struct acpi_image *image, unsigned cpus);
void acpi_image_q35(struct acpi_image *image, unsigned cpus);
/* Zeroes: to be filled by the caller, as the firmware of a hostile machine. */
void acpi_image_empty(struct acpi_image *image);

/* Make the sums of the RSDP and of all tables right, with the sizes that their headers say. */
void acpi_image_close(struct acpi_image *image);
/* Offset of the table with that name; 0: none. */
uint32_t acpi_image_find(const struct acpi_image *image, const char *signature);
/* Give back what was mapped. */
void acpi_image_unmap(struct acpi_image *image);

#endif
