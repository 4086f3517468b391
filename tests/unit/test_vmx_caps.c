/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x: what a CPU must be able to do, the sentence when it cannot, control bits, VMXON and its
 * bitmaps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/mm/memory.h"
#include "tests/fakes/fake.h"

FAKE_FAIL_IN_CMOCKA()

static struct virt_caps caps;
static const char *reason;

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	fake_reset();
	memset(&vmx_config, 0, sizeof(vmx_config));
	memset(&caps, 0, sizeof(caps));
	reason = NULL;
	return 0;
}

static void refused(const char *part)
{
	assert_int_equal(vmx_cpu_check(&caps, &reason), E_UNSUP);
	assert_non_null(reason);
	if (!strstr(reason, part))
		fail_msg("\"%s\" does not say \"%s\"", reason, part);
	assert_int_equal(vmx_config.revision, 0);
}

static void change_high(uint32_t msr, uint32_t clear)
{
	fake_msr_set(msr, fake_msr_get(msr) & ~((uint64_t)clear << 32));
}

static void skylake_is_accepted(void **state)
{
	(void)state;
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_true(caps.page_2m && caps.page_1g && caps.accessed_dirty);
	assert_true(caps.rdtscp && caps.invpcid);
	assert_int_equal(caps.tags, 0xffff);
	assert_int_equal(vmx_config.revision, 4);
	assert_int_equal(fake.count[FAKE_WRMSR], 0);
	assert_true(vmx_config.proc & PROC_HLT_EXITING);
	assert_false(vmx_config.proc & PROC_CR3_LOAD_EXITING);
	assert_false(vmx_config.proc & PROC_RDTSC_EXITING);
	assert_true(vmx_config.proc2 & PROC2_UNRESTRICTED_GUEST);
	/* The bits that must be 1 although nobody asked. */
	assert_int_equal(vmx_config.pin & 0x16, 0x16);
	assert_int_equal(vmx_config.proc & 0x04006172, 0x04006172);
}

/* Bochs's five levels do not survive an exit; its fast timer tells that it is Bochs. */
static void no_five_levels_in_bochs(void **state)
{
	(void)state;
	fake_msr_set(MSR_IA32_VMX_CR4_FIXED1, fake_msr_get(MSR_IA32_VMX_CR4_FIXED1) | CR4_LA57);
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_true(caps.cr4 & CR4_LA57);
	memset(&vmx_config, 0, sizeof(vmx_config));
	fake_msr_set(MSR_IA32_VMX_MISC, fake_msr_get(MSR_IA32_VMX_MISC) & ~0x1full);
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_false(caps.cr4 & CR4_LA57);
	assert_true(caps.cr4 & CR4_SMEP);
}

/* A CPU without the shadow, or one that demands the exits it would spare, is good enough. */
static void tpr_shadow_is_optional(void **state)
{
	uint64_t all = fake_msr_get(MSR_IA32_VMX_TRUE_PROCBASED);

	(void)state;
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_true(caps.apic & VCPU_APIC_TPR);
	assert_true(vmx_config.proc & PROC_CR8_LOAD_EXITING);
	memset(&vmx_config, 0, sizeof(vmx_config));
	change_high(MSR_IA32_VMX_TRUE_PROCBASED, PROC_USE_TPR_SHADOW);
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_int_equal(caps.apic, 0);
	memset(&vmx_config, 0, sizeof(vmx_config));
	fake_msr_set(MSR_IA32_VMX_TRUE_PROCBASED, all | PROC_CR8_STORE_EXITING);
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_int_equal(caps.apic, 0);
}

static void no_vtx(void **state)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, 1, 0);

	(void)state;
	r.ecx &= ~CPUID_1_ECX_VMX;
	fake_cpuid_set(1, 0, r);
	refused("no VT-x");
	assert_int_equal(fake.count[FAKE_RDMSR], 0); /* the MSRs may not exist */
}

static void feature_control(void **state)
{
	(void)state;
	fake_msr_set(MSR_IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK);
	refused("locked by the firmware");
	fake_msr_set(
		MSR_IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_INSIDE_SMX);
	refused("locked by the firmware");
	fake_msr_remove(MSR_IA32_FEATURE_CONTROL);
	refused("cannot be read");
	fake_msr_set(MSR_IA32_FEATURE_CONTROL, 0);
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
}

