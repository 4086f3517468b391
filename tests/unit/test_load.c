/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all kinds of image share: memory map, firmware tables, detection, initrd, command line,
 * entry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/unit/test_load.h"
#include "drivers/virt/acpi_tables.h"

static int setup(void **state)
{
	*state = fx_create(MIB(64));
	return 0;
}

static int teardown(void **state)
{
	fx_destroy(*state);
	return 0;
}

static int tables(struct load_fixture *f, unsigned cpus)
{
	return load_tables(&f->layout, &f->mem, &(struct load_cpus){cpus, 0x906ea, 0xbfebfbff});
}

static void entry_is(const struct load_layout *l, unsigned i, gpa_t base, gpa_t end, uint32_t type)
{
	assert_true(i < l->map_count);
	assert_int_equal(l->map[i].base, base);
	assert_int_equal(l->map[i].size, end - base);
	assert_int_equal(l->map[i].type, type);
}

static void map_of_a_small_guest(void **state)
{
	struct load_fixture *f = *state;
	const struct load_layout *l = &f->layout;

	assert_int_equal(l->map_count, 9);
	entry_is(l, 0, 0, 0x9fc00, LOAD_MEM_USABLE);
	entry_is(l, 1, 0x9fc00, 0xa0000, LOAD_MEM_RESERVED);
	entry_is(l, 2, 0xf0000, 0x100000, LOAD_MEM_RESERVED);
	entry_is(l, 3, MIB(1), MIB(64) - 0x10000, LOAD_MEM_USABLE);
	entry_is(l, 4, MIB(64) - 0x10000, MIB(64), LOAD_MEM_ACPI);
	entry_is(l, 5, 0xb0000000, 0xc0000000, LOAD_MEM_RESERVED);
	entry_is(l, 6, 0xfec00000, 0xfec01000, LOAD_MEM_RESERVED);
	entry_is(l, 7, 0xfed00000, 0xfed01000, LOAD_MEM_RESERVED);
	entry_is(l, 8, 0xfee00000, 0xfee01000, LOAD_MEM_RESERVED);
	assert_int_equal(l->low_end, MIB(64) - 0x10000);
}

static void map_of_large_and_odd_guests(void **state)
{
	struct guest_mem m = {0};
	struct load_layout l;

	(void)state;
	guest_mem_layout_pc(&m, GIB(6));
	assert_int_equal(load_layout_init(&l, &m), OK);
	assert_int_equal(l.map_count, 10);
	entry_is(&l, 4, GIB(2) - 0x10000, GIB(2), LOAD_MEM_ACPI);
	entry_is(&l, 9, GIB(4), GIB(8), LOAD_MEM_USABLE);

	/* Tables stay in one 64 KiB piece whatever the size: chunks need not be contiguous. */
	guest_mem_layout_pc(&m, MIB(10) + 0x3000);
	assert_int_equal(load_layout_init(&l, &m), OK);
	assert_int_equal(l.acpi_base, MIB(10) - 0x10000);
	assert_int_equal(l.acpi_size, 0x13000);

	guest_mem_layout_pc(&m, MIB(2) - PAGE_SIZE);
	assert_int_equal(load_layout_init(&l, &m), E_RANGE);
	guest_mem_layout_pc(&m, 0);
	assert_int_equal(load_layout_init(&l, &m), E_RANGE);
}

static void tables_are_where_a_kernel_looks(void **state)
{
	struct load_fixture *f = *state;
	gpa_t xsdt, mp;

	assert_int_equal(tables(f, 4), OK);
	assert_memory_equal(fx_at(f, f->layout.rsdp), "RSD PTR ", 8);
	assert_true(f->layout.rsdp >= 0xe0000 && f->layout.rsdp % 16 == 0);
	xsdt = fx_get(f, f->layout.rsdp + 24, 8);
	assert_true(xsdt >= f->layout.acpi_base);
	assert_true(xsdt < f->layout.acpi_base + f->layout.acpi_size);
	assert_memory_equal(fx_at(f, xsdt), "XSDT", 4);
	assert_memory_equal(fx_at(f, f->layout.mp_table), "_MP_", 4);
	mp = fx_get(f, f->layout.mp_table + 4, 4);
	assert_memory_equal(fx_at(f, mp), "PCMP", 4);
	assert_int_equal(fx_get(f, 0x40e, 2) << 4, 0x9fc00);
	assert_int_equal(fx_get(f, 0x413, 2), 639);
	assert_int_equal(fx_get(f, 0x9fc00, 1), 1);
}

