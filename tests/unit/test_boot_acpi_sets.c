/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole sets of ACPI tables as firmware gives them, read by the loader: our guests' own, one like
 * QEMU's q35; then lists that lead in circles, overlap, have no length or no end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "drivers/virt/acpi_tables.h"
#include "tests/fakes/acpi_image.h"

static struct acpi_image image;
static struct bootinfo_acpi facts;
static struct bootinfo_cpu cpus[300];

static void set(uint32_t at, uint64_t value, unsigned size)
{
	memcpy(image.bytes + at, &value, size);
}

static void read_facts(void)
{
	acpi_image_close(&image);
	memset(&facts, 0xff, sizeof(facts));
	boot_acpi_read(&image.acpi, &facts);
	acpi_image_unmap(&image);
}

static unsigned read_cpus(unsigned max)
{
	unsigned count;

	acpi_image_close(&image);
	count = boot_acpi_cpus(&image.acpi, cpus, max);
	acpi_image_unmap(&image);
	return count;
}

static void like_q35(void **state)
{
	(void)state;
	acpi_image_q35(&image, 4);
	read_facts();
	assert_int_equal(facts.hpet, 0xfed00000);
	assert_int_equal(facts.ecam, 0xb0000000);
	assert_int_equal(facts.ecam_first_bus, 0);
	assert_int_equal(facts.ecam_last_bus, 255);
	assert_int_equal(facts.pm1a_cnt, 0x604);
	assert_int_equal(facts.pm1b_cnt, 0);
	assert_int_equal(facts.pm_timer, 0x608);
	assert_int_equal(facts.smi_cmd, 0xb2);
	assert_int_equal(facts.acpi_enable, 2);
	assert_int_equal(facts.reset_port, 0xcf9);
	assert_int_equal(facts.reset_value, 0xf);
	assert_int_equal(facts.has_s5, 1);
	assert_int_equal(facts.slp_typ_a | facts.slp_typ_b, 0);
	assert_int_equal(read_cpus(300), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(cpus[i].apic_id, i);
		assert_int_equal(cpus[i].flags, BOOT_CPU_ENABLED);
	}
}

/* What this hypervisor tells its guests, it can read itself. */
static void like_our_guests(void **state)
{
	(void)state;
	acpi_image_guest(&image, 8);
	read_facts();
	assert_int_equal(facts.hpet, ACPI_HPET_BASE);
	assert_int_equal(facts.ecam, ACPI_ECAM_BASE);
	assert_int_equal(facts.ecam_last_bus, 255);
	assert_int_equal(facts.pm1a_cnt, ACPI_PM1A_CNT);
	assert_int_equal(facts.pm_timer, ACPI_PM_TIMER);
	assert_int_equal(facts.reset_port, ACPI_RESET_PORT);
	assert_int_equal(facts.reset_value, ACPI_RESET_VALUE);
	assert_int_equal(facts.has_s5, 1);
	assert_int_equal(facts.slp_typ_a, ACPI_SLP_TYP_S5);
	assert_int_equal(read_cpus(300), 8);
	assert_int_equal(cpus[7].apic_id, 7);
}

/* ---- The root pointer ---- */

static void first_half_leads_to_the_rsdt(void **state)
{
	uint32_t rsdt;

	(void)state;
	acpi_image_q35(&image, 1);
	rsdt = acpi_image_find(&image, "RSDT");
	set(rsdt + 4, 36 + 4, 4); /* lists the FADT only, so that it can be told from the XSDT */
	read_facts();
	assert_int_equal(facts.hpet, 0xfed00000);
	/* The second half: its sum, too short, absurdly long, and a revision that has none. */
	for (unsigned i = 0; i < 4; i++) {
		static const uint32_t at[] = {33, 20, 20, 15}, value[] = {1, 20, 4000, 0};

		acpi_image_q35(&image, 1);
		set(rsdt + 4, 36 + 4, 4);
		set(at[i], value[i], at[i] == 20 ? 4 : 1);
		acpi_image_close(&image);
		if (i == 0)
			image.bytes[33] = 2;
		boot_acpi_read(&image.acpi, &facts);
		acpi_image_unmap(&image);
		assert_int_equal(facts.hpet, 0);
		assert_int_equal(facts.pm1a_cnt, 0x604);
	}
	image.bytes[16] ^= 1; /* the first half's sum */
	boot_acpi_read(&image.acpi, &facts);
	acpi_image_unmap(&image);
	assert_int_equal(facts.pm1a_cnt, 0);
}

/* ---- MCFG ---- */

