/* SPDX-License-Identifier: Apache-2.0 */
/* ELF64 payloads: segments, information block, and every field that can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/unit/test_load.h"
#include "hv/abi/payload.h"

static int setup(void **state)
{
	*state = fx_create(MIB(16));
	fx_elf(*state);
	return 0;
}

static int teardown(void **state)
{
	fx_destroy(*state);
	return 0;
}

static void segments_and_bss(void **state)
{
	struct load_fixture *f = *state;

	memset(fx_at(f, MIB(4)), 0xff, 0x3000);
	memset(fx_at(f, FX_ELF_DATA_BASE), 0xff, 0x1000);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_memory_equal(fx_at(f, FX_ELF_CODE_BASE), f->file + FX_ELF_CODE, 0x1000);
	assert_memory_equal(fx_at(f, FX_ELF_DATA_BASE), f->file + FX_ELF_DATA, 0x80);
	for (unsigned i = 0x80; i < 0x3000; i++)
		assert_int_equal(fx_get(f, FX_ELF_DATA_BASE + i, 1), 0);
	assert_int_equal(fx_get(f, FX_ELF_DATA_BASE + 0x3000, 1), 0xff);
	assert_int_equal(f->result.bytes_copied, 0x1080);
	assert_int_equal(f->result.bytes_cleared, 0x3000 - 0x80);
	assert_int_equal(f->result.kernel_base, FX_ELF_CODE_BASE);
	assert_int_equal(f->result.entry.rip, FX_ELF_ENTRY);
	assert_int_equal(f->result.entry.mode, LOAD_MODE_LONG);
}

static void information_block(void **state)
{
	struct load_fixture *f = *state;
	const struct payload_info *info;
	const struct payload_mem *map;
	uint8_t initrd[100] = {1};

	f->req.initrd = initrd;
	f->req.initrd_size = sizeof(initrd);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	info = fx_at(f, f->result.entry.rdi);
	assert_int_equal(info->magic, PAYLOAD_MAGIC);
	assert_memory_equal(&info->magic, "BHPL", 4);
	assert_int_equal(info->version, PAYLOAD_VERSION);
	assert_int_equal(info->size, 64);
	assert_int_equal(info->cpu_count, 2);
	assert_string_equal(fx_at(f, info->cmdline), "console=ttyS0");
	assert_int_equal(info->module, f->result.initrd_base);
	assert_int_equal(info->module_size, 100);
	assert_int_equal(fx_get(f, info->module, 1), 1);
	assert_int_equal(info->rsdp, f->layout.rsdp);
	assert_int_equal(info->map_count, f->layout.map_count);
	map = fx_at(f, info->map);
	for (unsigned i = 0; i < info->map_count; i++) {
		assert_int_equal(map[i].base, f->layout.map[i].base);
		assert_int_equal(map[i].size, f->layout.map[i].size);
		assert_int_equal(map[i].type, f->layout.map[i].type);
	}
}

static void entry_linked_high_is_made_physical(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, 24, FX_ELF_ENTRY + FX_VIRT, 8);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.entry.rip, FX_ELF_ENTRY);
}

static void segments_below_640k_are_allowed(void **state)
{
	struct load_fixture *f = *state;

	fx_elf_phdr(f, 1, FX_ELF_DATA, 0x8000, 0x80, 0x8000); /* up to the loader's area */
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	fx_elf_phdr(f, 1, FX_ELF_DATA, 0x20000, 0x80, 0x7fc00); /* from its end to the EBDA */
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_memory_equal(fx_at(f, 0x20000), f->file + FX_ELF_DATA, 0x80);
}