static void tables_refuse_what_cannot_be(void **state)
{
	struct load_fixture *f = *state;

	assert_int_equal(tables(f, 0), E_INVAL);
	assert_int_equal(tables(f, LOAD_VCPUS_MAX + 1), E_INVAL);
	assert_int_equal(tables(f, LOAD_VCPUS_MAX), OK);
	f->layout.acpi_base = MIB(64);
	assert_int_equal(tables(f, 1), E_RANGE);
}

static void kinds_are_recognised(void **state)
{
	static void (*const build[])(struct load_fixture *) = {
		fx_linux, fx_mb, fx_elf, fx_mb_elf32};
	static const enum load_kind kind[] = {
		LOAD_LINUX, LOAD_MULTIBOOT, LOAD_ELF64, LOAD_MULTIBOOT};
	struct load_fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(build); i++) {
		memset(f->file, 0, FX_FILE_MAX);
		build[i](f);
		assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
		assert_int_equal(f->result.kind, kind[i]);
		assert_string_equal(f->result.error, "");
	}
}

static void other_files_are_refused(void **state)
{
	struct load_fixture *f = *state;

	f->req.kernel_size = FX_FILE_MAX;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
	assert_non_null(strstr(f->result.error, "neither"));
	f->req.kernel_size = 0;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
	/* ELF32 without a Multiboot header */
	memcpy(f->file, "\177ELF\1\1\1", 7);
	f->req.kernel_size = FX_FILE_MAX;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
}

/* Every prefix of a good image is either refused or loads; none reads past its end (ASan). */
static void files_cut_short(void **state)
{
	static void (*const build[])(struct load_fixture *) = {
		fx_linux, fx_mb, fx_elf, fx_mb_elf32};
	struct load_fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(build); i++) {
		memset(f->file, 0, FX_FILE_MAX);
		build[i](f);
		for (uint64_t size = 0, full = f->req.kernel_size; size < full;
			size += size < 0x700 ? 1 : 97) {
			void *cut = malloc(size ? size : 1);

			memcpy(cut, f->file, size);
			f->req.kernel = cut;
			f->req.kernel_size = size;
			assert_int_not_equal(load_guest(&f->req, &f->mem, &f->result), OK);
			assert_string_not_equal(f->result.error, "");
			free(cut);
		}
		f->req.kernel = f->file;
	}
}

static void initrd_goes_high_on_a_large_page(void **state)
{
	struct load_fixture *f = *state;
	uint64_t size = MIB(5) + 5;
	uint8_t *initrd = malloc(size);

	for (uint64_t i = 0; i < size; i++)
		initrd[i] = (uint8_t)(i * 13 + (i >> 11));
	f->req.initrd = initrd;
	f->req.initrd_size = size;
	fx_elf(f);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.initrd_base, MIB(58));
	for (uint64_t i = 0; i < size; i += 4093)
		assert_int_equal(fx_get(f, MIB(58) + i, 1), initrd[i]);
	assert_int_equal(fx_get(f, MIB(58) + size - 1, 1), initrd[size - 1]);
	assert_int_equal(fx_get(f, MIB(58) + size, 1), 0);
	assert_int_equal(f->result.bytes_copied, 0x1080 + size);
	free(initrd);
}

