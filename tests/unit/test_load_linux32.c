/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux kernels without a 64-bit entry, and older versions of the boot protocol, each without the
 * fields that later ones brought.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/unit/test_load.h"

static int setup(void **state)
{
	*state = fx_create(MIB(64));
	fx_linux32(*state);
	return 0;
}

static int teardown(void **state)
{
	fx_destroy(*state);
	return 0;
}

/* A version of the protocol with a header that ends there; rubbish where it has no fields. */
static void old_header(struct load_fixture *f, unsigned version, unsigned end)
{
	fx_linux32(f);
	fx_put(f, 0x206, version, 2);
	fx_put(f, 0x201, end - 0x202, 1);
	fx_put(f, 0x214, MIB(1), 4);
	fx_put(f, 0x234, 0, 1);
	for (unsigned i = end; i < 0x290; i++)
		f->file[i] = (uint8_t)(0x91 + i);
}

static int load(struct load_fixture *f)
{
	return load_guest(&f->req, &f->mem, &f->result);
}

static void entry(void **state)
{
	struct load_fixture *f = *state;
	const struct load_entry *e = &f->result.entry;

	assert_int_equal(load(f), OK);
	assert_int_equal(e->mode, LOAD_MODE_FLAT32);
	assert_int_equal(e->rip, FX_LINUX_BASE);
	assert_int_equal(f->result.kernel_base, FX_LINUX_BASE);
	assert_int_equal(e->rax | e->rbx | e->rdi, 0);
	assert_int_equal(e->cr0, 0x31);
	assert_int_equal(e->cr3 | e->cr4 | e->efer, 0);
	assert_int_equal(e->cs, 0x10);
	assert_int_equal(fx_get(f, e->gdt_base + 0x10, 8), LOAD_DESC_CODE32);
	assert_int_equal(fx_get(f, e->gdt_base + 0x18, 8), LOAD_DESC_DATA);
	assert_memory_equal(fx_at(f, FX_LINUX_BASE), f->file + FX_LINUX_CODE, FX_LINUX_SIZE);
	assert_memory_equal(fx_at(f, e->rsi + 0x202), "HdrS", 4);
	assert_int_equal(fx_get(f, e->rsi + 0x214, 4), FX_LINUX_BASE);
	assert_string_equal(fx_at(f, fx_get(f, e->rsi + 0x228, 4)), "console=ttyS0");
	assert_int_equal(fx_get(f, e->rsi + 0x1e8, 1), f->layout.map_count);
}

/* Before 2.12 there is no xloadflags: the 64-bit entry cannot be told of. */
static void the_64_bit_entry_is_asked_for_by_version(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, 0x236, 1, 2);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.entry.mode, LOAD_MODE_LONG);
	assert_int_equal(f->result.entry.rip, FX_LINUX_BASE + 0x200);
	fx_put(f, 0x206, 0x20c, 2);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.entry.mode, LOAD_MODE_LONG);
	fx_put(f, 0x206, 0x20b, 2);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.entry.mode, LOAD_MODE_FLAT32);
	assert_int_equal(f->result.entry.rip, FX_LINUX_BASE);
}

static void where_it_goes(void **state)
{
	struct load_fixture *f = *state;

	fx_put(f, 0x258, MIB(5), 8); /* relocatable: to its alignment */
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.entry.rip, MIB(6));
	fx_put(f, 0x234, 0,
		1); /* not relocatable: there and nowhere else, whatever the alignment */
	fx_put(f, 0x230, 0, 4);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.entry.rip, MIB(5));
	fx_put(f, 0x258, 0, 8);
	fx_put(f, 0x214, MIB(3), 4);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.entry.rip, MIB(3));
	fx_put(f, 0x214, 0, 4);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.entry.rip, MIB(1));
	fx_put(f, 0x214, UINT32_MAX, 4);
	assert_int_equal(load(f), E_RANGE);
	assert_non_null(strstr(f->result.error, "give it more memory"));
	fx_put(f, 0x234, 1, 1); /* 2.05 has no preferred address: the first aligned one */
	fx_put(f, 0x230, MIB(4), 4);
	fx_put(f, 0x258, MIB(32), 8);
	fx_put(f, 0x206, 0x205, 2);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.entry.rip, MIB(4));
	fx_put(f, 0x206, 0x204, 2); /* and 2.04 is not relocatable */
	fx_put(f, 0x214, MIB(1), 4);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.entry.rip, MIB(1));
}