static void damaged_headers(void **state)
{
	static const struct fx_damage list[] = {
		{5, 2, 1, E_UNSUP, "neither"}, /* big endian */
		{16, 3, 2, E_UNSUP, "type 3 is not an executable at fixed addresses"},
		{18, 183, 2, E_UNSUP, "machine 183"},
		{54, 32, 2, E_INVAL, "program headers of 32 bytes, not 56"},
		{56, 0, 2, E_INVAL, "0 program headers"},
		{56, 65, 2, E_INVAL, "65 program headers"},
		{56, 1, 2, OK, ""},
		{32, 0x100000, 8, E_INVAL, "program headers lie outside"},
		{32, UINT64_MAX - 8, 8, E_INVAL, "program headers lie outside"},
		{24, 0, 8, E_INVAL, "entry point 0x0 is in no loaded segment"},
		{24, FX_ELF_CODE_BASE + 0x1000, 8, E_INVAL, "is in no loaded segment"},
		{24, FX_ELF_DATA_BASE + 0x80, 8, E_INVAL, "is in no loaded segment"}, /* bss */
		{FX_ELF_PHDR(0) + 8, 0x100000, 8, E_INVAL, "segment 0 lies outside the file"},
		{FX_ELF_PHDR(0) + 8, UINT64_MAX, 8, E_INVAL, "segment 0 lies outside the file"},
		{FX_ELF_PHDR(0) + 32, UINT64_MAX, 8, E_INVAL, "segment 0 lies outside the file"},
		{FX_ELF_PHDR(1) + 40, 0x7f, 8, E_INVAL, "segment 1: more bytes in the file"},
		{FX_ELF_PHDR(1) + 40, UINT64_MAX, 8, E_RANGE, "segment 1"},
		{FX_ELF_PHDR(1) + 40, MIB(12), 8, E_RANGE, "does not fit: usable RAM"},
		{FX_ELF_PHDR(1) + 24, 0xa0000, 8, E_RANGE, "segment 1"},
		{FX_ELF_PHDR(1) + 24, 0x9f000, 8, E_RANGE, "segment 1"},
		{FX_ELF_PHDR(1) + 24, 0xf0000, 8, E_RANGE, "segment 1"},
		{FX_ELF_PHDR(1) + 24, 0xfe000, 8, E_RANGE, "segment 1"},
		{FX_ELF_PHDR(1) + 24, GIB(4), 8, E_RANGE, "segment 1"},
		{FX_ELF_PHDR(1) + 24, UINT64_MAX - 0x1000, 8, E_RANGE, "segment 1"},
		{FX_ELF_PHDR(1) + 24, MIB(16) - 0x10000, 8, E_RANGE, "segment 1"}, /* ACPI tables */
		{FX_ELF_PHDR(1) + 24, 0xd001, 8, E_RANGE, "overlaps the loader's area"},
		{FX_ELF_PHDR(1) + 24, 0x1ffff, 8, E_RANGE, "overlaps the loader's area"},
		{FX_ELF_PHDR(1) + 24, FX_ELF_CODE_BASE + 0xfff, 8, E_INVAL,
			"segments 0 and 1 overlap"},
		{FX_ELF_PHDR(1) + 24, FX_ELF_CODE_BASE - 0x2fff, 8, E_INVAL,
			"segments 0 and 1 overlap"},
		{FX_ELF_PHDR(1) + 24, FX_ELF_CODE_BASE + 0x1000, 8, OK, ""},
		{FX_ELF_PHDR(1) + 24, FX_ELF_CODE_BASE - 0x3000, 8, OK, ""},
	};

	assert_int_equal(fx_damage_check(*state, fx_elf, list, ARRAY_SIZE(list)), 0);
}

static void nothing_to_load(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, FX_ELF_PHDR(0), 4, 4);
	fx_put(f, FX_ELF_PHDR(1) + 40, 0, 8);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_INVAL);
	assert_non_null(strstr(f->result.error, "nothing to load"));
}

static void too_many_segments(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, 56, 17, 2);
	for (unsigned i = 0; i < 17; i++)
		fx_elf_phdr(f, i, FX_ELF_CODE, FX_ELF_CODE_BASE + i * 0x1000, 0x1000, 0x1000);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
	assert_non_null(strstr(f->result.error, "more than 16 segments"));
	fx_put(f, 56, 16, 2);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
}

static void entry_above_4g_is_not_mapped(void **state)
{
	struct load_fixture *f = *state;

	/*
	 * Pretend there is RAM above 4 GiB: chunk 8 of a 16 MiB guest is absent, but the check
	 * comes first.
	 */
	f->layout.map[f->layout.map_count++] = (struct load_e820){GIB(4), GIB(1), LOAD_MEM_USABLE};
	fx_elf_phdr(f, 0, FX_ELF_CODE, GIB(4), 0x1000, 0x1000);
	fx_put(f, 24, GIB(4), 8);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_RANGE);
	assert_non_null(strstr(f->result.error, "not below 4 GiB"));
	fx_elf_phdr(f, 1, FX_ELF_DATA, MIB(4), 0x80, 0x80);
	fx_put(f, 24, MIB(4), 8);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_RANGE);
	assert_non_null(strstr(f->result.error, "no RAM at 0x100000000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(segments_and_bss, setup, teardown),
		cmocka_unit_test_setup_teardown(information_block, setup, teardown),
		cmocka_unit_test_setup_teardown(
			entry_linked_high_is_made_physical, setup, teardown),
		cmocka_unit_test_setup_teardown(segments_below_640k_are_allowed, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_to_load, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(entry_above_4g_is_not_mapped, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
