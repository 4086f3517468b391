/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD-V capability checks and EFER.SVME. Every CPU is checked on its own; one that cannot do what
 * the boot CPU can is refused by name.
 */
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/virt/xsave.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"

struct svm_config svm_config;

static hpa_t host_area[CPUS_MAX];

/*
 * CPUID 8000_0001h:ECX.SVM, then VM_CR (APM vol. 2, "Enabling SVM"). SVMDIS without the lock can be
 * taken back; with SVML a key could unlock it, which firmware keeps to itself.
 */
static int check_enabled(const char **reason)
{
	uint64_t control;

	if (cpuid(CPUID_LEAF_EXT_MAX, 0).eax < CPUID_LEAF_SVM ||
		!(cpuid(CPUID_LEAF_EXT_FEAT, 0).ecx & CPUID_EXT1_ECX_SVM)) {
		*reason = "this CPU has no AMD-V";
		return E_UNSUP;
	}
	if (rdmsr_safe(MSR_VM_CR, &control) != OK) {
		*reason = "VM_CR cannot be read: AMD-V is hidden by another hypervisor";
		return E_UNSUP;
	}
	if ((control & VM_CR_SVMDIS) && (control & VM_CR_LOCK)) {
		*reason = "AMD-V is disabled and locked by the firmware: enable SVM in setup";
		return E_UNSUP;
	}
	return OK;
}

/* QEMU without KVM says so where a hypervisor would: "TCGTCGTCGTCG". */
static bool runs_in_tcg(void)
{
	struct cpuid_regs r;

	if (!(cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_1_ECX_HYPERVISOR))
		return false;
	r = cpuid(CPUID_LEAF_HYPERVISOR, 0);
	return r.ebx == CPUID_HYPERVISOR_TCG_EBX && r.ecx == CPUID_HYPERVISOR_TCG_ECX &&
	       r.edx == CPUID_HYPERVISOR_TCG_EDX;
}

int svm_cpu_check(struct virt_caps *caps, const char **reason)
{
	int status = check_enabled(reason);
	struct svm_config c = {0};
	struct cpuid_regs r;

	if (status != OK)
		return status;
	r = cpuid(CPUID_LEAF_SVM, 0);
	if (!(r.edx & CPUID_SVM_EDX_NP)) {
		*reason =
			"AMD-V of this CPU lacks nested paging (third-generation Opteron or later "
			"has it)";
		return E_UNSUP;
	}
	if (r.ebx < 2) {
		*reason = "AMD-V of this CPU has no ASID for a guest";
		return E_UNSUP;
	}
	c.asids = r.ebx;
	c.features = r.edx;
	c.clean = r.edx & CPUID_SVM_EDX_CLEAN_BITS ? SVM_CLEAN_ALL : 0;
	c.flush = r.edx & CPUID_SVM_EDX_FLUSH_ASID ? SVM_TLB_FLUSH_ASID : SVM_TLB_FLUSH_ALL;
	c.needs = SVM_NEED_DECODE | (r.edx & CPUID_SVM_EDX_NRIPS ? 0 : SVM_NEED_LENGTH);
	c.injects_twice = runs_in_tcg();
	/*
	 * The guest has a GIF of its own where it can, always set: the machine's, which holds back
	 * NMIs between two guests, is then out of its reach, whatever becomes of an intercept (APM
	 * vol. 2, "Virtual GIF").
	 */
	c.v_intr = SVM_V_INTR_MASKING |
		   (r.edx & CPUID_SVM_EDX_VGIF ? SVM_V_GIF_ENABLE | SVM_V_GIF : 0);
	r = cpuid(CPUID_LEAF_EXT_FEAT, 0);
	*caps = (struct virt_caps){
		.page_1g = r.edx & CPUID_EXT1_EDX_PAGE1GB,
		.page_2m = true,
		.accessed_dirty = true,
		.rdtscp = r.edx & CPUID_EXT1_EDX_RDTSCP,
		.invpcid = cpu_cpuid(CPUID_LEAF_EXTENDED, 0).ebx & CPUID_7_EBX_INVPCID,
		.xsavec = xsave_compact_works(),
		.xsaves = true,    /* nothing switches it off; the MSR is intercepted */
		.cr4 = UINT64_MAX, /* what a guest may set follows from its CPUID alone */
		.tags = c.asids - 1,
		.tpr_shown = true,
	};
	if (svm_config.asids == 0) {
		svm_config = c;
		return OK;
	}
	c.iopm = svm_config.iopm;
	c.msrpm = svm_config.msrpm;
	if (memcmp(&c, &svm_config, sizeof(c)) != 0) {
		*reason = "its AMD-V capabilities differ from the boot CPU's";
		return E_UNSUP;
	}
	return OK;
}

