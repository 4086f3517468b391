/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x capability checks and VMXON. Every CPU is checked on its own; the controls are the boot
 * CPU's, and a CPU that cannot do the same is refused by name (hybrid parts, firmware that differs
 * per core).
 */
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/virt/xsave.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"

struct vmx_config vmx_config;

bool vmx_adjust_controls(
	uint64_t capability, uint32_t required, uint32_t wanted, uint32_t *controls)
{
	uint32_t must_be_1 = (uint32_t)capability, may_be_1 = (uint32_t)(capability >> 32);

	*controls = (required | wanted | must_be_1) & may_be_1;
	return (*controls & required) == required;
}

/* CPUID.1:ECX.VMX, then IA32_FEATURE_CONTROL: unlocked, locked on or locked off. */
static int check_enabled(const char **reason)
{
	uint64_t control;

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_VMX)) {
		*reason = "this CPU has no VT-x";
		return E_UNSUP;
	}
	if (rdmsr_safe(MSR_IA32_FEATURE_CONTROL, &control) != OK) {
		*reason =
			"IA32_FEATURE_CONTROL cannot be read: VT-x is hidden by another hypervisor";
		return E_UNSUP;
	}
	if ((control & FEATURE_CONTROL_LOCK) && !(control & FEATURE_CONTROL_VMX_OUTSIDE_SMX)) {
		*reason = "VT-x is disabled and locked by the firmware: enable it in setup";
		return E_UNSUP;
	}
	return OK;
}

struct control_need {
	uint32_t true_msr, msr;
	uint32_t required, wanted;
	uint32_t *result;
	const char *missing;
};

