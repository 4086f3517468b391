/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader's ELF reader: a well-formed program, every rule broken once, every length cut, and
 * random damage. Files lie in heap blocks of their exact size so that the sanitizer sees overreads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "boot/elf.h"

#define BASE  0xffffffff80000000ull
#define LIMIT MIB(1)

/* Offsets in an ELF64 file, System V ABI. */
enum {
	E_CLASS = 4,
	E_DATA = 5,
	E_TYPE = 16,
	E_MACHINE = 18,
	E_ENTRY = 24,
	E_PHOFF = 32,
	E_PHENTSIZE = 54,
	E_PHNUM = 56,
	PHDR = 72, /* not 64: nothing says that it follows the header */
	PHDR_SIZE = 56,
	P_TYPE = 0,
	P_FLAGS = 4,
	P_OFFSET = 8,
	P_VADDR = 16,
	P_FILESZ = 32,
	P_MEMSZ = 40,
	FILE_SIZE = 0x400,
};

static void put(uint8_t *file, unsigned at, uint64_t value, unsigned bytes)
{
	memcpy(file + at, &value, bytes);
}

static void put_segment(uint8_t *file, unsigned i, uint32_t type, uint32_t flags, uint64_t offset,
	uint64_t vaddr, uint64_t filesz, uint64_t memsz)
{
	unsigned at = PHDR + i * PHDR_SIZE;

	put(file, at + P_TYPE, type, 4);
	put(file, at + P_FLAGS, flags, 4);
	put(file, at + P_OFFSET, offset, 8);
	put(file, at + P_VADDR, vaddr, 8);
	put(file, at + P_FILESZ, filesz, 8);
	put(file, at + P_MEMSZ, memsz, 8);
}

/* Text at 0 (100h bytes), a note, data at 3010h (20h bytes, 2000h with bss). */
static uint8_t *make(void)
{
	uint8_t *file = calloc(1, FILE_SIZE);

	assert_non_null(file);
	memcpy(file, "\177ELF\2\1\1", 7);
	put(file, E_TYPE, 2, 2);
	put(file, E_MACHINE, 62, 2);
	put(file, E_ENTRY, BASE + 0x80, 8);
	put(file, E_PHOFF, PHDR, 8);
	put(file, E_PHENTSIZE, PHDR_SIZE, 2);
	put(file, E_PHNUM, 3, 2);
	put_segment(file, 0, 1, 5, 0x200, BASE, 0x100, 0x100);
	put_segment(file, 1, 4, 4, ~0ull, 7, ~0ull, 0); /* not loaded: not looked at */
	put_segment(file, 2, 1, 6, 0x300, BASE + 0x3010, 0x20, 0x2000);
	memset(file + 0x200, 0x11, 0x100);
	memset(file + 0x300, 0x22, 0x20);
	return file;
}

static void test_load(void **state)
{
	uint8_t *file = make(), *memory;
	struct boot_elf elf;
	(void)state;

	assert_int_equal(boot_elf_check(file, FILE_SIZE, BASE, LIMIT, &elf), OK);
	assert_int_equal(elf.entry, BASE + 0x80);
	assert_int_equal(elf.size, 0x6000);
	memory = malloc(elf.size);
	memset(memory, 0xee, elf.size);
	assert_int_equal(boot_elf_load(file, FILE_SIZE, BASE, memory, elf.size), OK);
	for (unsigned i = 0; i < elf.size; i++) {
		unsigned want = i < 0x100 ? 0x11 : i >= 0x3010 && i < 0x3030 ? 0x22 : 0;

		assert_int_equal(memory[i], want);
	}
	/* Too small a place is refused before anything is written. */
	memset(memory, 0xee, elf.size);
	assert_int_equal(boot_elf_load(file, FILE_SIZE, BASE, memory, 0x5000), E_RANGE);
	assert_int_equal(memory[0], 0xee);
	free(memory);
	free(file);
}