static void missing_features(void **state)
{
	static const struct {
		uint32_t msr, bit;
		const char *text;
	} rows[] = {
		{MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_ENABLE_EPT, "EPT"},
		{MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_UNRESTRICTED_GUEST, "unrestricted guest"},
		{MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_ENABLE_VPID, "VPID"},
		{MSR_IA32_VMX_TRUE_PROCBASED, PROC_ACTIVATE_SECONDARY, "secondary controls"},
		{MSR_IA32_VMX_TRUE_PROCBASED, PROC_USE_MSR_BITMAPS, "bitmaps"},
		{MSR_IA32_VMX_TRUE_PINBASED, PIN_VIRTUAL_NMIS, "virtual NMIs"},
		{MSR_IA32_VMX_TRUE_EXIT, EXIT_LOAD_EFER, "EFER and PAT on exit"},
		{MSR_IA32_VMX_TRUE_ENTRY, ENTRY_LOAD_PAT, "EFER and PAT on entry"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_reset();
		change_high(rows[i].msr, rows[i].bit);
		refused(rows[i].text);
	}
}

static void missing_ept_capabilities(void **state)
{
	static const uint64_t bits[] = {EPT_CAP_WALK_4, EPT_CAP_WB, EPT_CAP_INVEPT,
		EPT_CAP_INVEPT_SINGLE, EPT_CAP_INVEPT_ALL, VPID_CAP_INVVPID,
		VPID_CAP_INVVPID_SINGLE, VPID_CAP_INVVPID_ALL};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
		fake_reset();
		fake_msr_set(MSR_IA32_VMX_EPT_VPID_CAP,
			fake_msr_get(MSR_IA32_VMX_EPT_VPID_CAP) & ~bits[i]);
		refused("INVEPT or INVVPID");
	}
}

static void odd_vmcs_region(void **state)
{
	uint64_t basic = fake_msr_get(MSR_IA32_VMX_BASIC);
	uint64_t odd[] = {basic | VMX_BASIC_32BIT_ADDR, basic & ~(VMX_BASIC_MEMTYPE_MASK << 50),
		(basic & ~(VMX_BASIC_SIZE_MASK << 32)) | 0x1001ull << 32};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
		fake_msr_set(MSR_IA32_VMX_BASIC, odd[i]);
		refused("write-back frame");
	}
}

/* Without the TRUE MSRs, CR3 exits are mandatory: nothing handles them. */
static void no_true_controls(void **state)
{
	(void)state;
	fake_msr_set(MSR_IA32_VMX_BASIC, fake_msr_get(MSR_IA32_VMX_BASIC) & ~VMX_BASIC_TRUE_CTLS);
	for (uint32_t msr = MSR_IA32_VMX_TRUE_PINBASED; msr <= MSR_IA32_VMX_TRUE_ENTRY; msr++)
		fake_msr_remove(msr);
	refused("CR3");
}

static void optional_features(void **state)
{
	(void)state;
	change_high(MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_ENABLE_RDTSCP | PROC2_ENABLE_INVPCID);
	fake_msr_set(MSR_IA32_VMX_EPT_VPID_CAP,
		fake_msr_get(MSR_IA32_VMX_EPT_VPID_CAP) & ~(EPT_CAP_1G | EPT_CAP_2M | EPT_CAP_AD));
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_false(caps.rdtscp || caps.invpcid);
	assert_false(caps.page_1g || caps.page_2m || caps.accessed_dirty);
}

static void second_cpu_differs(void **state)
{
	(void)state;
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_int_equal(vmx_cpu_enable(0, &reason), OK);
	fake_cpu_select(1);
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK); /* the same, bitmaps made meanwhile */
	fake_msr_set(
		MSR_IA32_VMX_EPT_VPID_CAP, fake_msr_get(MSR_IA32_VMX_EPT_VPID_CAP) & ~EPT_CAP_1G);
	assert_int_equal(vmx_cpu_check(&caps, &reason), E_UNSUP);
	assert_non_null(strstr(reason, "differ"));
	fake_cpu_select(2);
	change_high(MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_ENABLE_INVPCID);
	assert_int_equal(vmx_cpu_check(&caps, &reason), E_UNSUP);
}

static void adjust_controls(void **state)
{
	uint32_t controls;

	(void)state;
	/* must be 1: 1; may be 1: 1, 2, 4 */
	assert_true(vmx_adjust_controls(7ull << 32 | 1, 2, 4 | 8, &controls));
	assert_int_equal(controls, 1 | 2 | 4);
	assert_true(vmx_adjust_controls(7ull << 32 | 1, 2, 0, &controls));
	assert_int_equal(controls, 1 | 2);
	assert_false(vmx_adjust_controls(7ull << 32 | 1, 2 | 8, 0, &controls));
	assert_true(vmx_adjust_controls(0xffffffffull << 32, 0x80000000, 0, &controls));
	assert_int_equal(controls, 0x80000000);
	assert_true(vmx_adjust_controls(0, 0, ~0u, &controls));
	assert_int_equal(controls, 0);
}

