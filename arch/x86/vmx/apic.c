/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What VT-x does for a guest's LAPIC (SDM vol. 3, "APIC Virtualization and Virtual Interrupts"):
 * controls, the fields behind them, and what changes from entry to entry. Which of it is used
 * comes from above in vcpu.apic. All of it needs the vCPU's VMCS to be current.
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"

#define CR8_EXITING (PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING)

/* A CPU could demand the exits that the shadow is there to spare. */
unsigned vmx_apic_caps(uint64_t proc_capability)
{
	uint32_t must_be_1 = (uint32_t)proc_capability,
		 may_be_1 = (uint32_t)(proc_capability >> 32);

	return (may_be_1 & PROC_USE_TPR_SHADOW) && !(must_be_1 & CR8_EXITING) ? VCPU_APIC_TPR : 0;
}

uint32_t vmx_apic_controls(const struct vcpu *v, uint32_t proc)
{
	if (!v->apic)
		return proc;
	vmwrite(VMCS_VIRTUAL_APIC, virt_to_phys(v->apic_page));
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	return (proc & ~CR8_EXITING) | PROC_USE_TPR_SHADOW;
}

void vmx_apic_update(const struct vcpu *v, struct vmx_vcpu *x)
{
	if (v->tpr_threshold == x->tpr_threshold)
		return;
	x->tpr_threshold = v->tpr_threshold;
	vmwrite(VMCS_TPR_THRESHOLD, x->tpr_threshold);
}
