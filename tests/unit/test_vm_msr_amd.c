/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSRs of a guest that sees an AMD CPU: what Linux, the BSDs and firmware touch there without
 * asking, what those read and take, and #GP for everything else, Intel's own among it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "arch/x86/defs/msr.h"
#include "arch/x86/policy/msr_amd.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define UNTOUCHED 0x5a5a5a5a5a5a5a5aull

static struct vm_cpu *c;

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	vm_world_machine();
	fake_cpuid_amd(); /* the backend has been chosen; what counts here is what the guest sees */
	if (vm_world_create(1) != OK)
		fake_fail("no guest: %s", vmw.error);
	vm_world_load();
	fake_counts_clear();
	c = vmw.c;
	assert_int_equal(c->cpuid.vendor, CPUID_VENDOR_AMD);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

static uint64_t value_of(uint32_t msr)
{
	uint64_t value = UNTOUCHED;

	if (!vm_msr_read(c, msr, &value))
		fail_msg("RDMSR 0x%x: #GP", msr);
	return value;
}

static const struct {
	uint32_t first, last;
	uint64_t value, ignored;
} rows[] = {
	{0x1db, 0x1de, 0, 0},
	{0xc0010000, 0xc0010007, 0, UINT64_MAX},
	{0xc0010010, 0xc0010010, 0, 0},
	{0xc0010015, 0xc0010015, 1 << 24, 0x3040158},
	{0xc0010016, 0xc0010019, 0, 0},
	{0xc001001f, 0xc001001f, 0, UINT64_MAX},
	{0xc0010055, 0xc0010055, 0, 0},
	{0xc0010058, 0xc0010058, 0, 0},
	{0xc0010061, 0xc001006b, 0, 0},
	{0xc0010112, 0xc0010113, 0, 0},
	{0xc0010114, 0xc0010114, 0x18, 0x18},
	{0xc0010200, 0xc001020b, 0, UINT64_MAX},
	{0xc0011022, 0xc0011023, 0, UINT64_MAX},
	{0xc0011029, 0xc0011029, 2, 2},
	{0xc001102a, 0xc001102a, 0, UINT64_MAX},
	{0xc001102c, 0xc001102c, 0, UINT64_MAX},
};

/* The ones that both vendors have; the rest of their tests is test_vm_msr.c. */
static const struct {
	uint32_t first, last;
} common[] = {{0x0, 0x1}, {0x10, 0x10}, {0x1b, 0x1b}, {0x3b, 0x3b}, {0x8b, 0x8b}, {0xfe, 0xfe},
	{0x179, 0x17b}, {0x1a0, 0x1a0}, {0x1d9, 0x1d9}, {0x200, 0x20f}, {0x250, 0x250},
	{0x258, 0x259}, {0x268, 0x26f}, {0x277, 0x277}, {0x2ff, 0x2ff}, {0x400, 0x417},
	{0x6e0, 0x6e0}, {0xda0, 0xda0}, {0xc0000080, 0xc0000080}, {0xc0000103, 0xc0000103}};

static bool exists(uint32_t msr)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (msr >= rows[i].first && msr <= rows[i].last)
			return true;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(common); i++) {
		if (msr >= common[i].first && msr <= common[i].last)
			return true;
	}
	return false;
}

static void constants(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		for (uint32_t msr = rows[i].first; msr <= rows[i].last; msr++) {
			assert_int_equal(value_of(msr), rows[i].value);
			/* What was read can be written back, as read-modify-write does. */
			assert_true(vm_msr_write(c, msr, rows[i].value));
			for (unsigned bit = 0; bit < 64; bit++) {
				bool takes = vm_msr_write(c, msr, rows[i].value ^ BIT(bit));

				if (takes != !!(rows[i].ignored & BIT(bit)))
					fail_msg("MSR 0x%x bit %u", msr, bit);
				assert_int_equal(value_of(msr), rows[i].value);
			}
		}
	}
	assert_int_equal(fake.count[FAKE_WRMSR] + fake.count[FAKE_RDMSR], 0); /* not the CPU's */
}