static void enable_locks_what_is_unlocked(void **state)
{
	(void)state;
	fake_msr_set(MSR_IA32_FEATURE_CONTROL, 0);
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_int_equal(vmx_cpu_enable(0, &reason), OK);
	assert_int_equal(fake_msr_get(MSR_IA32_FEATURE_CONTROL),
		FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
	assert_true(fake_this->vmxon != 0);
	assert_true(fake_this->cr4 & CR4_VMXE);
	/* Whatever ran here before: nothing of it is left. */
	assert_int_equal(fake.count[FAKE_INVEPT], 1);
	assert_int_equal(fake.count[FAKE_INVVPID], 1);
	vmx_cpu_disable();
	assert_int_equal(fake_this->vmxon, 0);
	assert_false(fake_this->cr4 & CR4_VMXE);
}

static void enable_leaves_a_locked_one_alone(void **state)
{
	(void)state;
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_int_equal(vmx_cpu_enable(0, &reason), OK);
	assert_int_equal(fake.count[FAKE_WRMSR], 0);
}

static void enable_sets_fixed_bits(void **state)
{
	(void)state;
	fake_this->cr0 &= ~CR0_NE;
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_int_equal(vmx_cpu_enable(0, &reason), OK);
	assert_true(fake_this->cr0 & CR0_NE);
}

static bool intercepted(uint32_t msr, bool write)
{
	const uint8_t *bitmap = phys_to_virt(vmx_config.msr_bitmap);
	unsigned half = (msr >= 0xc0000000u ? 1024 : 0) + (write ? 2048 : 0);

	return bitmap[half + (msr & 0x1fff) / 8] >> (msr % 8) & 1;
}

/* Exactly these MSRs are the guest's own, in both directions; every port exits. */
static void bitmaps(void **state)
{
	static const uint32_t own[] = {MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP,
		MSR_IA32_SYSENTER_EIP, MSR_IA32_STAR, MSR_IA32_LSTAR, MSR_IA32_CSTAR,
		MSR_IA32_FMASK, MSR_IA32_FS_BASE, MSR_IA32_GS_BASE, MSR_IA32_KERNEL_GS_BASE,
		MSR_IA32_PKRS};
	const uint8_t *io;

	(void)state;
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	assert_int_equal(vmx_cpu_enable(0, &reason), OK);
	for (unsigned write = 0; write < 2; write++) {
		unsigned open = 0;

		for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
			assert_false(intercepted(own[i], write));
		for (uint32_t i = 0; i < 0x2000; i++)
			open += !intercepted(i, write) + !intercepted(0xc0000000u + i, write);
		assert_int_equal(open, ARRAY_SIZE(own));
	}
	io = phys_to_virt(vmx_config.io_bitmaps);
	for (unsigned i = 0; i < 2 * PAGE_SIZE; i++)
		assert_int_equal(io[i], 0xff);
	/* A second CPU shares them. */
	fake_cpu_select(1);
	hpa_t shared = vmx_config.msr_bitmap;
	assert_int_equal(vmx_cpu_enable(1, &reason), OK);
	assert_int_equal(vmx_config.msr_bitmap, shared);
	/* Keys for supervisor pages only where there are some. */
	fake_cpu_select(2);
	fake_cpuid_set(7, 0, (struct cpuid_regs){0});
	vmx_config.msr_bitmap = 0;
	assert_int_equal(vmx_cpu_enable(2, &reason), OK);
	assert_true(intercepted(MSR_IA32_PKRS, false) && intercepted(MSR_IA32_PKRS, true));
}

static void enable_without_memory(void **state)
{
	(void)state;
	assert_int_equal(vmx_cpu_check(&caps, &reason), OK);
	while (frame_alloc(&host_frames, FRAME_OWNER_HV, 1, 1))
		;
	assert_int_equal(vmx_cpu_enable(0, &reason), E_NOMEM);
	assert_non_null(strstr(reason, "memory"));
	assert_int_equal(fake_this->vmxon, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(skylake_is_accepted, setup),
		cmocka_unit_test_setup(no_five_levels_in_bochs, setup),
		cmocka_unit_test_setup(tpr_shadow_is_optional, setup),
		cmocka_unit_test_setup(no_vtx, setup),
		cmocka_unit_test_setup(feature_control, setup),
		cmocka_unit_test_setup(missing_features, setup),
		cmocka_unit_test_setup(missing_ept_capabilities, setup),
		cmocka_unit_test_setup(odd_vmcs_region, setup),
		cmocka_unit_test_setup(no_true_controls, setup),
		cmocka_unit_test_setup(optional_features, setup),
		cmocka_unit_test_setup(second_cpu_differs, setup),
		cmocka_unit_test_setup(adjust_controls, setup),
		cmocka_unit_test_setup(enable_locks_what_is_unlocked, setup),
		cmocka_unit_test_setup(enable_leaves_a_locked_one_alone, setup),
		cmocka_unit_test_setup(enable_sets_fixed_bits, setup),
		cmocka_unit_test_setup(bitmaps, setup),
		cmocka_unit_test_setup(enable_without_memory, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
