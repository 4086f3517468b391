/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x's APIC virtualization as the guest sees it: what the CPU does with the virtual-APIC page
 * (SDM vol. 3, "APIC Virtualization and Virtual Interrupts"). The guest callback calls these in
 * its turn; each says whether it has left the guest. And the checks of an entry that belong to it.
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cr.h"
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
	if (!write)
		return uses(PROC2_APIC_REGISTERS);
	return uses(PROC2_VIRTUAL_INTERRUPTS) &&
	       (msr == MSR_IA32_X2APIC_BASE + APIC_EOI / 16 ||
		       msr == MSR_IA32_X2APIC_BASE + APIC_SELF_IPI / 16);
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

static uint32_t *vector_word(uint32_t array, unsigned vector)
{
	return reg(array + vector / 32 * 16);
}

static unsigned highest(uint32_t array)
{
	for (unsigned vector = 256; vector-- > 0;) {
		if (*vector_word(array, vector) >> vector % 32 & 1)
			return vector;
	}
	return 0;
}

static unsigned rvi(void)
{
	return GET(GUEST_INTR_STATUS) & 0xff;
}

static unsigned svi(void)
{
	return GET(GUEST_INTR_STATUS) >> 8;
}

static bool eoi_exits(unsigned vector)
{
	return fake_vmcs_get(VMCS_EOI_EXIT0 + vector / 64 * 2) >> vector % 64 & 1;
}

static bool eoi_exits_differ(void)
{
	for (unsigned vector = 0; vector < 256; vector++) {
		if (eoi_exits(vector) != (*vector_word(APIC_TMR, vector) >> vector % 32 & 1))
			return true;
	}
	return false;
}

/* Beyond the SDM: what the fields say must be what the page says. */
static const char *check_delivery(void)
{
	const struct vmx_rule rules[] = {
		{!(GET(PIN_CONTROLS) & PIN_EXTERNAL_INTERRUPT_EXITING),
			"virtual interrupts without external-interrupt exiting"},
		{rvi() != highest(APIC_IRR), "RVI is not the highest vector in IRR"},
		{svi() != highest(APIC_ISR), "SVI is not the highest vector in ISR"},
		{eoi_exits_differ(), "EOI-exit bitmap and TMR differ"},
	};
	return vmx_first_broken(rules, ARRAY_SIZE(rules));
}

/* SDM vol. 3, "VM-Execution Control Fields", as far as APIC virtualization goes. */
const char *vmx_check_apic(void)
{
	uint32_t needs_shadow = PROC2_VIRTUALIZE_X2APIC | PROC2_APIC_REGISTERS |
				PROC2_VIRTUAL_INTERRUPTS;
	const char *broken;

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
		{!uses(PROC2_VIRTUALIZE_APIC | PROC2_VIRTUAL_INTERRUPTS) &&
				GET(TPR_THRESHOLD) > vmx_vtpr_class(),
			"TPR threshold above the TPR"},
		{uses(PROC2_VIRTUALIZE_APIC) && uses(PROC2_VIRTUALIZE_X2APIC),
			"xAPIC and x2APIC virtualized at a time"},
	};
	broken = vmx_first_broken(rules, ARRAY_SIZE(rules));
	return broken || !uses(PROC2_VIRTUAL_INTERRUPTS) ? broken : check_delivery();
}

/* "PPR Virtualization" */
static void update_ppr(void)
{
	uint32_t tpr = *reg(APIC_TPR) & 0xff;

	*reg(APIC_PPR) = tpr >> 4 >= svi() >> 4 ? tpr : svi() & 0xf0;
}

static void set_status(unsigned requested, unsigned in_service)
{
	fake_vmcs_set(VMCS_GUEST_INTR_STATUS, requested | in_service << 8);
	update_ppr();
}

/* "Evaluation of Pending Virtual Interrupts" and "Virtual-Interrupt Delivery" */
void vmx_apic_deliver(void)
{
	unsigned vector;
	uint64_t blocked = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

	if (!uses(PROC2_VIRTUAL_INTERRUPTS) || fake_vmx.injected.valid ||
		(GET(PROC_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING) ||
		!(GET(GUEST_RFLAGS) & RFLAGS_IF) || (GET(GUEST_INTERRUPTIBILITY) & blocked) ||
		rvi() >> 4 <= *reg(APIC_PPR) >> 4)
		return;
	vector = rvi();
	*vector_word(APIC_IRR, vector) &= ~(1u << vector % 32);
	*vector_word(APIC_ISR, vector) |= 1u << vector % 32;
	set_status(highest(APIC_IRR), vector);
	fake_vmx.delivered = (uint8_t)vector;
	fake_vmcs_set(VMCS_GUEST_RFLAGS, GET(GUEST_RFLAGS) & ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_RF));
}

/* "EOI Virtualization" */
static bool ended(void)
{
	unsigned vector = svi();

	*reg(APIC_EOI) = 0;
	if (!uses(PROC2_VIRTUAL_INTERRUPTS)) {
		fake_exit(VMX_EXIT_APIC_WRITE, APIC_EOI);
		return true;
	}
	*vector_word(APIC_ISR, vector) &= ~(1u << vector % 32);
	set_status(rvi(), highest(APIC_ISR));
	if (!eoi_exits(vector))
		return false;
	fake_exit(VMX_EXIT_VIRTUALIZED_EOI, vector);
	return true;
}

/* "Self-IPI Virtualization", for the ICR and the register of that name. */
static bool sent_to_self(uint32_t offset, uint32_t value)
{
	uint32_t allowed = offset == APIC_SELF_IPI ? 0xff : 0x400ff;
	bool self = offset == APIC_SELF_IPI || (value & 0xc0000) == 0x40000;

	if (!uses(PROC2_VIRTUAL_INTERRUPTS) || !self || (value & ~allowed) || (value & 0xff) < 16) {
		fake_exit(VMX_EXIT_APIC_WRITE, offset);
		return true;
	}
	value &= 0xff;
	*vector_word(APIC_IRR, value) |= 1u << value % 32;
	set_status(highest(APIC_IRR), svi());
	return false;
}

void fake_guest_sti(void)
{
	fake_vmcs_set(VMCS_GUEST_RFLAGS, GET(GUEST_RFLAGS) | RFLAGS_IF);
	fake_vmx.injected.valid = false; /* that was before */
	vmx_apic_deliver();
}

/* "TPR Virtualization" */
static bool tpr_changed(void)
{
	if (uses(PROC2_VIRTUAL_INTERRUPTS)) {
		update_ppr();
		return false;
	}
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
	if (uses(PROC2_VIRTUAL_INTERRUPTS) && (offset == APIC_EOI || offset == APIC_ICR))
		return true;
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
	case APIC_EOI: return ended();
	case APIC_ICR:
	case APIC_SELF_IPI: return sent_to_self(offset, *reg(offset));
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
	if (value >> 8 || (offset == APIC_EOI && value))
		fake_fail("WRMSR 0x%x: #GP", msr);
	/* A register that is not in the page, unless the hypervisor is to look. */
	if (offset != APIC_SELF_IPI || value < 16)
		*reg(offset) = (uint32_t)value;
	else {
		step_over(2);
		return sent_to_self(offset, (uint32_t)value);
	}
	step_over(2);
	return written(offset);
}