static void test_rules(void **state)
{
	static const struct {
		const char *what;
		unsigned at, bytes;
		uint64_t value;
		int want;
	} row[] = {
		{"magic", 0, 1, 'X', E_INVAL},
		{"class", E_CLASS, 1, 1, E_INVAL},
		{"byte order", E_DATA, 1, 2, E_INVAL},
		{"shared object", E_TYPE, 2, 3, E_INVAL},
		{"machine", E_MACHINE, 2, 3, E_INVAL},
		{"header size", E_PHENTSIZE, 2, 55, E_INVAL},
		{"headers beyond the file", E_PHOFF, 8, FILE_SIZE - 100, E_INVAL},
		{"headers wrap", E_PHOFF, 8, ~0ull - 100, E_INVAL},
		{"too many", E_PHNUM, 2, 0xffff, E_INVAL},
		{"none", E_PHNUM, 2, 0, E_RANGE},
		{"entry below", E_ENTRY, 8, 0x80, E_RANGE},
		{"entry behind the text", E_ENTRY, 8, BASE + 0x100, E_RANGE},
		{"entry in data", E_ENTRY, 8, BASE + 0x3010, E_RANGE},
		{"segment beyond the file", PHDR + P_OFFSET, 8, FILE_SIZE - 0xff, E_INVAL},
		{"segment wraps", PHDR + P_OFFSET, 8, ~0ull, E_INVAL},
		{"huge in the file", PHDR + P_FILESZ, 8, ~0ull, E_INVAL},
		{"more in the file than in memory", PHDR + P_MEMSZ, 8, 0xff, E_INVAL},
		{"below the base", PHDR + P_VADDR, 8, BASE - 1, E_RANGE},
		{"low segment", PHDR + P_VADDR, 8, 0x8000, E_RANGE},
		{"beyond the limit", PHDR + 2 * PHDR_SIZE + P_VADDR, 8, BASE + LIMIT - 0x1fff,
			E_RANGE},
		{"huge in memory", PHDR + 2 * PHDR_SIZE + P_MEMSZ, 8, ~0ull, E_RANGE},
		{"overlap", PHDR + 2 * PHDR_SIZE + P_VADDR, 8, BASE + 0xff, E_INVAL},
		{"touching is allowed", PHDR + 2 * PHDR_SIZE + P_VADDR, 8, BASE + 0x100, OK},
		{"up to the limit", PHDR + 2 * PHDR_SIZE + P_VADDR, 8, BASE + LIMIT - 0x2000, OK},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
		uint8_t *file = make();
		struct boot_elf elf;
		int got;

		put(file, row[i].at, row[i].value, row[i].bytes);
		got = boot_elf_check(file, FILE_SIZE, BASE, LIMIT, &elf);
		if (got != row[i].want)
			fail_msg("%s: %d instead of %d", row[i].what, got, row[i].want);
		free(file);
	}
}

/* A limit that is no page multiple must not be rounded up past itself. */
static void test_limit_rounding(void **state)
{
	uint8_t *file = make();
	struct boot_elf elf;
	(void)state;

	assert_int_equal(boot_elf_check(file, FILE_SIZE, BASE, 0x5800, &elf), E_RANGE);
	assert_int_equal(boot_elf_check(file, FILE_SIZE, BASE, 0x6000, &elf), OK);
	free(file);
}

static void test_cut(void **state)
{
	uint8_t *file = make();
	struct boot_elf elf;
	(void)state;

	for (unsigned size = 0; size < FILE_SIZE; size++) {
		uint8_t *cut = malloc(size ? size : 1);
		int want = size < 0x320 ? E_INVAL : OK;

		memcpy(cut, file, size);
		assert_int_equal(boot_elf_check(cut, size, BASE, LIMIT, &elf), want);
		free(cut);
	}
	free(file);
}

static void test_damage(void **state)
{
	static uint8_t memory[0x8000];
	(void)state;

	srand(3);
	for (unsigned round = 0; round < 20000; round++) {
		uint8_t *file = make();
		struct boot_elf elf;

		for (unsigned n = 1 + (unsigned)rand() % 4; n; n--)
			file[(unsigned)rand() % (PHDR + 3 * PHDR_SIZE)] = (uint8_t)rand();
		if (boot_elf_check(file, FILE_SIZE, BASE, sizeof(memory), &elf) == OK) {
			assert_true(elf.size <= sizeof(memory));
			assert_int_equal(
				boot_elf_load(file, FILE_SIZE, BASE, memory, elf.size), OK);
		}
		free(file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_limit_rounding),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
