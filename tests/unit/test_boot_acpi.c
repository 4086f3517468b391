/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader reads from ACPI's tables, whole and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "boot/acpi.h"

#define BASE 0x7f000000ull

enum place {
	RSDP = 0,
	RSDT = 0x100,
	XSDT = 0x200,
	FADT = 0x300,
	DSDT = 0x500,
	SSDT = 0x700,
	HPET = 0x900,
	MADT = 0xa00,
	MEMORY_SIZE = 0x1000
};

static uint8_t memory[MEMORY_SIZE];
static struct bootinfo_acpi facts;
static struct bootinfo_cpu cpus[8];

static const void *map(void *ctx, uint64_t phys, uint64_t size)
{
	(void)ctx;
	if (phys < BASE || !range_within(phys - BASE, size, MEMORY_SIZE))
		return NULL;
	return memory + (phys - BASE);
}

static const struct boot_acpi acpi = {map, NULL, BASE + RSDP};

static void set(unsigned at, uint64_t value, unsigned size)
{
	memcpy(memory + at, &value, size);
}

static void close_sum(unsigned at, unsigned size, unsigned sum_at)
{
	uint8_t sum = 0;

	memory[at + sum_at] = 0;
	for (unsigned i = 0; i < size; i++)
		sum = (uint8_t)(sum + memory[at + i]);
	memory[at + sum_at] = (uint8_t)-sum;
}

static void header(unsigned at, const char *signature, unsigned size)
{
	memcpy(memory + at, signature, 4);
	set(at + 4, size, 4);
	close_sum(at, size, 9);
}

static const uint8_t s5[] = {0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0a, 0x05, 0x01, 0, 0};

static void close_all(void)
{
	header(FADT, "FACP", 244);
	header(DSDT, "DSDT", 0x80);
	header(SSDT, "SSDT", 0x80);
	header(HPET, "HPET", 56);
	header(MADT, "APIC", 0x60);
	header(XSDT, "XSDT", 36 + 4 * 8);
	header(RSDT, "RSDT", 36 + 4);
	close_sum(RSDP, 20, 8);
	close_sum(RSDP, 36, 32);
}

static int setup(void **state)
{
	static const enum place listed[] = {SSDT, FADT, HPET, MADT};

	(void)state;
	memset(memory, 0, sizeof(memory));
	memcpy(memory, "RSD PTR ", 8);
	memory[15] = 2;
	set(RSDP + 16, BASE + RSDT, 4);
	set(RSDP + 20, 36, 4);
	set(RSDP + 24, BASE + XSDT, 8);
	for (unsigned i = 0; i < 4; i++)
		set(XSDT + 36 + i * 8, BASE + listed[i], 8);
	set(RSDT + 36, BASE + FADT, 4);
	set(FADT + 40, BASE + DSDT, 4);
	set(FADT + 48, 0xb2, 4);
	set(FADT + 52, 0xa0, 1);
	set(FADT + 64, 0x404, 4);
	set(FADT + 76, 0x408, 4);
	set(FADT + 112, 1u << 10, 4);
	set(FADT + 116, 1, 1);
	set(FADT + 120, 0xcf9, 8);
	set(FADT + 128, 6, 1);
	memcpy(memory + DSDT + 60, s5, sizeof(s5));
	set(HPET + 44, 0xfed00000, 8);
	close_all();
	return 0;
}

static void read_all(void)
{
	close_all();
	memset(&facts, 0xff, sizeof(facts));
	boot_acpi_read(&acpi, &facts);
}

static void everything(void **state)
{
	(void)state;
	read_all();
	assert_int_equal(facts.hpet, 0xfed00000);
	assert_int_equal(facts.pm1a_cnt, 0x404);
	assert_int_equal(facts.pm1b_cnt, 0);
	assert_int_equal(facts.pm_timer, 0x408);
	assert_int_equal(facts.smi_cmd, 0xb2);
	assert_int_equal(facts.acpi_enable, 0xa0);
	assert_int_equal(facts.reset_port, 0xcf9);
	assert_int_equal(facts.reset_value, 6);
	assert_int_equal(facts.has_s5, 1);
	assert_int_equal(facts.slp_typ_a, 5);
	assert_int_equal(facts.slp_typ_b, 1);
}

