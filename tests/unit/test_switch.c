/* SPDX-License-Identifier: Apache-2.0 */
/* What is flushed when a CPU changes its owner: where each vendor's CPUs say that they can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/virt/switch.h"
#include "arch/x86/virt/xsave.h"
#include "tests/fakes/fake.h"

FAKE_FAIL_IN_CMOCKA()

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	fake_reset();
	fake_msr_set(MSR_IA32_PRED_CMD, 0);
	fake_msr_set(MSR_IA32_FLUSH_CMD, 0);
	return 0;
}

static void flush(bool ibpb, bool l1d)
{
	fake_msr_set(MSR_IA32_PRED_CMD, 0);
	fake_msr_set(MSR_IA32_FLUSH_CMD, 0);
	fake_counts_clear();
	switch_flush();
	assert_int_equal(fake_msr_get(MSR_IA32_PRED_CMD), ibpb);
	assert_int_equal(fake_msr_get(MSR_IA32_FLUSH_CMD), l1d);
	assert_int_equal(fake.count[FAKE_WRMSR], ibpb + l1d);
}

static void intel(void **state)
{
	(void)state;
	fake_cpuid_skylake();
	flush(true, true); /* every bit of leaf 7 is set */
	fake_cpuid_set(7, 0, (struct cpuid_regs){.edx = CPUID_7_EDX_IBRS_IBPB});
	flush(true, false);
	fake_cpuid_set(7, 0, (struct cpuid_regs){0});
	flush(false, false);
}

/* AMD's leaf 7 knows nothing of it: the bit is in 8000_0008h. */
static void amd(void **state)
{
	(void)state;
	fake_cpuid_amd();
	flush(true, false);
	fake_cpuid_set(CPUID_LEAF_ADDRESS, 0, (struct cpuid_regs){0x3030, 0, 0, 0});
	flush(false, false);
	fake_cpuid_set(CPUID_LEAF_EXT_MAX, 0, (struct cpuid_regs){CPUID_LEAF_POWER, 0, 0, 0});
	flush(false, false);
}

/* ---- XSAVEC is shown where it does what it should ---- */

static void compact_works(void **state)
{
	struct cpuid_regs d = fake_cpuid_host(NULL, 0xd, 1);

	(void)state;
	fake_this->cr4 |= CR4_OSXSAVE;
	fake_this->xcr0 = XCR0_X87 | XCR0_SSE;
	assert_true(xsave_compact_works());
	assert_int_equal(fake_this->xcr0, XCR0_X87 | XCR0_SSE); /* as it was */
	for (unsigned i = 0; i < sizeof(fake_this->ymm); i++)
		assert_int_equal(fake_this->ymm[i], 0);
	fake_this->xsavec_low = 160; /* as Bochs 2.7 does it */
	assert_false(xsave_compact_works());
	fake_this->xsavec_low = 0;
	fake_this->xcr0_supported = XCR0_X87 | XCR0_SSE;
	assert_false(xsave_compact_works());
	fake_this->xcr0_supported = 0x2e7;
	d.eax &= ~CPUID_D_1_EAX_XSAVEC;
	fake_cpuid_set(0xd, 1, d);
	assert_false(xsave_compact_works());
	d.eax |= CPUID_D_1_EAX_XSAVEC;
	fake_cpuid_set(0xd, 1, d);
	fake_this->cr4 &= ~CR4_OSXSAVE;
	assert_false(xsave_compact_works());
}

/* A guest's keys and the firmware's supervisor state do not reach the next owner. */
static void owner_registers(void **state)
{
	(void)state;
	fake_cpuid_skylake();
	fake_msr_set(MSR_IA32_PKRS, 0x5555);
	fake_msr_set(MSR_IA32_XSS, 0x100);
	switch_owner(0x2e7, true);
	assert_int_equal(fake_msr_get(MSR_IA32_PKRS), 0);
	assert_int_equal(fake_msr_get(MSR_IA32_XSS), 0);
	fake_cpuid_set(7, 0, (struct cpuid_regs){0});
	fake_cpuid_set(0xd, 1, (struct cpuid_regs){0});
	fake_msr_set(MSR_IA32_PKRS, 0x5555);
	fake_msr_set(MSR_IA32_XSS, 0x100);
	switch_owner(0x2e7, true);
	assert_int_equal(fake_msr_get(MSR_IA32_PKRS), 0x5555); /* there is none to reset */
	assert_int_equal(fake_msr_get(MSR_IA32_XSS), 0x100);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(intel),
		TEST(amd),
		TEST(compact_works),
		TEST(owner_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