/* memdisk's and ipxe.lkrn's are of 2.03 and 2.07. */
static void short_headers(void **state)
{
	static const struct {
		uint16_t version, end;
		int status;
	} list[] = {
		{0x202, 0x22b, E_INVAL},
		{0x202, 0x22c, OK},
		{0x203, 0x22f, E_INVAL},
		{0x203, 0x230, OK},
		{0x203, 0x240, OK},
		{0x204, 0x230, OK},
		{0x205, 0x234, E_INVAL},
		{0x205, 0x235, OK},
		{0x206, 0x23b, E_INVAL},
		{0x206, 0x23c, OK},
		{0x207, 0x248, OK},
		{0x209, 0x258, OK},
		{0x20a, 0x263, E_INVAL},
		{0x20a, 0x264, OK},
		{0x20c, 0x268, OK},
	};
	struct load_fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
		old_header(f, list[i].version, list[i].end);
		f->result.entry.rip = 0;
		if (load(f) != list[i].status)
			fail_msg("%x with a header up to 0x%x: \"%s\"", list[i].version,
				list[i].end, f->result.error);
		if (list[i].status == OK)
			assert_int_equal(f->result.entry.mode, LOAD_MODE_FLAT32);
		else
			assert_non_null(strstr(f->result.error, "setup header ends at"));
	}
}

/* Not one byte behind the header is taken into the zero page. */
static void rubbish_stays_out(void **state)
{
	struct load_fixture *f = *state;

	old_header(f, 0x203, 0x240);
	fx_put(f, 0x230, 0x1122334455667788, 8);
	assert_int_equal(load(f), OK);
	assert_int_equal(fx_get(f, f->result.entry.rsi + 0x230, 8), 0x1122334455667788);
	for (unsigned i = 0x240; i < 0x290; i++)
		assert_int_equal(fx_get(f, f->result.entry.rsi + i, 1), 0);
	/* Before 2.09 there is no setup_data to write to. */
	old_header(f, 0x208, 0x258);
	fx_put(f, 0x250, 0x1122334455667788, 8);
	assert_int_equal(load(f), OK);
	assert_int_equal(fx_get(f, f->result.entry.rsi + 0x250, 8), 0x1122334455667788);
	fx_put(f, 0x206, 0x209, 2);
	assert_int_equal(load(f), OK);
	assert_int_equal(fx_get(f, f->result.entry.rsi + 0x250, 8), 0);
}

static void initrd_limit(void **state)
{
	static uint8_t initrd[4096];
	struct load_fixture *f = *state;

	f->req.initrd = initrd;
	f->req.initrd_size = sizeof(initrd);
	fx_put(f, 0x22c, MIB(40) - 1, 4);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.initrd_base, MIB(38));
	assert_int_equal(fx_get(f, f->result.entry.rsi + 0x218, 4), MIB(38));
	assert_int_equal(fx_get(f, f->result.entry.rsi + 0x21c, 4), sizeof(initrd));
	old_header(f, 0x203, 0x230);
	fx_put(f, 0x22c, MIB(40) - 1, 4);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.initrd_base, MIB(38));
}

static void initrd_limit_of_2_02(void **state)
{
	static uint8_t initrd[4096];
	struct load_fixture *f = fx_create(MIB(1024));

	(void)state;
	old_header(f, 0x202, 0x22c);
	f->req.initrd = initrd;
	f->req.initrd_size = sizeof(initrd);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.initrd_base, 0x38000000 - MIB(2));
	fx_destroy(f);
}

