/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the loader's reader of ACPI tables, and the merging of CPU lists, on hostile memory.
 * The first byte picks the tables to start from (a guest's own, QEMU-like ones, none), the second
 * whether sums are made right again, the third how many CPUs; what follows is the memory itself or
 * patches of it (two bytes where, one byte how many, that many bytes). Each mapping is a copy of
 * its exact size, so that a read beyond it is seen.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "boot/cpus.h"
#include "tests/fakes/acpi_image.h"

#define CPUS_MAX 64u

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct acpi_image image;

static void patch(const uint8_t *data, size_t size)
{
	while (size > 3) {
		unsigned at = (data[0] | data[1] << 8) % (image.used + 64u), n = data[2] % 9;

		data += 3;
		size -= 3;
		if (n > size)
			n = (unsigned)size;
		memcpy(image.bytes + at, data, n);
		data += n;
		size -= n;
	}
}

static void make_image(uint8_t kind, unsigned cpus, const uint8_t *data, size_t size)
{
	switch (kind % 3) {
	case 0:
		acpi_image_guest(&image, 1 + cpus);
		patch(data, size);
		break;
	case 1:
		acpi_image_q35(&image, cpus);
		patch(data, size);
		break;
	default:
		acpi_image_empty(&image);
		memcpy(image.bytes, data, MIN(size, (size_t)ACPI_IMAGE_SIZE));
	}
}

static void check_facts(const struct bootinfo_acpi *f)
{
	EXPECT(f->has_s5 <= 1 && f->slp_typ_a < 8 && f->slp_typ_b < 8);
	EXPECT(f->has_s5 || !(f->slp_typ_a | f->slp_typ_b));
	EXPECT(f->ecam % MIB(1) == 0 && f->ecam < BIT(52));
	EXPECT(f->ecam_first_bus <= f->ecam_last_bus);
	EXPECT(f->ecam || !f->ecam_last_bus);
}

static void check_list(const struct bootinfo_cpu *cpus, unsigned count)
{
	EXPECT(count <= CPUS_MAX);
	for (unsigned i = 0; i < count; i++) {
		EXPECT(!(cpus[i].flags & ~BOOT_CPU_ENABLED) && cpus[i].apic_id != UINT32_MAX);
		for (unsigned j = 0; j < i; j++)
			EXPECT(cpus[i].apic_id != cpus[j].apic_id);
	}
}

static uint32_t flags_in(const struct boot_cpus_list *list, uint32_t apic_id)
{
	for (unsigned i = 0; i < list->count; i++) {
		if (list->cpu[i].apic_id == apic_id)
			return list->cpu[i].flags;
	}
	return 0;
}

/* MP Services' list is made of the input too. A CPU is never used against the word of either. */
static void merge(const struct boot_cpus_list *acpi, const uint8_t *data, size_t size)
{
	struct bootinfo_cpu mp_cpus[CPUS_MAX], out[CPUS_MAX + 1];
	struct boot_cpus_list mp = {mp_cpus, (unsigned)MIN(size, (size_t)CPUS_MAX)};
	struct boot_cpus_diff diff;
	char text[BOOT_CPUS_TEXT_MAX];
	unsigned count;

	for (unsigned i = 0; i < mp.count; i++)
		mp_cpus[i] = (struct bootinfo_cpu){data[i] & 0x3f, data[i] >> 6};
	memset(out, 0xee, sizeof(out));
	count = boot_cpus_merge(&mp, acpi, out, &diff);
	EXPECT(count <= MAX(mp.count, acpi->count) && out[count].apic_id == 0xeeeeeeee);
	for (unsigned i = 0; i < count; i++) {
		if (!(out[i].flags & BOOT_CPU_ENABLED))
			continue;
		EXPECT(!mp.count || (flags_in(&mp, out[i].apic_id) & BOOT_CPU_ENABLED));
		EXPECT(!acpi->count || diff.acpi_ignored ||
			(flags_in(acpi, out[i].apic_id) & BOOT_CPU_ENABLED));
	}
	boot_cpus_text(&diff, text);
	EXPECT(memchr(text, 0, sizeof(text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bootinfo_cpu cpus[CPUS_MAX];
	struct boot_cpus_list list = {cpus, 0};
	struct bootinfo_acpi facts;
	unsigned max;

	if (size < 3)
		return 0;
	make_image(data[0], data[2] % 32, data + 3, size - 3);
	if (data[1] & 1)
		acpi_image_close(&image);
	max = data[1] & 2 ? CPUS_MAX : data[1] >> 2;
	boot_acpi_read(&image.acpi, &facts);
	acpi_image_unmap(&image);
	check_facts(&facts);
	list.count = boot_acpi_cpus(&image.acpi, cpus, max);
	acpi_image_unmap(&image);
	EXPECT(list.count <= max);
	check_list(cpus, list.count);
	merge(&list, data + 3, size - 3);
	return 0;
}
