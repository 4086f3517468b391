/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x's APIC virtualization as the guest sees it: what the CPU does with the virtual-APIC page
 * (SDM vol. 3, "APIC Virtualization and Virtual Interrupts"). The guest callback calls these in
 * its turn; each says whether it has left the guest. And the checks of an entry that belong to it.
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/fake.h"
#include "tests/fakes/vmx_fake_priv.h"

#define GET(f) fake_vmcs_get(VMCS_##f)

static uint32_t *reg(uint32_t offset)
{
	return (uint32_t *)((uint8_t *)phys_to_virt(GET(VIRTUAL_APIC)) + offset);
}

static bool shadow(void)
{
	return GET(PROC_CONTROLS) & PROC_USE_TPR_SHADOW;
}

static bool uses(uint32_t control)
{
	return GET(PROC2_CONTROLS) & control;
}

unsigned vmx_vtpr_class(void)
{
	return *reg(APIC_TPR) >> 4 & 15;
}

static void step_over(unsigned length)
{
	fake_vmcs_set(VMCS_GUEST_RIP, GET(GUEST_RIP) + length);
}

/* ---- Entry ---- */

static bool passes(const uint8_t *bitmap, uint32_t msr, bool write)
{
	return !(bitmap[(write ? 2048 : 0) + msr / 8] >> msr % 8 & 1);
}

static bool msr_passes(uint32_t msr, bool write)
{
	return passes(phys_to_virt(GET(MSR_BITMAP)), msr, write);
}

static bool msr_virtualized(uint32_t msr, bool write)
{
	if (!uses(PROC2_VIRTUALIZE_X2APIC))
		return false;
	if (msr == MSR_IA32_X2APIC_BASE + APIC_TPR / 16)
		return true;
	return !write && uses(PROC2_APIC_REGISTERS);
}

static bool machine_lapic_reachable(void)
{
	const uint8_t *bitmap = phys_to_virt(GET(MSR_BITMAP));

	for (uint32_t msr = MSR_IA32_X2APIC_BASE; msr < MSR_IA32_X2APIC_BASE + 0x100; msr++) {
		for (unsigned write = 0; write < 2; write++) {
			if (passes(bitmap, msr, write) && !msr_virtualized(msr, write))
				return true;
		}
	}
	return false;
}

/* SDM vol. 3, "VM-Execution Control Fields", as far as APIC virtualization goes. */
const char *vmx_check_apic(void)
{
	uint32_t needs_shadow = PROC2_VIRTUALIZE_X2APIC | PROC2_APIC_REGISTERS;

	if (machine_lapic_reachable())
		return "the guest would reach the machine's x2APIC";
	if (uses(PROC2_VIRTUALIZE_APIC) && !vmx_is_frame(GET(APIC_ACCESS)))
		return "APIC-access page is no frame";
	if (!shadow())
		return uses(needs_shadow) ? "APIC virtualization without TPR shadow" : NULL;
	if (!vmx_is_frame(GET(VIRTUAL_APIC)))
		return "virtual-APIC page is no frame";
	const struct vmx_rule rules[] = {
		{GET(PROC_CONTROLS) & (PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING),
			"CR8 exits although there is a TPR shadow"},
		{GET(TPR_THRESHOLD) > 15, "TPR threshold: reserved bits"},
		{!uses(PROC2_VIRTUALIZE_APIC) && GET(TPR_THRESHOLD) > vmx_vtpr_class(),
			"TPR threshold above the TPR"},
		{uses(PROC2_VIRTUALIZE_APIC) && uses(PROC2_VIRTUALIZE_X2APIC),
			"xAPIC and x2APIC virtualized at a time"},
	};
	return vmx_first_broken(rules, ARRAY_SIZE(rules));
}

/* "TPR Virtualization" */
static bool tpr_changed(void)
{
	if (vmx_vtpr_class() >= GET(TPR_THRESHOLD))
		return false;
	fake_exit(VMX_EXIT_TPR_THRESHOLD, 0);
	return true;
}

bool vmx_apic_entered(void)
{
	return shadow() && tpr_changed();
}

/* ---- What the guest does ---- */

bool fake_guest_cr8(struct vcpu *v, uint64_t value)
{
	if (!shadow()) {
		v->gpr[RAX] = value;
		fake_exit_insn(VMX_EXIT_CR_ACCESS, 8, 4);
		return true;
	}
	*reg(APIC_TPR) = (uint32_t)value << 4;
	step_over(4);
	return tpr_changed();
}

