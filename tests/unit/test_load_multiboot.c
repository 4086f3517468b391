/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot 1: address fields and ELF, the information structure, and every field that can be
 * wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/unit/test_load.h"

static int setup(void **state)
{
	*state = fx_create(MIB(16));
	fx_mb(*state);
	return 0;
}

static int teardown(void **state)
{
	fx_destroy(*state);
	return 0;
}

static void address_fields(void **state)
{
	struct load_fixture *f = *state;
	const struct load_entry *e = &f->result.entry;

	memset(fx_at(f, FX_MB_BASE), 0xff, 0x3000);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_memory_equal(fx_at(f, FX_MB_BASE), f->file + FX_MB_START, FX_MB_SIZE);
	for (unsigned i = 0; i < FX_MB_BSS; i++)
		assert_int_equal(fx_get(f, FX_MB_BASE + FX_MB_SIZE + i, 1), 0);
	assert_int_equal(fx_get(f, FX_MB_BASE + FX_MB_SIZE + FX_MB_BSS, 1), 0xff);
	assert_int_equal(e->mode, LOAD_MODE_FLAT32);
	assert_int_equal(e->rip, FX_MB_ENTRY);
	assert_int_equal(e->rax, 0x2badb002);
	assert_int_equal(e->cr0, 0x31);
	assert_int_equal(e->cr3 | e->cr4 | e->efer, 0);
	assert_int_equal(e->cs, 8);
	assert_int_equal(fx_get(f, e->gdt_base + 8, 8), LOAD_DESC_CODE32);
	assert_int_equal(fx_get(f, e->gdt_base + 0x10, 8), LOAD_DESC_DATA);
}

static void zero_ends_mean_the_whole_file_and_no_bss(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, FX_MB_HEADER + 20, 0, 8);
	f->req.kernel_size += 0x123;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.bytes_copied, FX_MB_SIZE + 0x123);
	assert_int_equal(f->result.bytes_cleared, 0);
}

static void elf32(void **state)
{
	struct load_fixture *f = *state;

	memset(f->file, 0, FX_FILE_MAX);
	fx_mb_elf32(f);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_memory_equal(fx_at(f, FX_MB_BASE), f->file + FX_ELF_CODE, FX_MB_SIZE);
	assert_int_equal(f->result.entry.rip, FX_MB_ENTRY);
	assert_int_equal(f->result.entry.mode, LOAD_MODE_FLAT32);
	assert_int_equal(f->result.bytes_cleared, FX_MB_BSS);
}

static void information(void **state)
{
	struct load_fixture *f = *state;
	static uint8_t initrd[5000];
	gpa_t info, mod, e, at;

	f->req.initrd = initrd;
	f->req.initrd_size = sizeof(initrd);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	info = f->result.entry.rbx;
	assert_int_equal(fx_get(f, info, 4), 0x124d);
	assert_int_equal(fx_get(f, info + 4, 4), 639);
	assert_int_equal(fx_get(f, info + 8, 4), 15 * 1024 - 64);
	assert_string_equal(fx_at(f, fx_get(f, info + 16, 4)), "web console=ttyS0");
	assert_int_equal(fx_get(f, info + 20, 4), 1);
	mod = fx_get(f, info + 24, 4);
	assert_int_equal(fx_get(f, mod, 4), f->result.initrd_base);
	assert_int_equal(fx_get(f, mod + 4, 4), f->result.initrd_base + 5000);
	assert_int_equal(f->result.initrd_base % PAGE_SIZE, 0);
	assert_string_equal(fx_at(f, fx_get(f, mod + 8, 4)), "initrd");
	assert_string_equal(fx_at(f, fx_get(f, info + 64, 4)), "Bulkhead");
	assert_int_equal(fx_get(f, info + 44, 4), 24 * f->layout.map_count);
	assert_int_equal(fx_get(f, info + 72, 8) | fx_get(f, info + 80, 8), 0); /* no VBE */
	assert_int_equal(fx_get(f, info + 88, 8), 0xb8000);
	assert_int_equal(fx_get(f, info + 96, 4), 160);
	assert_int_equal(fx_get(f, info + 100, 4), 80);
	assert_int_equal(fx_get(f, info + 104, 4), 25);
	assert_int_equal(fx_get(f, info + 108, 2), 0x0210); /* 16 bits, text */
	assert_int_equal(fx_get(f, info + 110, 6), 0);
	e = fx_get(f, info + 48, 4);
	for (unsigned i = 0; i < f->layout.map_count; i++, e += at + 4) {
		at = fx_get(f, e, 4);
		assert_int_equal(at, 20);
		assert_int_equal(fx_get(f, e + 4, 8), f->layout.map[i].base);
		assert_int_equal(fx_get(f, e + 12, 8), f->layout.map[i].size);
		assert_int_equal(fx_get(f, e + 20, 4), f->layout.map[i].type);
	}
}

