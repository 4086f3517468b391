/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x's APIC virtualization as the guest sees it: what the CPU does with the virtual-APIC page
 * (SDM vol. 3, "APIC Virtualization and Virtual Interrupts"). The guest callback calls these in
 * its turn; each says whether it has left the guest.
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/fake.h"
#include "tests/fakes/vmx_fake_priv.h"

static uint32_t *reg(uint32_t offset)
{
	return (uint32_t *)((uint8_t *)phys_to_virt(fake_vmcs_get(VMCS_VIRTUAL_APIC)) + offset);
}

static bool shadow(void)
{
	return fake_vmcs_get(VMCS_PROC_CONTROLS) & PROC_USE_TPR_SHADOW;
}

unsigned vmx_vtpr_class(void)
{
	return *reg(APIC_TPR) >> 4 & 15;
}

/* "TPR Virtualization" */
static bool tpr_changed(void)
{
	if (vmx_vtpr_class() >= fake_vmcs_get(VMCS_TPR_THRESHOLD))
		return false;
	fake_exit(VMX_EXIT_TPR_THRESHOLD, 0);
	return true;
}

bool fake_guest_cr8(struct vcpu *v, uint64_t value)
{
	if (!shadow()) {
		v->gpr[RAX] = value;
		fake_exit_insn(VMX_EXIT_CR_ACCESS, 8, 4);
		return true;
	}
	*reg(APIC_TPR) = (uint32_t)value << 4;
	fake_vmcs_set(VMCS_GUEST_RIP, fake_vmcs_get(VMCS_GUEST_RIP) + 4);
	return tpr_changed();
}