/* Before 2.06 the command line has at most 255 characters. */
static void command_line(void **state)
{
	struct load_fixture *f = *state;
	char text[258];

	memset(text, 'x', sizeof(text));
	text[255] = 0;
	f->req.cmdline = text;
	old_header(f, 0x205, 0x248);
	fx_put(f, 0x238, 2047, 4);
	assert_int_equal(load(f), OK);
	text[255] = 'x';
	text[256] = 0;
	assert_int_equal(load(f), E_RANGE);
	assert_non_null(strstr(f->result.error, "256 characters, this kernel takes 255"));
	old_header(f, 0x206, 0x248);
	fx_put(f, 0x238, 2047, 4);
	assert_int_equal(load(f), OK);
}

/* Before 2.04 syssize has 16 bits and is not believed: the code is the rest of the file. */
static void code_size(void **state)
{
	struct load_fixture *f = *state;

	old_header(f, 0x203, 0x230);
	fx_put(f, 0x1f4, 0, 4);
	f->req.kernel_size -= 3;
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.bytes_copied, FX_LINUX_SIZE - 3);
	fx_put(f, 0x1f4, UINT32_MAX, 4);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.bytes_copied, FX_LINUX_SIZE - 3);
	f->req.kernel_size = FX_LINUX_CODE;
	assert_int_equal(load(f), E_INVAL);
	assert_non_null(strstr(f->result.error, "cut short"));
	f->req.kernel_size = FX_LINUX_CODE - 1;
	assert_int_equal(load(f), E_INVAL);
	old_header(f, 0x204, 0x230);
	fx_put(f, 0x1f4, 0, 4);
	assert_int_equal(load(f), E_INVAL);
	assert_non_null(strstr(f->result.error, "syssize is 0"));
}

/* Before 2.10 nothing says what a kernel needs to unpack itself: three times its size. */
static void room_to_unpack(void **state)
{
	static uint8_t initrd[4096];
	struct load_fixture *f = *state;

	old_header(f, 0x203, 0x268);
	fx_put(f, 0x260, UINT32_MAX, 4); /* not read */
	fx_put(f, 0x22c, MIB(1) + 3 * FX_LINUX_SIZE + sizeof(initrd) - 1, 4);
	f->req.initrd = initrd;
	f->req.initrd_size = sizeof(initrd);
	assert_int_equal(load(f), OK);
	assert_int_equal(f->result.initrd_base, MIB(1) + 3 * FX_LINUX_SIZE);
	fx_put(f, 0x22c, MIB(1) + 3 * FX_LINUX_SIZE + sizeof(initrd) - 2, 4);
	assert_int_equal(load(f), E_RANGE);
	assert_non_null(strstr(f->result.error, "no room for the initrd"));
}

static void refused(void **state)
{
	static const struct fx_damage list[] = {
		{0x211, 0, 1, E_UNSUP, "zImage"},
		{0x206, 0x0201, 2, E_UNSUP, "boot protocol 2.01; 2.02 or later"},
		{0x206, 0x0000, 2, E_UNSUP, "boot protocol 0.00; 2.02 or later"},
		{0x230, 0x300000, 4, E_INVAL, "kernel_alignment"},
		{0x230, 0, 4, E_INVAL, "kernel_alignment"},
		{0x260, UINT32_MAX, 4, E_RANGE, "give it more memory"},
		{0x258, GIB(4) + 1, 8, E_RANGE, "not below 4 GiB"},
		{0x236, 0x1e, 2, OK, ""},
	};

	assert_int_equal(fx_damage_check(*state, fx_linux32, list, ARRAY_SIZE(list)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(entry, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_64_bit_entry_is_asked_for_by_version, setup, teardown),
		cmocka_unit_test_setup_teardown(where_it_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(short_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(rubbish_stays_out, setup, teardown),
		cmocka_unit_test_setup_teardown(initrd_limit, setup, teardown),
		cmocka_unit_test(initrd_limit_of_2_02),
		cmocka_unit_test_setup_teardown(command_line, setup, teardown),
		cmocka_unit_test_setup_teardown(code_size, setup, teardown),
		cmocka_unit_test_setup_teardown(room_to_unpack, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