static void names_without_arguments(void **state)
{
	struct load_fixture *f = *state;

	f->req.cmdline = "";
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_string_equal(fx_at(f, fx_get(f, f->result.entry.rbx + 16, 4)), "web");
	f->req.name = NULL;
	f->req.cmdline = "a b";
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_string_equal(fx_at(f, fx_get(f, f->result.entry.rbx + 16, 4)), "a b");
	assert_int_equal(fx_get(f, f->result.entry.rbx + 20, 8), 0); /* no module */
}

/* The magic alone is no header: the sum must be right, and it must lie in the first 8 KiB. */
static void headers_are_searched(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, 0x200, 0x1badb002, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	fx_put(f, FX_MB_HEADER + 8, 0, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
	f->req.kernel_size = FX_FILE_MAX;
	memset(f->file, 0, FX_FILE_MAX);
	fx_mb_flags(f, 8192 - 12, 0);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_INVAL);
	assert_non_null(strstr(f->result.error, "not an ELF file"));
	memset(f->file, 0, FX_FILE_MAX);
	fx_mb_flags(f, 8192 - 8, 0);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
	memset(f->file, 0, FX_FILE_MAX);
	fx_mb_flags(f, 0x402, 0);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
}

static void flags_that_must_be_known(void **state)
{
	struct load_fixture *f = *state;

	fx_mb_flags(f, FX_MB_HEADER, 0x18003);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
	assert_non_null(strstr(f->result.error, "unknown requirements 0x8000"));
	fx_mb_flags(f, FX_MB_HEADER, 0xffff0000);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
}

/* The mode is a preference: text for all that can be asked for. */
static void video_modes(void **state)
{
	struct load_fixture *f = *state;

	fx_mb_flags(f, FX_MB_HEADER, 0x10007);
	for (unsigned type = 0; type < 2; type++) {
		fx_put(f, FX_MB_HEADER + 32, type, 4);
		fx_put(f, FX_MB_HEADER + 36, 132, 4);
		fx_put(f, FX_MB_HEADER + 40, 50, 4);
		fx_put(f, FX_MB_HEADER + 44, 32, 4);
		assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
		assert_int_equal(fx_get(f, f->result.entry.rbx + 88, 8), 0xb8000);
		assert_int_equal(fx_get(f, f->result.entry.rbx + 100, 4), 80);
	}
	fx_put(f, FX_MB_HEADER + 32, 2, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
	assert_non_null(strstr(f->result.error, "video mode of unknown type 0x2"));
	fx_mb_flags(f, FX_MB_HEADER, 0x10003); /* not asked for: not read */
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);

	memset(f->file, 0, FX_FILE_MAX); /* an ELF file has the fields at the same place */
	fx_mb_elf32(f);
	fx_mb_flags(f, FX_ELF_CODE + 8, 7);
	fx_put(f, FX_ELF_CODE + 8 + 32, 1, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	fx_put(f, FX_ELF_CODE + 8 + 32, UINT32_MAX, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_UNSUP);
}

/* The fields that are asked for are in the file, no others need to be. */
static void headers_at_the_end_of_the_file(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, FX_MB_HEADER + 16, FX_MB_BASE, 4);
	fx_put(f, FX_MB_HEADER + 20, 0, 8);
	f->req.kernel_size = FX_MB_HEADER + 32;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	f->req.kernel_size--;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_INVAL);
	assert_non_null(strstr(f->result.error, "ends in the header"));
	fx_mb_flags(f, FX_MB_HEADER, 0x10007);
	fx_put(f, FX_MB_HEADER + 32, 1, 4);
	f->req.kernel_size = FX_MB_HEADER + 48;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	f->req.kernel_size--;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_INVAL);
	assert_non_null(strstr(f->result.error, "ends in the header"));
}

