/* SPDX-License-Identifier: Apache-2.0 */
/* Linux boot protocol: what ends up in memory, and every header field that can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/unit/test_load.h"

static int setup(void **state)
{
	*state = fx_create(MIB(64));
	fx_linux(*state);
	return 0;
}

static int teardown(void **state)
{
	fx_destroy(*state);
	return 0;
}

static void kernel_and_zero_page(void **state)
{
	struct load_fixture *f = *state;
	gpa_t bp;

	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.entry.mode, LOAD_MODE_LONG);
	assert_int_equal(f->result.entry.rip, FX_LINUX_BASE + 0x200);
	assert_int_equal(f->result.kernel_base, FX_LINUX_BASE);
	assert_int_equal(f->result.bytes_copied, FX_LINUX_SIZE);
	assert_memory_equal(fx_at(f, FX_LINUX_BASE), f->file + FX_LINUX_CODE, FX_LINUX_SIZE);
	assert_int_equal(fx_get(f, FX_LINUX_BASE + FX_LINUX_SIZE, 8), 0);

	bp = f->result.entry.rsi;
	assert_memory_equal(fx_at(f, bp + 0x202), "HdrS", 4);
	assert_int_equal(fx_get(f, bp + 0x206, 2), 0x20f);
	assert_int_equal(fx_get(f, bp + 0x210, 1), 0xff);
	assert_int_equal(fx_get(f, bp + 0x1fa, 2), 0xffff);
	assert_int_equal(fx_get(f, bp + 0x268, 4), 0x12345678); /* fields we do not know are kept */
	assert_int_equal(fx_get(f, bp + 0x26c, 4), 0);          /* code behind the header is not */
	assert_int_equal(fx_get(f, bp + 0x70, 8), f->layout.rsdp);
	assert_int_equal(fx_get(f, bp + 0x214, 4), FX_LINUX_BASE);
	assert_int_equal(fx_get(f, bp + 0x218, 8), 0); /* no initrd */
	assert_string_equal(fx_at(f, fx_get(f, bp + 0x228, 4)), "console=ttyS0");
	assert_int_equal(fx_get(f, bp, 8), 0x5003000000000000); /* mode 3, 80 columns */
	assert_int_equal(fx_get(f, bp + 0x0a, 2), 3);
	assert_int_equal(fx_get(f, bp + 0x0e, 4), 0x00100119); /* 25 rows, a VGA, 16 lines each */
	assert_int_equal(fx_get(f, bp + 0x12, 8), 0);
	assert_int_equal(fx_get(f, bp + 0x1ef, 1), 0); /* the sentinel */
}

static void e820_is_the_layout(void **state)
{
	struct load_fixture *f = *state;
	gpa_t bp, e;

	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	bp = f->result.entry.rsi;
	assert_int_equal(fx_get(f, bp + 0x1e8, 1), f->layout.map_count);
	for (unsigned i = 0; i < f->layout.map_count; i++) {
		e = bp + 0x2d0 + 20 * i;
		assert_int_equal(fx_get(f, e, 8), f->layout.map[i].base);
		assert_int_equal(fx_get(f, e + 8, 8), f->layout.map[i].size);
		assert_int_equal(fx_get(f, e + 16, 4), f->layout.map[i].type);
	}
	assert_int_equal(fx_get(f, bp + 0x2d0 + 20 * f->layout.map_count, 8), 0);
}

static void initrd_stays_off_init_size_and_below_the_limit(void **state)
{
	struct load_fixture *f = *state;
	uint8_t *initrd = malloc(MIB(40));

	memset(initrd, 0xa5, MIB(40));
	f->req.initrd = initrd;
	f->req.initrd_size = MIB(3);
	fx_put(f, 0x22c, MIB(48) - 1, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.initrd_base, MIB(44));
	assert_int_equal(fx_get(f, f->result.entry.rsi + 0x218, 4), MIB(44));
	assert_int_equal(fx_get(f, f->result.entry.rsi + 0x21c, 4), MIB(3));
	assert_int_equal(fx_get(f, MIB(47) - 1, 1), 0xa5);

	f->req.initrd_size = MIB(16); /* just fits between init_size and the limit */
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.initrd_base, MIB(32));
	fx_put(f, 0x22c, MIB(48) - 2, 4); /* one byte less: below the kernel there are 15 MiB */
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_RANGE);
	f->req.initrd_size = MIB(15);
	fx_put(f, 0x22c, MIB(32), 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.initrd_base, MIB(1));
	fx_put(f, 0x22c, UINT32_MAX, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.initrd_base, MIB(48));
	fx_put(f, 0x22c, 0, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_RANGE);
	free(initrd);
}

static void placement(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, 0x258, MIB(5), 8); /* a relocatable kernel goes to its alignment */
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.kernel_base, MIB(6));
	fx_put(f, 0x234, 0, 1);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.kernel_base, MIB(5));
	fx_put(f, 0x258, 0, 8);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.kernel_base, MIB(1));
	/* Up to the last usable byte, and not one more. */
	fx_put(f, 0x258, FX_LINUX_BASE, 8);
	fx_put(f, 0x260, f->layout.low_end - FX_LINUX_BASE, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	fx_put(f, 0x260, f->layout.low_end - FX_LINUX_BASE + 1, 4);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_RANGE);
}