static void configuration_space(void **state)
{
	static const struct {
		uint64_t base;
		uint16_t segment;
		uint8_t first, last;
		bool good;
	} rows[] = {
		{0xe0000000, 0, 0, 127, true},
		{0xe0000000, 0, 64, 64, true},
		{0x2ff00000000, 0, 0, 255, true},
		{0xe0000000, 1, 0, 255, false}, /* another segment */
		{0, 0, 0, 255, false},
		{0xe0080000, 0, 0, 255, false}, /* not on a bus's boundary */
		{0xe0000000, 0, 9, 8, false},
		{0xfffffffff0000000, 0, 0, 255, false}, /* past the end of memory */
		{BIT(52) - MIB(256), 0, 0, 255, true},
		{BIT(52) - MIB(255), 0, 0, 255, false},
	};
	uint32_t mcfg;

	(void)state;
	acpi_image_q35(&image, 1);
	mcfg = acpi_image_find(&image, "MCFG");
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		set(mcfg + 44, rows[i].base, 8);
		set(mcfg + 52, rows[i].segment, 2);
		set(mcfg + 54, rows[i].first, 1);
		set(mcfg + 55, rows[i].last, 1);
		read_facts();
		assert_int_equal(facts.ecam, rows[i].good ? rows[i].base : 0);
		assert_int_equal(facts.ecam_first_bus, rows[i].good ? rows[i].first : 0);
		assert_int_equal(facts.ecam_last_bus, rows[i].good ? rows[i].last : 0);
	}
	for (uint32_t size = 36; size < 60; size++) { /* no whole entry */
		acpi_image_q35(&image, 1);
		set(mcfg + 4, size, 4);
		read_facts();
		assert_int_equal(facts.ecam, 0);
	}
}

/* Segment 0 in pieces, behind another segment: the piece with bus 0 counts. */
static void configuration_space_in_pieces(void **state)
{
	static const struct {
		uint64_t base;
		uint16_t segment;
		uint8_t first, last;
	} pieces[] = {{0x80000000, 1, 0, 255}, {0xb0000000, 0, 128, 255}, {0xc0000000, 0, 0, 63},
		{0xd0000000, 0, 64, 127}};
	uint32_t mcfg;

	(void)state;
	acpi_image_q35(&image, 1);
	mcfg = acpi_image_find(&image, "MCFG");
	/* The table grows over WAET and BGRT, which nobody asks for. */
	image.table_count = 5;
	set(mcfg + 4, 44 + 4 * 16, 4);
	for (unsigned i = 0; i < 4; i++) {
		set(mcfg + 44 + i * 16, pieces[i].base, 8);
		set(mcfg + 52 + i * 16, pieces[i].segment, 2);
		set(mcfg + 54 + i * 16, pieces[i].first, 1);
		set(mcfg + 55 + i * 16, pieces[i].last, 1);
	}
	read_facts();
	assert_int_equal(facts.ecam, 0xc0000000);
	assert_int_equal(facts.ecam_last_bus, 63);
}

/* ---- CPUs ---- */

static void cpus_listed_twice_or_not_at_all(void **state)
{
	static const uint8_t entries[] = {
		0, 8, 0, 2, 1, 0, 0, 0,                          /* 2 */
		0, 8, 1, 0xff, 1, 0, 0, 0,                       /* the broadcast ID */
		0, 8, 2, 3, 0, 0, 0, 0,                          /* 3, disabled here */
		9, 16, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, /* 2 again, by x2APIC */
		9, 16, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, /* 3, enabled */
		9, 16, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, /* broadcast */
		9, 16, 0, 0, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,          /* 255 is a CPU here */
		9, 8, 0, 0, 9, 0, 0, 0,                                      /* too short */
		0, 8, 2, 4, 2, 0, 0, 0, /* 4: could be enabled */
	};
	uint32_t madt;

	(void)state;
	acpi_image_q35(&image, 16);
	madt = acpi_image_find(&image, "APIC");
	set(madt + 4, 44 + sizeof(entries), 4);
	memcpy(image.bytes + madt + 44, entries, sizeof(entries));
	assert_int_equal(read_cpus(300), 4);
	assert_int_equal(cpus[0].apic_id, 2);
	assert_int_equal(cpus[1].apic_id, 3);
	assert_int_equal(cpus[1].flags, BOOT_CPU_ENABLED);
	assert_int_equal(cpus[2].apic_id, 255);
	assert_int_equal(cpus[3].apic_id, 4);
	assert_int_equal(cpus[3].flags, 0);
}

/* ---- Lists that lead nowhere ---- */