/* Where the access goes. True: it has left the guest, because nothing is mapped. */
static bool page_access(struct vcpu *v, gpa_t gpa, bool write)
{
	hpa_t frame = fake_guest_access(gpa) & ~(PAGE_SIZE - 1);

	v->gpr[RDI] = gpa;
	if (!frame) {
		fake_exit_ept(gpa, gpa, write ? 0x182 : 0x181);
		return true;
	}
	if (!uses(PROC2_VIRTUALIZE_APIC) || frame != GET(APIC_ACCESS))
		fake_fail("the guest reaches a frame at 0x%lx", (unsigned long)gpa);
	return false;
}

static bool apic_access(uint32_t offset, unsigned type)
{
	fake_exit(VMX_EXIT_APIC_ACCESS, offset | type << APIC_ACCESS_TYPE_SHIFT);
	return true;
}

/* "Virtualizing Reads from the APIC-Access Page" */
static bool read_virtualized(uint32_t offset)
{
	if (!uses(PROC2_APIC_REGISTERS))
		return offset == APIC_TPR;
	return offset == APIC_ID || offset == APIC_VERSION || offset == APIC_TPR ||
	       offset == APIC_EOI || (offset >= APIC_LDR && offset <= APIC_ESR) ||
	       (offset >= APIC_ICR && offset <= APIC_TIMER_ICT) || offset == APIC_TIMER_DCR;
}

/* "Virtualizing Writes to the APIC-Access Page" */
static bool write_virtualized(uint32_t offset)
{
	if (!uses(PROC2_APIC_REGISTERS))
		return offset == APIC_TPR;
	return offset == APIC_ID || offset == APIC_TPR || offset == APIC_EOI ||
	       (offset >= APIC_LDR && offset <= APIC_SVR) || offset == APIC_ESR ||
	       (offset >= APIC_ICR && offset <= APIC_TIMER_ICT) || offset == APIC_TIMER_DCR;
}

bool fake_guest_load(struct vcpu *v, gpa_t gpa, uint32_t *value)
{
	uint32_t offset = gpa & (PAGE_SIZE - 1);

	if (page_access(v, gpa, false))
		return true;
	if (!read_virtualized(offset))
		return apic_access(offset, APIC_ACCESS_READ);
	*value = *reg(offset);
	step_over(2);
	return false;
}

/* "APIC-Write Emulation" */
static bool written(uint32_t offset)
{
	switch (offset) {
	case APIC_TPR: *reg(APIC_TPR) &= 0xff; return tpr_changed();
	case APIC_ICR_HIGH: *reg(APIC_ICR_HIGH) &= 0xff000000; return false;
	default: fake_exit(VMX_EXIT_APIC_WRITE, offset); return true;
	}
}

bool fake_guest_store(struct vcpu *v, gpa_t gpa, uint32_t value)
{
	uint32_t offset = gpa & (PAGE_SIZE - 1);

	v->gpr[RAX] = value;
	if (page_access(v, gpa, true))
		return true;
	if (!write_virtualized(offset))
		return apic_access(offset, APIC_ACCESS_WRITE);
	*reg(offset) = value;
	step_over(2);
	return written(offset);
}

/* "Virtualizing MSR-Based APIC Accesses" */
bool fake_guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	uint32_t offset = (msr & 0xff) << 4;

	v->gpr[RCX] = msr;
	if (!msr_passes(msr, false)) {
		fake_exit_insn(VMX_EXIT_RDMSR, 0, 2);
		return true;
	}
	*value = *reg(offset) | (uint64_t)*reg(offset + 4) << 32;
	step_over(2);
	return false;
}

bool fake_guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint32_t offset = (msr & 0xff) << 4;

	v->gpr[RCX] = msr;
	v->gpr[RAX] = (uint32_t)value;
	v->gpr[RDX] = value >> 32;
	if (!msr_passes(msr, true)) {
		fake_exit_insn(VMX_EXIT_WRMSR, 0, 2);
		return true;
	}
	if (value >> 8)
		fake_fail("WRMSR 0x%x: #GP", msr);
	*reg(offset) = (uint32_t)value;
	step_over(2);
	return written(offset);
}