static void extended_fields_win(void **state)
{
	(void)state;
	set(FADT + 172, 1, 1);
	set(FADT + 176, 0x1804, 8);
	set(FADT + 184, 0, 1); /* memory space: not a port */
	set(FADT + 188, 0x1900, 8);
	set(FADT + 68, 0x504, 4);
	read_all();
	assert_int_equal(facts.pm1a_cnt, 0x1804);
	assert_int_equal(facts.pm1b_cnt, 0x504);
	set(FADT + 176, 0x11804, 8); /* no port has that number */
	set(FADT + 112, 0, 4);       /* the reset register is not supported */
	read_all();
	assert_int_equal(facts.pm1a_cnt, 0x404);
	assert_int_equal(facts.reset_port, 0);
}

static void short_fadt_has_no_extended_fields(void **state)
{
	(void)state;
	set(FADT + 172, 1, 1);
	set(FADT + 176, 0x1804, 8);
	close_all();
	header(FADT, "FACP", 116);
	boot_acpi_read(&acpi, &facts);
	assert_int_equal(facts.pm1a_cnt, 0x404);
	assert_int_equal(facts.reset_port, 0);
	assert_int_equal(facts.has_s5, 1);
}

static void s5_elsewhere(void **state)
{
	(void)state;
	memset(memory + DSDT + 60, 0, sizeof(s5));
	read_all();
	assert_int_equal(facts.has_s5, 0);
	/* In an SSDT, with the root prefix, at the very end; behind a mention that is none. */
	memcpy(memory + DSDT + 60, "_S5_", 4);
	memory[SSDT + 0x80 - sizeof(s5) - 1] = 0x08;
	memcpy(memory + SSDT + 0x80 - sizeof(s5), s5, sizeof(s5));
	memory[SSDT + 0x80 - sizeof(s5)] = '\\';
	read_all();
	assert_int_equal(facts.has_s5, 1);
	assert_int_equal(facts.slp_typ_a, 5);
	/* Not a package, one element, and a string as the first. */
	for (unsigned i = 0; i < 3; i++) {
		static const uint8_t at[] = {5, 7, 8}, value[] = {0x77, 1, 0x0d};

		memory[SSDT + 0x80 - sizeof(s5) + at[i]] = value[i];
		read_all();
		assert_int_equal(facts.has_s5, 0);
		memory[SSDT + 0x80 - sizeof(s5) + at[i]] = s5[at[i]];
	}
	read_all();
	assert_int_equal(facts.has_s5, 1);
}

static void damage_is_refused(void **state)
{
	static const unsigned places[] = {RSDP, XSDT + 40, FADT + 200, HPET + 50, DSDT + 100};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		setup(NULL);
		memory[places[i]] ^= 0x10;
		boot_acpi_read(&acpi, &facts);
		assert_int_equal(facts.hpet, i == 0 || i == 1 || i == 3 ? 0 : 0xfed00000);
		/* With a damaged XSDT the RSDT still leads to the FADT. */
		assert_int_equal(facts.pm1a_cnt, i == 0 || i == 2 ? 0 : 0x404);
		assert_int_equal(facts.has_s5, i == 1 || i == 3);
	}
	boot_acpi_read(&(struct boot_acpi){map, NULL, 0}, &facts);
	assert_int_equal(facts.pm1a_cnt, 0);
}

static void cpus_of_the_madt(void **state)
{
	static const uint8_t entries[] = {0, 8, 0, 4, 1, 0, 0, 0, /* APIC ID 4 */
		1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,              /* an I/O APIC */
		0, 8, 1, 6, 0, 0, 0, 0,                           /* 6, disabled */
		9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,  /* 256, by x2APIC */
		0, 1};                                            /* nonsense ends it */

	(void)state;
	memcpy(memory + MADT + 44, entries, sizeof(entries));
	close_all();
	assert_int_equal(boot_acpi_cpus(&acpi, cpus, 8), 3);
	assert_int_equal(cpus[0].apic_id, 4);
	assert_int_equal(cpus[0].flags, BOOT_CPU_ENABLED);
	assert_int_equal(cpus[1].apic_id, 6);
	assert_int_equal(cpus[1].flags, 0);
	assert_int_equal(cpus[2].apic_id, 256);
	assert_int_equal(cpus[2].flags, BOOT_CPU_ENABLED);
	assert_int_equal(boot_acpi_cpus(&acpi, cpus, 2), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(everything, setup),
		cmocka_unit_test_setup(extended_fields_win, setup),
		cmocka_unit_test_setup(short_fadt_has_no_extended_fields, setup),
		cmocka_unit_test_setup(s5_elsewhere, setup),
		cmocka_unit_test_setup(damage_is_refused, setup),
		cmocka_unit_test_setup(cpus_of_the_madt, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