static void exactly_these(void **state)
{
	static const uint32_t bases[] = {
		0, 0x40000000, 0xc0000000, 0xc0002000, 0xc0010000, 0xc0011000, 0xfffffe00};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		for (uint32_t n = 0; n < (i ? 0x400u : 0x2000u); n++) {
			uint64_t value;

			if (vm_msr_read(c, bases[i] + n, &value) != exists(bases[i] + n))
				fail_msg("MSR 0x%x", bases[i] + n);
			if (!exists(bases[i] + n) && bases[i] + n != MSR_PATCH_LOADER &&
				vm_msr_write(c, bases[i] + n, 0))
				fail_msg("MSR 0x%x can be written", bases[i] + n);
		}
	}
}

/* Intel's own; SVM's, and what would need hardware: speculation, microcode, SMM, P-states. */
static void dangerous_ones(void **state)
{
	static const uint32_t msrs[] = {MSR_IA32_PLATFORM_ID, MSR_IA32_FEATURE_CONTROL,
		MSR_IA32_BIOS_UPDT_TRIG, MSR_IA32_SPEC_CTRL, MSR_IA32_PRED_CMD, 0xc0010111,
		0xc0010117, 0xc0010118, 0xc0010131, MSR_OSVW_ID_LENGTH, MSR_AMD_LS_CFG, 0xc0011004,
		0xc0011005, 0xc00110e3, 0xc0000104, 0xc0002000, MSR_TOP_MEM, MSR_TOP_MEM2};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
		uint64_t value = UNTOUCHED;

		assert_false(vm_msr_read(c, msrs[i], &value));
		assert_false(vm_msr_write(c, msrs[i], 0));
		assert_int_equal(value, UNTOUCHED);
	}
}

static void microcode(void **state)
{
	uint64_t value;

	(void)state;
	assert_false(vm_msr_read(c, MSR_PATCH_LOADER, &value));
	assert_true(vm_msr_write(c, MSR_PATCH_LOADER, 0xffff888012345678));
	assert_int_equal(value_of(MSR_AMD_PATCH_LEVEL), 0);
	assert_int_equal(fake.count[FAKE_WRMSR], 0);
}

static void efer(void **state)
{
	const uint64_t long_mode = EFER_LME | EFER_LMA;

	(void)state;
	assert_int_equal(value_of(MSR_IA32_EFER), long_mode);
	assert_true(vm_msr_write(c, MSR_IA32_EFER, long_mode | EFER_FFXSR | EFER_TCE));
	assert_int_equal(value_of(MSR_IA32_EFER), long_mode | EFER_FFXSR | EFER_TCE);
	assert_false(vm_msr_write(c, MSR_IA32_EFER, long_mode | EFER_SVME));
	assert_false(vm_msr_write(c, MSR_IA32_EFER, long_mode | EFER_LMSLE));
	for (unsigned bit = 16; bit < 64; bit++)
		assert_false(vm_msr_write(c, MSR_IA32_EFER, long_mode | BIT(bit)));
	assert_int_equal(value_of(MSR_IA32_EFER), long_mode | EFER_FFXSR | EFER_TCE);
}

/* The same table does not exist for a guest on another CPU. */
static void only_on_amd(void **state)
{
	(void)state;
	for (unsigned vendor = CPUID_VENDOR_OTHER; vendor < CPUID_VENDOR_AMD; vendor++) {
		c->cpuid.vendor = vendor;
		for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
			uint64_t value;

			assert_false(vm_msr_read(c, rows[i].first, &value));
			assert_false(vm_msr_write(c, rows[i].first, rows[i].value));
		}
		assert_int_equal(value_of(MSR_IA32_FEATURE_CONTROL), FEATURE_CONTROL_LOCK);
		assert_true(value_of(MSR_IA32_MISC_ENABLE) & MISC_ENABLE_FAST_STRINGS);
		assert_false(vm_msr_write(c, MSR_PATCH_LOADER, 0));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(constants),
		TEST(exactly_these),
		TEST(dangerous_ones),
		TEST(microcode),
		TEST(efer),
		TEST(only_on_amd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