static void damaged_address_fields(void **state)
{
	static const struct fx_damage list[] = {
		{FX_MB_HEADER + 12, FX_MB_BASE - 1, 4, E_INVAL, "do not fit a header"},
		{FX_MB_HEADER + 12, FX_MB_BASE + FX_MB_HEADER + 1, 4, E_INVAL,
			"do not fit a header"},
		{FX_MB_HEADER + 16, UINT32_MAX, 4, E_INVAL, "do not fit a header"},
		{FX_MB_HEADER + 16, 0, 4, E_INVAL, "do not fit a header"},
		{FX_MB_HEADER + 20, FX_MB_BASE, 4, E_INVAL, "load_end_addr"},
		{FX_MB_HEADER + 20, 1, 4, E_INVAL, "load_end_addr"},
		{FX_MB_HEADER + 20, FX_MB_BASE + FX_MB_SIZE + 1, 4, E_INVAL, "outside the file"},
		{FX_MB_HEADER + 24, FX_MB_BASE + FX_MB_SIZE - 1, 4, E_INVAL, "bss_end_addr"},
		{FX_MB_HEADER + 24, FX_MB_BASE + FX_MB_SIZE, 4, OK, ""},
		{FX_MB_HEADER + 24, UINT32_MAX, 4, E_RANGE, "does not fit"},
		{FX_MB_HEADER + 24, MIB(16), 4, E_RANGE, "does not fit"},
		{FX_MB_HEADER + 28, FX_MB_BASE - 1, 4, E_INVAL, "entry point"},
		{FX_MB_HEADER + 28, FX_MB_BASE + FX_MB_SIZE, 4, E_INVAL, "entry point"},
		{FX_MB_HEADER + 28, UINT32_MAX, 4, E_INVAL, "entry point"},
	};

	assert_int_equal(fx_damage_check(*state, fx_mb, list, ARRAY_SIZE(list)), 0);
}

static void damaged_elf32(void **state)
{
	static const struct fx_damage list[] = {
		{4, 3, 1, E_INVAL, "class 3"},
		{18, 62, 2, E_UNSUP, "machine 62"},
		{42, 56, 2, E_INVAL, "program headers of 56 bytes, not 32"},
		{28, UINT32_MAX, 4, E_INVAL, "program headers lie outside"},
		{56, UINT32_MAX, 4, E_INVAL, "segment 0 lies outside"},
		{64, UINT32_MAX, 4, E_RANGE, "segment 0"},
		{72, UINT32_MAX, 4, E_RANGE, "segment 0"},
	};
	struct load_fixture *f = *state;

	assert_int_equal(fx_damage_check(f, fx_mb_elf32, list, ARRAY_SIZE(list)), 0);
}

static gpa_t vector(struct load_fixture *f, unsigned number)
{
	return fx_get(f, number * 4 + 2, 2) * 16 + fx_get(f, number * 4, 2);
}

/* Real-mode vectors as after a BIOS: all of them return, those of the PICs end their interrupt. */
static void bios(void **state)
{
	static const uint8_t irq_9[] = {0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf};
	struct load_fixture *f = *state;

	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	for (unsigned i = 0; i < 256; i++)
		assert_true(vector(f, i) > 0xf0000 && vector(f, i) < 0xffff0);
	assert_int_equal(fx_get(f, vector(f, 0x10) + 7, 2), 0x86b4); /* mov ah, 86h */
	assert_int_equal(vector(f, 0xff), vector(f, 0x10));
	assert_int_equal(fx_get(f, vector(f, 0x02), 1), 0xcf);
	assert_int_equal(fx_get(f, vector(f, 0x1c), 1), 0xcf);
	assert_memory_equal(fx_at(f, vector(f, 0x71)), irq_9, sizeof(irq_9));
	assert_int_equal(vector(f, 0x77), vector(f, 0x70));
	assert_int_equal(vector(f, 0x78), vector(f, 0x10));
	assert_int_equal(vector(f, 0x0f), vector(f, 0x09));
	assert_int_not_equal(vector(f, 0x08), vector(f, 0x09));
	assert_int_equal(fx_get(f, vector(f, 0x08) + 9, 2), 0x46c);
	assert_int_equal(fx_get(f, 0xffff0, 4), 0x64e6feb0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(address_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(
			zero_ends_mean_the_whole_file_and_no_bss, setup, teardown),
		cmocka_unit_test_setup_teardown(elf32, setup, teardown),
		cmocka_unit_test_setup_teardown(information, setup, teardown),
		cmocka_unit_test_setup_teardown(names_without_arguments, setup, teardown),
		cmocka_unit_test_setup_teardown(headers_are_searched, setup, teardown),
		cmocka_unit_test_setup_teardown(flags_that_must_be_known, setup, teardown),
		cmocka_unit_test_setup_teardown(video_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(headers_at_the_end_of_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_address_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_elf32, setup, teardown),
		cmocka_unit_test_setup_teardown(bios, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
