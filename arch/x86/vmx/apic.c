/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What VT-x does for a guest's LAPIC (SDM vol. 3, "APIC Virtualization and Virtual Interrupts"):
 * controls, the fields behind them, and what changes from entry to entry. Which of it is used
 * comes from above in vcpu.apic. What takes a vCPU needs its VMCS to be current.
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"

#define CR8_EXITING (PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING)

unsigned vmx_apic_caps(uint64_t proc_capability, uint64_t proc2_capability)
{
	static const struct {
		uint32_t control;
		unsigned cap;
	} rows[] = {
		{PROC2_VIRTUALIZE_APIC, VCPU_APIC_PAGE},
		{PROC2_VIRTUALIZE_X2APIC, VCPU_APIC_MSRS},
		{PROC2_APIC_REGISTERS, VCPU_APIC_REGISTERS},
		{PROC2_VIRTUAL_INTERRUPTS, VCPU_APIC_DELIVERY},
	};
	uint32_t must_be_1 = (uint32_t)proc_capability,
		 may_be_1 = (uint32_t)(proc_capability >> 32);
	unsigned caps = VCPU_APIC_TPR;

	/* A CPU could demand the exits that the shadow is there to spare. All else rests on it. */
	if (!(may_be_1 & PROC_USE_TPR_SHADOW) || (must_be_1 & CR8_EXITING))
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (proc2_capability >> 32 & rows[i].control)
			caps |= rows[i].cap;
	}
	return caps;
}

/* ---- MSRs of the x2APIC ---- */

static void allow(uint8_t *bitmap, uint32_t offset, bool read, bool write)
{
	vmx_msr_bitmap_allow(bitmap, MSR_IA32_X2APIC_BASE + offset / 16, read, write);
}

/*
 * Reads are answered from the page, so what the model computes when asked must exit: PPR, unless
 * the CPU does that, the timer's count, and the ICR, whose upper half is elsewhere in the page (SDM
 * vol. 3, "Virtualizing MSR-Based APIC Accesses"). So must what does not exist: the CPU would not
 * know.
 */
void vmx_apic_msr_bitmap(uint8_t *bitmap)
{
	static const uint16_t readable[] = {APIC_ID, APIC_VERSION, APIC_LDR, APIC_SVR, APIC_ESR,
		APIC_LVT_TIMER, APIC_LVT_THERM, APIC_LVT_PERF, APIC_LVT_LINT0, APIC_LVT_LINT1,
		APIC_LVT_ERROR, APIC_TIMER_ICT, APIC_TIMER_DCR};

	bool delivery = vmx_config.apic & VCPU_APIC_DELIVERY;

	allow(bitmap, APIC_TPR, true, true);
	allow(bitmap, APIC_EOI, false, delivery);
	allow(bitmap, APIC_SELF_IPI, false, delivery);
	if (!(vmx_config.apic & VCPU_APIC_REGISTERS))
		return;
	allow(bitmap, APIC_PPR, delivery, false);
	for (unsigned i = 0; i < ARRAY_SIZE(readable); i++)
		allow(bitmap, readable[i], true, false);
	for (unsigned offset = APIC_ISR; offset < APIC_ESR; offset += 16)
		allow(bitmap, offset, true, false);
}

/* ---- Controls ---- */

/* There is one bitmap, for a vCPU that uses all that the CPU has. */
static bool in_msrs(const struct vcpu *v)
{
	return v->apic_place == VCPU_APIC_IN_MSRS && (v->apic & VCPU_APIC_MSRS) &&
	       v->apic == vmx_config.apic;
}

static uint32_t proc2_bits(const struct vcpu *v)
{
	uint32_t registers = v->apic & VCPU_APIC_REGISTERS ? PROC2_APIC_REGISTERS : 0;
	uint32_t delivery = v->apic & VCPU_APIC_DELIVERY ? PROC2_VIRTUAL_INTERRUPTS : 0;

	if (in_msrs(v))
		return PROC2_VIRTUALIZE_X2APIC | registers | delivery;
	if (v->apic_place == VCPU_APIC_IN_PAGE && (v->apic & VCPU_APIC_PAGE))
		return PROC2_VIRTUALIZE_APIC | registers | delivery;
	return delivery;
}

static void write_place(const struct vcpu *v, const struct vmx_vcpu *x)
{
	vmwrite(VMCS_PROC2_CONTROLS, x->proc2_base | proc2_bits(v));
	vmwrite(VMCS_MSR_BITMAP, in_msrs(v) ? vmx_config.msr_bitmap_x2apic : vmx_config.msr_bitmap);
}

/* Fields of features that are not used may not exist. */
void vmx_apic_init(const struct vcpu *v, struct vmx_vcpu *x)
{
	x->tpr_threshold = 0;
	if (v->apic) {
		x->proc_base = (x->proc_base & ~CR8_EXITING) | PROC_USE_TPR_SHADOW;
		vmwrite(VMCS_VIRTUAL_APIC, virt_to_phys(v->apic_page));
		vmwrite(VMCS_TPR_THRESHOLD, 0);
	}
	if (v->apic & VCPU_APIC_PAGE)
		vmwrite(VMCS_APIC_ACCESS, v->apic_access);
	for (unsigned i = 0; (vmx_config.apic & VCPU_APIC_DELIVERY) && i < 4; i++) {
		x->eoi_exit[i] = 0;
		vmwrite(VMCS_EOI_EXIT0 + 2 * i, 0);
	}
	write_place(v, x);
}

/* Translations may say of the page what is not so any more (SDM vol. 3, "APIC-Access Page"). */
void vmx_apic_changed(struct vcpu *v)
{
	write_place(v, v->vendor);
	vmx_flush_stage2(v);
}

/*
 * The CPU keeps RVI and SVI while the guest runs, and they are the page's highest bits again when
 * it exits: nothing needs to be read back, but they must follow whatever the model did since.
 */
static void update_delivery(const struct vcpu *v, struct vmx_vcpu *x)
{
	const uint32_t *tmr = (const uint32_t *)v->apic_page + APIC_TMR / 4;

	vmwrite(VMCS_GUEST_INTR_STATUS, v->apic_requested | (uint64_t)v->apic_in_service << 8);
	for (unsigned i = 0; i < 4; i++, tmr += 8) {
		uint64_t level = tmr[0] | (uint64_t)tmr[4] << 32;

		if (level == x->eoi_exit[i])
			continue;
		x->eoi_exit[i] = level;
		vmwrite(VMCS_EOI_EXIT0 + 2 * i, level);
	}
}

void vmx_apic_update(struct vcpu *v, struct vmx_vcpu *x)
{
	if (v->apic_update) {
		v->apic_update = false;
		update_delivery(v, x);
	}
	if (v->tpr_threshold == x->tpr_threshold)
		return;
	x->tpr_threshold = v->tpr_threshold;
	vmwrite(VMCS_TPR_THRESHOLD, x->tpr_threshold);
}