static int compute_controls(struct vmx_config *c, bool true_controls, const char **reason)
{
	uint32_t proc2_wanted = PROC2_ENABLE_RDTSCP | PROC2_ENABLE_INVPCID | PROC2_ENABLE_XSAVES;
	const struct control_need needs[] = {
		{MSR_IA32_VMX_TRUE_PINBASED, MSR_IA32_VMX_PINBASED_CTLS,
			PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS, 0,
			&c->pin, "VT-x of this CPU lacks virtual NMIs"},
		{MSR_IA32_VMX_TRUE_PROCBASED, MSR_IA32_VMX_PROCBASED_CTLS,
			PROC_HLT_EXITING | PROC_USE_TSC_OFFSETTING | PROC_USE_IO_BITMAPS |
				PROC_USE_MSR_BITMAPS | PROC_ACTIVATE_SECONDARY |
				PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING |
				PROC_MWAIT_EXITING | PROC_MONITOR_EXITING | PROC_RDPMC_EXITING,
			0, &c->proc, "VT-x of this CPU lacks bitmaps or secondary controls"},
		{MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_PROCBASED_CTLS2,
			PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST | PROC2_ENABLE_VPID |
				PROC2_WBINVD_EXITING,
			proc2_wanted, &c->proc2,
			"VT-x of this CPU lacks EPT, VPID or unrestricted guest (Westmere or later "
			"has them)"},
		{MSR_IA32_VMX_TRUE_EXIT, MSR_IA32_VMX_EXIT_CTLS,
			EXIT_HOST_64BIT | EXIT_SAVE_DEBUG_CONTROLS | EXIT_SAVE_EFER |
				EXIT_LOAD_EFER | EXIT_SAVE_PAT | EXIT_LOAD_PAT,
			0, &c->exit, "VT-x of this CPU cannot switch EFER and PAT on exit"},
		{MSR_IA32_VMX_TRUE_ENTRY, MSR_IA32_VMX_ENTRY_CTLS,
			ENTRY_LOAD_DEBUG_CONTROLS | ENTRY_LOAD_EFER | ENTRY_LOAD_PAT, 0, &c->entry,
			"VT-x of this CPU cannot switch EFER and PAT on entry"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(needs); i++) {
		const struct control_need *n = &needs[i];
		uint64_t capability = rdmsr(true_controls ? n->true_msr : n->msr);

		if (!vmx_adjust_controls(capability, n->required, n->wanted, n->result)) {
			*reason = n->missing;
			return E_UNSUP;
		}
	}
	c->apic = vmx_apic_caps(
		rdmsr(true_controls ? MSR_IA32_VMX_TRUE_PROCBASED : MSR_IA32_VMX_PROCBASED_CTLS),
		rdmsr(MSR_IA32_VMX_PROCBASED_CTLS2));
	/*
	 * Without the TRUE MSRs CR3 accesses exit whether we like it or not; no handler wants that.
	 */
	if (c->proc & (PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING | PROC_INVLPG_EXITING)) {
		*reason = "VT-x of this CPU forces exits on CR3 accesses";
		return E_UNSUP;
	}
	return OK;
}

static int check_ept(const struct vmx_config *c, const char **reason)
{
	const uint64_t need = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE |
			      EPT_CAP_INVEPT_ALL | VPID_CAP_INVVPID | VPID_CAP_INVVPID_SINGLE |
			      VPID_CAP_INVVPID_ALL;

	if ((c->ept_vpid_cap & need) == need)
		return OK;
	*reason = "EPT of this CPU lacks 4-level walks, write-back tables, INVEPT or INVVPID";
	return E_UNSUP;
}

static int read_config(struct vmx_config *c, const char **reason)
{
	uint64_t basic = rdmsr(MSR_IA32_VMX_BASIC);
	int status;

	c->revision = (uint32_t)(basic & VMX_BASIC_REVISION_MASK);
	if (((basic >> VMX_BASIC_SIZE_SHIFT) & VMX_BASIC_SIZE_MASK) > PAGE_SIZE ||
		(basic & VMX_BASIC_32BIT_ADDR) ||
		((basic >> VMX_BASIC_MEMTYPE_SHIFT) & VMX_BASIC_MEMTYPE_MASK) != MEMTYPE_WB) {
		*reason = "VT-x of this CPU wants a VMCS that is not one write-back frame";
		return E_UNSUP;
	}
	status = compute_controls(c, basic & VMX_BASIC_TRUE_CTLS, reason);
	if (status != OK)
		return status;
	c->ept_vpid_cap = rdmsr(MSR_IA32_VMX_EPT_VPID_CAP);
	c->cr0_fixed0 = rdmsr(MSR_IA32_VMX_CR0_FIXED0);
	c->cr0_fixed1 = rdmsr(MSR_IA32_VMX_CR0_FIXED1);
	c->cr4_fixed0 = rdmsr(MSR_IA32_VMX_CR4_FIXED0);
	c->cr4_fixed1 = rdmsr(MSR_IA32_VMX_CR4_FIXED1);
	return check_ept(c, reason);
}

/* Its preemption timer is as fast as the TSC; CPUs count once in 32 ticks. */
static bool is_bochs(void)
{
	return !(rdmsr(MSR_IA32_VMX_MISC) & VMX_MISC_TIMER_RATE);
}

/*
 * What a guest's CR4 cannot hold. Bochs 3.0 does not switch the width of linear addresses on
 * entries and exits: after the exit of a guest with five levels the hypervisor's own four are
 * walked with the wrong masks, and it dies of it.
 */
static uint64_t cr4_unusable(void)
{
	return CR4_VMXE | CR4_SMXE | (is_bochs() ? CR4_LA57 : 0);
}

/*
 * Where an interrupt of the machine comes while the guest has IF clear, Bochs 3.0 delivers a
 * virtual one that waits for IF.
 */
static unsigned apic_doubtful(void)
{
	return is_bochs() ? VCPU_APIC_DELIVERY : 0;
}

int vmx_cpu_check(struct virt_caps *caps, const char **reason)
{
	struct vmx_config c = {0};
	int status = check_enabled(reason);

	if (status == OK)
		status = read_config(&c, reason);
	if (status != OK)
		return status;
	*caps = (struct virt_caps){
		.page_1g = c.ept_vpid_cap & EPT_CAP_1G,
		.page_2m = c.ept_vpid_cap & EPT_CAP_2M,
		.accessed_dirty = c.ept_vpid_cap & EPT_CAP_AD,
		.rdtscp = c.proc2 & PROC2_ENABLE_RDTSCP,
		.invpcid = c.proc2 & PROC2_ENABLE_INVPCID,
		.xsavec = xsave_compact_works(),
		.xsaves = c.proc2 & PROC2_ENABLE_XSAVES,
		.cr4 = c.cr4_fixed1 & ~cr4_unusable(),
		.tags = 0xffff,
		.apic = c.apic,
		.apic_doubtful = apic_doubtful(),
	};
	if (vmx_config.revision == 0) {
		vmx_config = c;
		return OK;
	}
	c.io_bitmaps = vmx_config.io_bitmaps;
	c.msr_bitmap = vmx_config.msr_bitmap;
	c.msr_bitmap_x2apic = vmx_config.msr_bitmap_x2apic;
	if (memcmp(&c, &vmx_config, sizeof(c)) != 0) {
		*reason = "its VT-x capabilities differ from the boot CPU's";
		return E_UNSUP;
	}
	return OK;
}

/* MSRs that belong to the guest while it owns the CPU; the VMCS or the owner switch keeps them. */
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

void vmx_msr_bitmap_allow(uint8_t *bitmap, uint32_t msr, bool read, bool write)
{
	uint8_t *half = bitmap + (msr >= 0xc0000000u ? 1024 : 0);
	uint32_t bit = msr & 0x1fff;

	if (read)
		half[bit / 8] &= (uint8_t) ~(1u << (bit % 8));
	if (write)
		half[2048 + bit / 8] &= (uint8_t) ~(1u << (bit % 8));
}

static int make_bitmaps(void)
{
	uint8_t *io, *msr, *x2apic;

	if (vmx_config.msr_bitmap)
		return OK;
	io = memory_alloc(FRAME_OWNER_HV, 2);
	msr = memory_alloc(FRAME_OWNER_HV, 1);
	x2apic = memory_alloc(FRAME_OWNER_HV, 1);
	if (!io || !msr || !x2apic)
		return E_NOMEM;
	memset(io, 0xff, 2 * PAGE_SIZE);
	memset(msr, 0xff, PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(guest_msrs); i++)
		vmx_msr_bitmap_allow(msr, guest_msrs[i], true, true);
	if (cpu_cpuid(CPUID_LEAF_EXTENDED, 0).ecx & CPUID_7_ECX_PKS)
		vmx_msr_bitmap_allow(msr, MSR_IA32_PKRS, true, true);
	memcpy(x2apic, msr, PAGE_SIZE);
	vmx_apic_msr_bitmap(x2apic);
	vmx_config.io_bitmaps = virt_to_phys(io);
	vmx_config.msr_bitmap = virt_to_phys(msr);
	vmx_config.msr_bitmap_x2apic = virt_to_phys(x2apic);
	return OK;
}

int vmx_cpu_enable(unsigned cpu, const char **reason)
{
	uint64_t control = rdmsr(MSR_IA32_FEATURE_CONTROL);
	uint32_t *region = memory_alloc(FRAME_OWNER_HV, 1);

	(void)cpu;
	if (!region || make_bitmaps() != OK) {
		*reason = "no memory for the VMXON region";
		return E_NOMEM;
	}
	if (!(control & FEATURE_CONTROL_LOCK))
		wrmsr(MSR_IA32_FEATURE_CONTROL,
			control | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
	write_cr0((read_cr0() | vmx_config.cr0_fixed0) & vmx_config.cr0_fixed1);
	write_cr4(((read_cr4() | CR4_VMXE) | vmx_config.cr4_fixed0) & vmx_config.cr4_fixed1);
	*region = vmx_config.revision;
	if (!vmxon(virt_to_phys(region))) {
		*reason = "VMXON failed";
		return E_UNSUP;
	}
	this_cpu()->nmi_handler = vmx_nmi;
	invept(INVEPT_ALL, 0);
	invvpid(INVVPID_ALL, 0);
	return OK;
}

void vmx_cpu_disable(void)
{
	vmxoff();
	write_cr4(read_cr4() & ~CR4_VMXE);
}