/* MSRs that belong to the guest while it owns the CPU; VMLOAD and VMSAVE keep them. */
static const uint32_t guest_msrs[] = {
	MSR_IA32_SYSENTER_CS,
	MSR_IA32_SYSENTER_ESP,
	MSR_IA32_SYSENTER_EIP,
	MSR_IA32_STAR,
	MSR_IA32_LSTAR,
	MSR_IA32_CSTAR,
	MSR_IA32_FMASK,
	MSR_IA32_FS_BASE,
	MSR_IA32_GS_BASE,
	MSR_IA32_KERNEL_GS_BASE,
};

/*
 * Two bits per MSR, read and write; a 0 bit lets the guest through. The first two of the map's
 * ranges: 0 - 1FFFh and C000_0000h - C000_1FFFh (APM vol. 2, "MSR Intercepts").
 */
static void msrpm_allow(uint8_t *map, uint32_t msr)
{
	uint8_t *range = map + (msr >= 0xc0000000u ? SVM_MSRPM_RANGE : 0);
	uint32_t index = msr & 0x1fff;

	range[index / 4] &= (uint8_t) ~(3u << (index % 4 * 2));
}

static int make_maps(void)
{
	uint8_t *io, *msr;

	if (svm_config.msrpm)
		return OK;
	io = memory_alloc(FRAME_OWNER_HV, SVM_IOPM_FRAMES);
	msr = memory_alloc(FRAME_OWNER_HV, SVM_MSRPM_FRAMES);
	if (!io || !msr)
		return E_NOMEM;
	memset(io, 0xff, SVM_IOPM_FRAMES * PAGE_SIZE);
	memset(msr, 0xff, SVM_MSRPM_FRAMES * PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(guest_msrs); i++)
		msrpm_allow(msr, guest_msrs[i]);
	if (cpu_cpuid(CPUID_LEAF_EXTENDED, 0).ecx & CPUID_7_ECX_PKS)
		msrpm_allow(msr, MSR_IA32_PKRS);
	svm_config.iopm = virt_to_phys(io);
	svm_config.msrpm = virt_to_phys(msr);
	return OK;
}

int svm_cpu_enable(unsigned cpu, const char **reason)
{
	void *state = memory_alloc(FRAME_OWNER_HV, 1), *area = memory_alloc(FRAME_OWNER_HV, 1);
	uint64_t control = rdmsr(MSR_VM_CR);

	if (!state || !area || make_maps() != OK) {
		*reason = "no memory for the host save area";
		return E_NOMEM;
	}
	/*
	 * An INIT must not reset a CPU that guests share a machine with: it becomes #SX, which
	 * trap.c ignores. VM_CR's lock holds itself and SVMDIS only (APM vol. 2, "VM_CR MSR").
	 */
	(void)!wrmsr_safe(MSR_VM_CR, (control & ~VM_CR_SVMDIS) | VM_CR_R_INIT);
	wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, virt_to_phys(state));
	host_area[cpu] = virt_to_phys(area);
	return OK;
}

void svm_cpu_disable(void)
{
	wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) & ~EFER_SVME);
}

hpa_t svm_host_area(unsigned cpu)
{
	return host_area[cpu];
}