static void initrd_avoids_the_kernel(void **state)
{
	struct load_fixture *f = fx_create(MIB(8));
	uint8_t *initrd = calloc(1, MIB(4));

	(void)state;
	f->req.initrd = initrd;
	/* Usable: 1 - 2 MiB, 2 MiB + 1000h - 4 MiB - 1000h, 4 MiB + 2000h - 8 MiB - 64 KiB */
	fx_elf(f);
	f->req.initrd_size = MIB(3);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.initrd_base, MIB(8) - 0x10000 - MIB(3)); /* no room on 2 MiB */
	f->req.initrd_size = MIB(4) - 0x10000 - 0x2000;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.initrd_base, MIB(4) + 0x2000);
	f->req.initrd_size++;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_RANGE);
	assert_non_null(strstr(f->result.error, "no room for the initrd"));
	f->req.initrd_size = UINT64_MAX;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_RANGE);

	/* With the upper part taken by a segment it goes between, then below. */
	fx_elf_phdr(f, 1, FX_ELF_DATA, FX_ELF_DATA_BASE, 0x80, MIB(4) - 0xf000);
	f->req.initrd_size = MIB(1);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.initrd_base, MIB(3) - 0x1000);
	fx_elf_phdr(f, 1, FX_ELF_DATA, FX_ELF_CODE_BASE + 0x1000, 0x80, MIB(6) - 0x11000);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.initrd_base, MIB(1));
	f->req.initrd_size++;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_RANGE);
	free(initrd);
	fx_destroy(f);
}

static void long_mode_entry(void **state)
{
	struct load_fixture *f = *state;
	const struct load_entry *e = &f->result.entry;
	uint64_t pdpt, pd;

	fx_elf(f);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(e->mode, LOAD_MODE_LONG);
	assert_int_equal(e->cr0, 0x80000031);
	assert_int_equal(e->cr4, 0x20);
	assert_int_equal(e->efer, 0x500);
	assert_int_equal(e->gdt_limit, 31);
	assert_int_equal(fx_get(f, e->gdt_base, 8), 0);
	assert_int_equal(fx_get(f, e->gdt_base + e->cs, 8), LOAD_DESC_CODE64);
	assert_int_equal(fx_get(f, e->gdt_base + LOAD_DS(e->cs), 8), LOAD_DESC_DATA);
	assert_true(e->rsp % 16 == 0 && e->rsp > 0x10000 && e->rsp <= 0x20000);
	pdpt = fx_get(f, e->cr3, 8);
	assert_int_equal(pdpt & 0xfff, 0x23);
	assert_int_equal(fx_get(f, e->cr3 + 8, 8), 0);
	for (uint64_t va = 0; va < GIB(4); va += MIB(2)) {
		pd = fx_get(f, (pdpt & ~0xfffull) + (va >> 30) * 8, 8);
		assert_int_equal(pd & 0xfff, 0x23);
		assert_int_equal(fx_get(f, (pd & ~0xfffull) + (va >> 21 & 511) * 8, 8), va | 0xe3);
	}
	assert_int_equal(fx_get(f, (pdpt & ~0xfffull) + 4 * 8, 8), 0);
}

static void long_command_lines_are_refused_not_cut(void **state)
{
	struct load_fixture *f = *state;
	char line[LOAD_CMDLINE_MAX + 1];

	memset(line, 'x', sizeof(line));
	line[LOAD_CMDLINE_MAX - 1] = '\0';
	f->req.cmdline = line;
	fx_elf(f);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_string_equal(fx_at(f, fx_get(f, f->result.entry.rdi + 16, 8)), line);
	line[LOAD_CMDLINE_MAX - 1] = 'x';
	line[LOAD_CMDLINE_MAX] = '\0';
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_RANGE);
	assert_non_null(strstr(f->result.error, "4096 characters"));
	f->req.cmdline = NULL;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_string_equal(fx_at(f, fx_get(f, f->result.entry.rdi + 16, 8)), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(map_of_a_small_guest, setup, teardown),
		cmocka_unit_test(map_of_large_and_odd_guests),
		cmocka_unit_test_setup_teardown(tables_are_where_a_kernel_looks, setup, teardown),
		cmocka_unit_test_setup_teardown(tables_refuse_what_cannot_be, setup, teardown),
		cmocka_unit_test_setup_teardown(kinds_are_recognised, setup, teardown),
		cmocka_unit_test_setup_teardown(other_files_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(files_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(initrd_goes_high_on_a_large_page, setup, teardown),
		cmocka_unit_test(initrd_avoids_the_kernel),
		cmocka_unit_test_setup_teardown(long_mode_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(
			long_command_lines_are_refused_not_cut, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