static void circles_and_overlaps(void **state)
{
	uint32_t xsdt, rsdt, facp, dsdt;

	(void)state;
	acpi_image_q35(&image, 1);
	xsdt = acpi_image_find(&image, "XSDT");
	rsdt = acpi_image_find(&image, "RSDT");
	facp = acpi_image_find(&image, "FACP");
	dsdt = acpi_image_find(&image, "DSDT");
	/* The root lists itself, the other root, nothing, the end of memory, and itself again. */
	set(xsdt + 36, ACPI_IMAGE_BASE + xsdt, 8);
	set(xsdt + 44, ACPI_IMAGE_BASE + rsdt, 8);
	set(xsdt + 52, 0, 8);
	set(xsdt + 60, UINT64_MAX - 8, 8);
	set(xsdt + 68, ACPI_IMAGE_BASE + ACPI_IMAGE_SIZE - 8, 8);
	set(xsdt + 76, ACPI_IMAGE_BASE + xsdt, 8);
	read_facts();
	assert_int_equal(facts.hpet, 0);
	assert_int_equal(facts.pm1a_cnt, 0);
	/* The FADT is its own DSDT: no harm, no power-off. */
	acpi_image_q35(&image, 1);
	set(facp + 40, ACPI_IMAGE_BASE + facp, 4);
	set(facp + 140, ACPI_IMAGE_BASE + facp, 8);
	read_facts();
	assert_int_equal(facts.pm1a_cnt, 0x604);
	assert_int_equal(facts.has_s5, 0);
	/* A table in the midst of another. */
	acpi_image_q35(&image, 1);
	memcpy(image.bytes + dsdt + 40, "HPET", 4);
	set(dsdt + 44, 60, 4);
	set(dsdt + 84, 0xfed40000, 8);
	image.table[image.table_count++] = dsdt + 40;
	set(xsdt + 52, ACPI_IMAGE_BASE + dsdt + 40, 8);
	acpi_image_close(&image);
	image.table_count--;
	read_facts();
	assert_int_equal(facts.pm1a_cnt, 0x604);
	assert_int_equal(facts.has_s5, 1);
}

static void lengths(void **state)
{
	static const uint32_t sizes[] = {0, 1, 35, 0x10000, MIB(4) + 1, UINT32_MAX};
	static const char *const names[] = {"XSDT", "FACP", "APIC", "HPET", "MCFG", "DSDT"};

	(void)state;
	for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
			acpi_image_q35(&image, 2);
			set(acpi_image_find(&image, names[n]) + 4, sizes[i], 4);
			if (n == 0) /* else the RSDT would do */
				set(16, 0, 4);
			read_facts();
			assert_int_equal(facts.hpet, n == 0 || n == 3 ? 0 : 0xfed00000);
			assert_int_equal(facts.ecam, n == 0 || n == 4 ? 0 : 0xb0000000);
			assert_int_equal(facts.pm1a_cnt, n < 2 ? 0 : 0x604);
			assert_int_equal(facts.has_s5, n >= 2 && n != 5);
			assert_int_equal(read_cpus(300), n == 0 || n == 2 ? 0 : 2);
		}
	}
	/* Entries of no length and one that reaches beyond the end. */
	for (unsigned i = 0; i < 2; i++) {
		acpi_image_q35(&image, 2);
		image.bytes[acpi_image_find(&image, "APIC") + 45] = i ? 0xff : 0;
		assert_int_equal(read_cpus(300), 0);
	}
}

/* More tables than any machine has: looked at up to a limit, each once in a reading. */
static void endless_list(void **state)
{
	uint32_t xsdt, hpet;

	(void)state;
	acpi_image_q35(&image, 1);
	hpet = acpi_image_find(&image, "HPET");
	xsdt = image.used;
	memcpy(image.bytes + xsdt, "XSDT", 4);
	image.table[image.table_count++] = xsdt;
	set(24, ACPI_IMAGE_BASE + xsdt, 8);
	for (unsigned last = 511; last <= 512; last++) {
		set(xsdt + 4, 36 + 2048 * 8, 4);
		for (unsigned i = 0; i < 2048; i++)
			set(xsdt + 36 + i * 8, ACPI_IMAGE_BASE + xsdt, 8);
		set(xsdt + 36 + last * 8, ACPI_IMAGE_BASE + hpet, 8);
		read_facts();
		assert_int_equal(facts.hpet, last == 511 ? 0xfed00000 : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_q35),
		cmocka_unit_test(like_our_guests),
		cmocka_unit_test(first_half_leads_to_the_rsdt),
		cmocka_unit_test(configuration_space),
		cmocka_unit_test(configuration_space_in_pieces),
		cmocka_unit_test(cpus_listed_twice_or_not_at_all),
		cmocka_unit_test(circles_and_overlaps),
		cmocka_unit_test(lengths),
		cmocka_unit_test(endless_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