static void old_setup_sects_means_four(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, 0x1f1, 0, 1);
	fx_pattern(f, 5 * 512, FX_LINUX_SIZE);
	f->req.kernel_size = 5 * 512 + FX_LINUX_SIZE;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_memory_equal(fx_at(f, FX_LINUX_BASE), f->file + 5 * 512, FX_LINUX_SIZE);
}

static void damaged_headers(void **state)
{
	static const struct fx_damage list[] = {
		{0x1fe, 0, 2, E_INVAL, "boot flag"},
		{0x206, 0x0201, 2, E_UNSUP, "boot protocol 2.01; 2.02 or later"},
		{0x206, 0x0000, 2, E_UNSUP, "boot protocol 0.00"},
		{0x211, 0x80, 1, E_UNSUP, "zImage"},
		{0x201, 0x61, 1, E_INVAL, "setup header ends at 0x263"},
		{0x201, 0x8f, 1, E_INVAL, "setup header ends at 0x291"},
		{0x201, 0xff, 1, E_INVAL, "setup header ends at 0x301"},
		{0x1f1, 3, 1, E_INVAL, "cut short"},
		{0x1f1, 255, 1, E_INVAL, "cut short"},
		{0x1f4, 0, 4, E_INVAL, "syssize"},
		{0x1f4, FX_LINUX_SIZE / 16 + 1, 4, E_INVAL,
			"cut short: 9728 bytes, its header says 9744"},
		{0x1f4, UINT32_MAX, 4, E_INVAL, "cut short"},
		{0x1f4, 0x20, 4, E_INVAL, "entry point"}, /* the code ends where the entry is */
		{0x230, 0, 4, E_INVAL, "kernel_alignment"},
		{0x230, 0x300000, 4, E_INVAL, "kernel_alignment"},
		{0x230, 0x80000000, 4, E_RANGE, "give it more memory"},
		{0x258, MIB(56), 8, E_RANGE, "give it more memory"},
		{0x258, GIB(4), 8, E_RANGE, "give it more memory"},
		{0x258, GIB(4) + 1, 8, E_RANGE, "not below 4 GiB"},
		{0x258, UINT64_MAX, 8, E_RANGE, "not below 4 GiB"},
		{0x258, UINT64_MAX - MIB(1), 8, E_RANGE, "not below 4 GiB"},
		{0x260, UINT32_MAX, 4, E_RANGE, "give it more memory"},
		{0x238, 12, 4, E_RANGE, "13 characters, this kernel takes 12"},
		{0x250, 0xdeadbeef, 8, OK, ""}, /* setup_data is ours to write */
		{0x201, 0x8e, 1, OK, ""},
	};
	struct load_fixture *f = *state;

	assert_int_equal(fx_damage_check(f, fx_linux, list, ARRAY_SIZE(list)), 0);
	fx_put(f, 0x250, 0xdeadbeef, 8);
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(fx_get(f, f->result.entry.rsi + 0x250, 8), 0);
}

/* syssize counts 16 bytes, and the file may end within the last of them. */
static void the_last_unit_may_be_begun(void **state)
{
	struct load_fixture *f = *state;

	memset(fx_at(f, FX_LINUX_BASE), 0xff, FX_LINUX_SIZE);
	f->req.kernel_size -= 15;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.bytes_copied, FX_LINUX_SIZE - 15);
	assert_memory_equal(fx_at(f, FX_LINUX_BASE), f->file + FX_LINUX_CODE, FX_LINUX_SIZE - 15);
	assert_int_equal(fx_get(f, FX_LINUX_BASE + FX_LINUX_SIZE - 15, 1), 0xff);
	f->req.kernel_size -= 1;
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), E_INVAL);
	assert_non_null(strstr(f->result.error, "cut short"));
	f->req.kernel_size += 16 + 5; /* what stands behind the code is not code */
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_int_equal(f->result.bytes_copied, FX_LINUX_SIZE);
}

static void init_size_smaller_than_the_file_counts_as_the_file(void **state)
{
	struct load_fixture *f = *state;
	static uint8_t initrd[4096];

	f->req.initrd = initrd;
	f->req.initrd_size = sizeof(initrd);
	fx_put(f, 0x260, 0, 4);
	fx_put(f, 0x22c, FX_LINUX_BASE + FX_LINUX_SIZE - 1, 4); /* no room above the code */
	assert_int_equal(load_guest(&f->req, &f->mem, &f->result), OK);
	assert_true(f->result.initrd_base + sizeof(initrd) <= FX_LINUX_BASE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kernel_and_zero_page, setup, teardown),
		cmocka_unit_test_setup_teardown(e820_is_the_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(
			initrd_stays_off_init_size_and_below_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(placement, setup, teardown),
		cmocka_unit_test_setup_teardown(old_setup_sects_means_four, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_unit_may_be_begun, setup, teardown),
		cmocka_unit_test_setup_teardown(
			init_size_smaller_than_the_file_counts_as_the_file, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
