/* SPDX-License-Identifier: Apache-2.0 */
/* AMD-V: what a CPU must be able to do, the sentence when it cannot, EFER.SVME and the maps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/svm/svm.h"
#include "hv/mm/memory.h"
#include "tests/fakes/fake.h"

FAKE_FAIL_IN_CMOCKA()

static struct virt_caps caps;
static const char *reason;

static void fresh(void)
{
	fake_reset();
	fake_machine_amd();
	memset(&svm_config, 0, sizeof(svm_config));
	memset(&caps, 0, sizeof(caps));
	reason = NULL;
}

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	fresh();
	return 0;
}

static void refused(const char *part)
{
	assert_int_equal(svm_cpu_check(&caps, &reason), E_UNSUP);
	assert_non_null(reason);
	if (!strstr(reason, part))
		fail_msg("\"%s\" does not say \"%s\"", reason, part);
	assert_int_equal(svm_config.asids, 0);
}

static void change(uint32_t leaf, uint32_t ecx_clear, uint32_t edx_clear)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, leaf, 0);

	r.ecx &= ~ecx_clear;
	r.edx &= ~edx_clear;
	fake_cpuid_set(leaf, 0, r);
}

static void zen_is_accepted(void **state)
{
	(void)state;
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	assert_true(caps.page_2m && caps.page_1g && caps.accessed_dirty && caps.rdtscp);
	assert_false(caps.invpcid);
	assert_int_equal(caps.tags, 0x7fff);
	assert_int_equal(svm_config.asids, 0x8000);
	assert_int_equal(svm_config.clean, SVM_CLEAN_ALL);
	assert_int_equal(svm_config.flush, SVM_TLB_FLUSH_ASID);
	assert_int_equal(svm_config.v_intr, SVM_V_INTR_MASKING | SVM_V_GIF_ENABLE | SVM_V_GIF);
	assert_int_equal(fake.count[FAKE_WRMSR], 0);
}

/* What QEMU has without KVM: next to nothing, and that is enough. */
static void plain_is_accepted(void **state)
{
	(void)state;
	fake_svm_features(CPUID_SVM_EDX_NP, 16);
	change(CPUID_LEAF_EXT_FEAT, 0, CPUID_EXT1_EDX_PAGE1GB | CPUID_EXT1_EDX_RDTSCP);
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	assert_false(caps.page_1g || caps.rdtscp);
	assert_true(caps.page_2m);
	assert_int_equal(caps.tags, 15);
	assert_int_equal(svm_config.clean, 0);
	assert_int_equal(svm_config.flush, SVM_TLB_FLUSH_ALL);
	assert_int_equal(svm_config.v_intr, SVM_V_INTR_MASKING);
}

static void invpcid(void **state)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, CPUID_LEAF_EXTENDED, 0);

	(void)state;
	r.ebx |= CPUID_7_EBX_INVPCID;
	fake_cpuid_set(CPUID_LEAF_EXTENDED, 0, r);
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	assert_true(caps.invpcid);
}

static void no_amdv(void **state)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, CPUID_LEAF_EXT_MAX, 0);

	(void)state;
	change(CPUID_LEAF_EXT_FEAT, CPUID_EXT1_ECX_SVM, 0);
	refused("no AMD-V");
	assert_int_equal(fake.count[FAKE_RDMSR], 0); /* the MSR may not exist */
	fresh();
	r.eax = CPUID_LEAF_SVM - 1; /* a bit without the leaf that it announces */
	fake_cpuid_set(CPUID_LEAF_EXT_MAX, 0, r);
	refused("no AMD-V");
	fake_reset(); /* Intel's */
	refused("no AMD-V");
	assert_int_equal(fake.count[FAKE_RDMSR], 0);
}

static void disabled_by_firmware(void **state)
{
	(void)state;
	fake_msr_remove(MSR_VM_CR);
	refused("cannot be read");
	fake_msr_set(MSR_VM_CR, VM_CR_SVMDIS | VM_CR_LOCK);
	refused("locked by the firmware");
	fake_msr_set(MSR_VM_CR, VM_CR_LOCK); /* locked on */
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	fresh();
	fake_msr_set(MSR_VM_CR, VM_CR_SVMDIS); /* not locked: taken back */
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	assert_int_equal(svm_cpu_enable(0, &reason), OK);
	assert_int_equal(fake_msr_get(MSR_VM_CR), VM_CR_R_INIT);
}

static void missing_features(void **state)
{
	(void)state;
	fake_svm_features(CPUID_SVM_EDX_NRIPS, 16);
	refused("nested paging");
	for (uint32_t asids = 0; asids < 2; asids++) { /* 0 is the host's */
		fake_svm_features(CPUID_SVM_EDX_NP, asids);
		refused("no ASID");
	}
	fake_svm_features(CPUID_SVM_EDX_NP, 2);
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	assert_int_equal(caps.tags, 1);
}

static void second_cpu_differs(void **state)
{
	static const struct {
		uint32_t edx, asids;
	} others[] = {
		{CPUID_SVM_EDX_NP, 0x8000},
		{~0u, 0x8000},
		{0, 16},
	};
	uint32_t edx = fake_cpuid_host(NULL, CPUID_LEAF_SVM, 0).edx;

	(void)state;
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	assert_int_equal(svm_cpu_enable(0, &reason), OK);
	fake_cpu_select(1);
	assert_int_equal(svm_cpu_check(&caps, &reason), OK); /* the same, maps made meanwhile */
	fake_cpu_select(2);
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		fake_svm_features(others[i].edx ? others[i].edx : edx, others[i].asids);
		assert_int_equal(svm_cpu_check(&caps, &reason), E_UNSUP);
		assert_non_null(strstr(reason, "differ"));
	}
	assert_int_equal(svm_config.asids, 0x8000);
}

