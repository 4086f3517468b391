/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables in a guest's memory, found as a kernel finds them, must disassemble with iasl
 * without a complaint, and what comes out must compile to the same again. Where iasl is not
 * installed nothing is tested.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "hv/vm/load.h"

#define RSDP       0xf0000u
#define HEADER     36u
#define TABLE_MAX  0x8000u
#define RAM_MAX    GIB(3) /* 1 GiB of it above 4 GiB */
#define CHUNKS_MAX (RAM_MAX / GUEST_CHUNK_SIZE)

static struct guest_mem mem;
static void *chunk[CHUNKS_MAX];
static char directory[] = "/tmp/bulkhead-iasl-XXXXXX";

/* A guest of that size; only the memory that the tables go to is there. */
static void make_guest(uint64_t ram, unsigned cpus)
{
	const struct load_cpus what = {cpus, 0x906ea, 0xbfebfbff};
	struct load_layout layout;
	uint64_t high;

	memset(&mem, 0, sizeof(mem));
	mem.chunk = chunk;
	guest_mem_layout_pc(&mem, ram);
	assert_int_equal(load_layout_init(&layout, &mem), OK);
	high = layout.acpi_base / GUEST_CHUNK_SIZE;
	chunk[0] = calloc(1, GUEST_CHUNK_SIZE);
	chunk[high] = calloc(1, GUEST_CHUNK_SIZE);
	assert_int_equal(load_tables(&layout, &mem, &what), OK);
}

static void free_guest(void)
{
	for (unsigned i = 0; i < CHUNKS_MAX; i++) {
		free(chunk[i]);
		chunk[i] = NULL;
	}
}

static uint64_t get(gpa_t gpa, unsigned bytes)
{
	uint64_t value = 0;

	assert_int_equal(guest_mem_read(&mem, gpa, &value, bytes), OK);
	return value;
}

/* What iasl prints, line by line; `good` decides about a line. */
static bool run(const char *command, bool (*good)(const char *line))
{
	char line[512];
	bool all = true;
	FILE *file = popen(command, "r");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (good(line))
			continue;
		print_message("%s", line);
		all = false;
	}
	return pclose(file) == 0 && all;
}

static bool no_complaint(const char *line)
{
	return !strstr(line, "arning") && !strstr(line, "rror") && !strstr(line, "nvalid");
}

static bool no_error_counted(const char *line)
{
	return !strstr(line, "Errors") || strstr(line, " 0 Errors, 0 Warnings");
}

static void read_file(const char *path, uint8_t *bytes, uint64_t size)
{
	FILE *file = fopen(path, "rb");

	assert_non_null(file);
	assert_int_equal(fread(bytes, 1, TABLE_MAX, file), size);
	fclose(file);
}

/* Who compiled it, and with that the sum, is the compiler's own; a FACS has no header. */
static void same_but_for_the_compiler(uint8_t *a, uint8_t *b, uint64_t size)
{
	if (memcmp(a, "FACS", 4)) {
		a[9] = b[9] = 0;
		memset(a + 28, 0, 8);
		memset(b + 28, 0, 8);
	}
	assert_memory_equal(a, b, size);
}

static void check_table(gpa_t gpa)
{
	static uint8_t bytes[TABLE_MAX], again[TABLE_MAX];
	char base[64], path[80], command[256];
	uint64_t size = get(gpa + 4, 4);
	FILE *file;

	assert_in_range(size, HEADER, TABLE_MAX);
	assert_int_equal(guest_mem_read(&mem, gpa, bytes, size), OK);
	snprintf(base, sizeof(base), "%s/%.4s", directory, (const char *)bytes);
	snprintf(path, sizeof(path), "%s.aml", base);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
	snprintf(command, sizeof(command), "iasl -d %s.aml 2>&1 && cat %s.dsl", base, base);
	assert_true(run(command, no_complaint));
	snprintf(command, sizeof(command), "iasl -p %s-again %s.dsl 2>&1", base, base);
	assert_true(run(command, no_error_counted));
	snprintf(path, sizeof(path), "%s-again.aml", base);
	read_file(path, again, size);
	same_but_for_the_compiler(bytes, again, size);
}

/* All that the root pointer leads to; returns how many. */
static unsigned check_all(void)
{
	gpa_t rsdt = get(RSDP + 16, 4), xsdt = get(RSDP + 24, 8), fadt = get(xsdt + HEADER, 8);
	unsigned count = (unsigned)(get(xsdt + 4, 4) - HEADER) / 8;

	assert_true(get(RSDP, 8) == 0x2052545020445352); /* "RSD PTR " */
	check_table(rsdt);
	check_table(xsdt);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(get(rsdt + HEADER + 4 * i, 4), get(xsdt + HEADER + 8 * i, 8));
		check_table(get(xsdt + HEADER + 8 * i, 8));
	}
	check_table(get(fadt + 36, 4));  /* FACS */
	check_table(get(fadt + 140, 8)); /* DSDT */
	return count + 4;
}

static void iasl_has_no_complaint(void **state)
{
	static const unsigned cpus[] = {1, 4, 8};
	static const uint64_t ram[] = {MIB(512), RAM_MAX};
	char command[64];

	(void)state;
	if (system("iasl -v > /dev/null 2>&1"))
		skip();
	assert_non_null(mkdtemp(directory));
	for (unsigned i = 0; i < ARRAY_SIZE(cpus) * ARRAY_SIZE(ram); i++) {
		make_guest(ram[i % 2], cpus[i / 2]);
		assert_int_equal(check_all(), 8);
		free_guest();
	}
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iasl_has_no_complaint),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