static void enable_and_disable(void **state)
{
	(void)state;
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	assert_int_equal(svm_cpu_enable(0, &reason), OK);
	assert_true(fake_msr_get(MSR_IA32_EFER) & EFER_SVME);
	assert_int_not_equal(fake_msr_get(MSR_VM_HSAVE_PA), 0);
	assert_int_not_equal(fake_msr_get(MSR_VM_HSAVE_PA), svm_host_area(0));
	assert_int_equal(fake_msr_get(MSR_VM_CR), VM_CR_R_INIT);
	fake_cpu_select(1);
	assert_int_equal(svm_cpu_enable(1, &reason), OK);
	assert_int_not_equal(svm_host_area(0), svm_host_area(1));
	fake_cpu_select(0);
	svm_cpu_disable();
	assert_false(fake_msr_get(MSR_IA32_EFER) & EFER_SVME);
	assert_true(fake_msr_get(MSR_IA32_EFER) & EFER_LMA);
}

/* The lock holds SVMDIS and itself, not R_INIT: an INIT must not reset the CPU there either. */
static void enable_where_vm_cr_is_locked(void **state)
{
	(void)state;
	fake_msr_set(MSR_VM_CR, VM_CR_LOCK);
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	assert_int_equal(svm_cpu_enable(0, &reason), OK);
	assert_int_equal(fake_msr_get(MSR_VM_CR), VM_CR_LOCK | VM_CR_R_INIT);
}

static void enable_without_memory(void **state)
{
	(void)state;
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	while (frame_alloc(&host_frames, FRAME_OWNER_HV, 1, 1))
		;
	assert_int_equal(svm_cpu_enable(0, &reason), E_NOMEM);
	assert_non_null(strstr(reason, "memory"));
	assert_false(fake_msr_get(MSR_IA32_EFER) & EFER_SVME);
}

static bool intercepted(uint32_t msr, bool write)
{
	const uint8_t *map = phys_to_virt(svm_config.msrpm);
	unsigned bit = (msr & 0x1fff) * 2 + write + (msr >= 0xc0000000u ? 0x800 * 8 : 0);

	return map[bit / 8] >> (bit % 8) & 1;
}

/* Exactly these MSRs are the guest's own, in both directions; every port exits. */
static void maps(void **state)
{
	static const uint32_t own[] = {MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP,
		MSR_IA32_SYSENTER_EIP, MSR_IA32_STAR, MSR_IA32_LSTAR, MSR_IA32_CSTAR,
		MSR_IA32_FMASK, MSR_IA32_FS_BASE, MSR_IA32_GS_BASE, MSR_IA32_KERNEL_GS_BASE};
	const uint8_t *map;
	unsigned open = 0;

	(void)state;
	assert_int_equal(svm_cpu_check(&caps, &reason), OK);
	assert_int_equal(svm_cpu_enable(0, &reason), OK);
	for (unsigned i = 0; i < ARRAY_SIZE(own); i++) {
		assert_false(intercepted(own[i], false));
		assert_false(intercepted(own[i], true));
	}
	map = phys_to_virt(svm_config.msrpm);
	for (unsigned i = 0; i < SVM_MSRPM_FRAMES * PAGE_SIZE; i++)
		open += 8 - (unsigned)__builtin_popcount(map[i]);
	assert_int_equal(open, 2 * ARRAY_SIZE(own));
	map = phys_to_virt(svm_config.iopm);
	for (unsigned i = 0; i < SVM_IOPM_FRAMES * PAGE_SIZE; i++)
		assert_int_equal(map[i], 0xff);
	/* A second CPU shares them. */
	fake_cpu_select(1);
	hpa_t shared = svm_config.msrpm;
	assert_int_equal(svm_cpu_enable(1, &reason), OK);
	assert_int_equal(svm_config.msrpm, shared);
	/* Keys for supervisor pages only where there are some. */
	assert_true(intercepted(MSR_IA32_PKRS, false) && intercepted(MSR_IA32_PKRS, true));
	fake_cpuid_set(7, 0, (struct cpuid_regs){.ecx = CPUID_7_ECX_PKS});
	svm_config.msrpm = 0;
	assert_int_equal(svm_cpu_enable(2, &reason), OK);
	assert_false(intercepted(MSR_IA32_PKRS, false) || intercepted(MSR_IA32_PKRS, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(zen_is_accepted, setup),
		cmocka_unit_test_setup(plain_is_accepted, setup),
		cmocka_unit_test_setup(invpcid, setup),
		cmocka_unit_test_setup(no_amdv, setup),
		cmocka_unit_test_setup(disabled_by_firmware, setup),
		cmocka_unit_test_setup(missing_features, setup),
		cmocka_unit_test_setup(second_cpu_differs, setup),
		cmocka_unit_test_setup(enable_and_disable, setup),
		cmocka_unit_test_setup(enable_where_vm_cr_is_locked, setup),
		cmocka_unit_test_setup(enable_without_memory, setup),
		cmocka_unit_test_setup(maps, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
