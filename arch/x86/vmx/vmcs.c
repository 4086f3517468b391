/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One VMCS per vCPU: controls, host state, guest state. Guest registers are read and written
 * through a table of fields.
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/mm/pt.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "hv/mm/memory.h"

/*
 * Bits whose real value is ours while the guest sees its own (SDM vol. 3, guest/host masks), and
 * those whose change others have to know of.
 */
#define CR0_HOST_OWNED (CR0_NE | CR0_CD | CR0_NW)
#define CR4_HOST_OWNED (CR4_VMXE | CR4_MCE | CR4_OSXSAVE | CR4_PKE | CR4_LA57 | CR4_DE)

#define INTERCEPTED_EXCEPTIONS (1u << 1 | 1u << 17 | 1u << 18) /* #DB, #AC, #MC */

static const uint16_t reg_field[REG_COUNT] = {
	[REG_RSP] = VMCS_GUEST_RSP,
	[REG_RFLAGS] = VMCS_GUEST_RFLAGS,
	[REG_CR3] = VMCS_GUEST_CR3,
	[REG_EFER] = VMCS_GUEST_EFER,
	[REG_DR7] = VMCS_GUEST_DR7,
	[REG_PAT] = VMCS_GUEST_PAT,
	[REG_SYSENTER_CS] = VMCS_GUEST_SYSENTER_CS,
	[REG_SYSENTER_ESP] = VMCS_GUEST_SYSENTER_ESP,
	[REG_SYSENTER_EIP] = VMCS_GUEST_SYSENTER_EIP,
	[REG_FS_BASE] = VMCS_GUEST_ES_BASE + 2 * SEG_FS,
	[REG_GS_BASE] = VMCS_GUEST_ES_BASE + 2 * SEG_GS,
};

uint64_t vmx_reg_read(struct vcpu *v, enum vcpu_reg reg)
{
	const struct vmx_vcpu *x = v->vendor;

	switch (reg) {
	case REG_CR0:
		return (vmread(VMCS_GUEST_CR0) & ~CR0_HOST_OWNED) |
		       (vmread(VMCS_CR0_SHADOW) & CR0_HOST_OWNED);
	case REG_CR4:
		return (vmread(VMCS_GUEST_CR4) & ~x->cr4_mask) |
		       (vmread(VMCS_CR4_SHADOW) & x->cr4_mask);
	case REG_CR2:
		return read_cr2(); /* nothing in the hypervisor faults, so it is still there */
	default: return vmread(reg_field[reg]);
	}
}

static void write_cr0_fields(uint64_t value)
{
	/*
	 * Unrestricted guest: PE and PG need not be 1 (SDM vol. 3, "VM-entry checks on guest
	 * state").
	 */
	uint64_t real = value | (vmx_config.cr0_fixed0 & ~(CR0_PE | CR0_PG));

	vmwrite(VMCS_CR0_SHADOW, value);
	vmwrite(VMCS_GUEST_CR0, real & vmx_config.cr0_fixed1 & ~(CR0_CD | CR0_NW));
}

static void write_cr4_fields(uint64_t value)
{
	uint64_t real = value | vmx_config.cr4_fixed0 | CR4_MCE;

	vmwrite(VMCS_CR4_SHADOW, value);
	vmwrite(VMCS_GUEST_CR4, real & vmx_config.cr4_fixed1);
}

/*
 * A guest that enters or leaves long mode by itself needs no help: with "unrestricted guest" an
 * exit stores LMA into the entry control (SDM vol. 3, "Saving Non-Register State").
 */
static void write_efer(uint64_t value)
{
	uint32_t controls = vmx_config.entry & ~ENTRY_IA32E_MODE_GUEST;

	vmwrite(VMCS_ENTRY_CONTROLS, controls | (value & EFER_LMA ? ENTRY_IA32E_MODE_GUEST : 0));
	vmwrite(VMCS_GUEST_EFER, value);
}

void vmx_reg_write(struct vcpu *v, enum vcpu_reg reg, uint64_t value)
{
	(void)v;
	switch (reg) {
	case REG_CR0: write_cr0_fields(value); break;
	case REG_CR2: write_cr2(value); break;
	case REG_CR4: write_cr4_fields(value); break;
	case REG_EFER: write_efer(value); break;
	default: vmwrite(reg_field[reg], value); break;
	}
}

static void set_controls(const struct vcpu *v, struct vmx_vcpu *x)
{
	uint32_t proc2 = vmx_config.proc2;

	if (!v->has_rdtscp)
		proc2 &= ~PROC2_ENABLE_RDTSCP;
	if (!v->has_invpcid)
		proc2 &= ~PROC2_ENABLE_INVPCID;
	if (!v->has_xsaves)
		proc2 &= ~PROC2_ENABLE_XSAVES;
	if (vmx_config.proc2 & PROC2_ENABLE_XSAVES) /* else there is no such field */
		vmwrite(VMCS_XSS_EXITING_BITMAP, 0);
	x->proc_base = vmx_config.proc;
	x->proc2_base = proc2;
	vmwrite(VMCS_PIN_CONTROLS, vmx_config.pin);
	vmx_apic_init(v, x);
	x->proc_controls = x->proc_base;
	vmwrite(VMCS_PROC_CONTROLS, x->proc_controls);
	vmwrite(VMCS_EXIT_CONTROLS, vmx_config.exit);
	vmwrite(VMCS_EXCEPTION_BITMAP, INTERCEPTED_EXCEPTIONS);
	vmwrite(VMCS_IO_BITMAP_A, vmx_config.io_bitmaps);
	vmwrite(VMCS_IO_BITMAP_B, vmx_config.io_bitmaps + PAGE_SIZE);
	vmwrite(VMCS_EPT_POINTER, x->eptp);
	vmwrite(VMCS_VPID, v->vpid);
	vmwrite(VMCS_CR0_MASK, CR0_HOST_OWNED);
	vmwrite(VMCS_CR4_MASK, x->cr4_mask);
	vmwrite(VMCS_LINK_POINTER, UINT64_MAX);
	/* These are zero in a fresh VMCS on CPUs seen so far; the SDM promises nothing. */
	vmwrite(VMCS_PF_ERROR_MASK, 0);
	vmwrite(VMCS_PF_ERROR_MATCH, 0);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
	vmwrite(VMCS_TSC_OFFSET, 0);
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	vmwrite(VMCS_GUEST_PAT, PAT_RESET_VALUE);
	vmwrite(VMCS_GUEST_SYSENTER_CS, 0);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, 0);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, 0);
}

static uint64_t tss_base(const struct desc_ptr *gdt, uint16_t selector)
{
	const uint64_t *d = (const uint64_t *)(gdt->base + (selector & ~7u));

	return ((d[0] >> 16) & 0xffffff) | ((d[0] >> 32) & 0xff000000) | (d[1] << 32);
}

/* The host state is this CPU's: written whenever a vCPU comes to a CPU. */
static void set_host_state(struct vmx_vcpu *x)
{
	struct desc_ptr gdt = sgdt(), idt = sidt();
	uint16_t tr = str_selector();

	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_EFER, rdmsr(MSR_IA32_EFER));
	vmwrite(VMCS_HOST_PAT, rdmsr(MSR_IA32_PAT));
	vmwrite(VMCS_HOST_CS_SELECTOR, SEL_CODE64);
	vmwrite(VMCS_HOST_SS_SELECTOR, SEL_DATA);
	vmwrite(VMCS_HOST_DS_SELECTOR, SEL_DATA);
	vmwrite(VMCS_HOST_ES_SELECTOR, SEL_DATA);
	vmwrite(VMCS_HOST_FS_SELECTOR, 0);
	vmwrite(VMCS_HOST_GS_SELECTOR, 0);
	vmwrite(VMCS_HOST_TR_SELECTOR, tr);
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_GS_BASE, rdmsr(MSR_IA32_GS_BASE));
	vmwrite(VMCS_HOST_TR_BASE, tss_base(&gdt, tr));
	vmwrite(VMCS_HOST_GDTR_BASE, gdt.base);
	vmwrite(VMCS_HOST_IDTR_BASE, idt.base);
	vmwrite(VMCS_HOST_SYSENTER_CS, 0);
	vmwrite(VMCS_HOST_SYSENTER_ESP, 0);
	vmwrite(VMCS_HOST_SYSENTER_EIP, 0);
	vmwrite(VMCS_HOST_RIP, (uint64_t)vmx_exit_entry);
	x->host_rsp = 0;
}

int vmx_vcpu_init(struct vcpu *v)
{
	struct vmx_vcpu *x = memory_alloc(v->owner, 1);
	uint32_t *vmcs = memory_alloc(v->owner, 1);

	_Static_assert(sizeof(struct vmx_vcpu) <= PAGE_SIZE, "one frame");
	if (!x || !vmcs)
		return E_NOMEM;
	*vmcs = vmx_config.revision;
	x->vmcs = virt_to_phys(vmcs);
	x->eptp = v->stage2_root | EPTP_MEMTYPE_WB | EPTP_WALK_4;
	if (vmx_config.ept_vpid_cap & EPT_CAP_AD)
		x->eptp |= EPTP_AD;
	x->cr4_mask = ~v->cr4_guest_bits | CR4_HOST_OWNED;
	v->vendor = x;
	v->launched = false;
	return OK;
}

void vmx_vcpu_load(struct vcpu *v)
{
	struct vmx_vcpu *x = v->vendor;

	if (!v->launched)
		vmclear(x->vmcs); /* initialises the implementation's part of a new VMCS */
	vmptrld(x->vmcs);
	if (!x->controls_set)
		set_controls(v, x);
	x->controls_set = true;
	set_host_state(x);
	/* The tags may have belonged to another guest on this CPU. */
	vmx_flush_guest_tlb(v);
	vmx_flush_stage2(v);
}

void vmx_vcpu_unload(struct vcpu *v)
{
	struct vmx_vcpu *x = v->vendor;

	/* Before the frames of its tables can be anything else, nothing here may remember them. */
	vmx_flush_guest_tlb(v);
	vmx_flush_stage2(v);
	vmclear(x->vmcs);
	v->launched = false;
}

void vmx_flush_guest_tlb(struct vcpu *v)
{
	invvpid(INVVPID_SINGLE, (uint16_t)v->vpid);
}

void vmx_flush_stage2(struct vcpu *v)
{
	const struct vmx_vcpu *x = v->vendor;

	invept(INVEPT_SINGLE, x->eptp);
}

void vmx_tsc_offset_set(struct vcpu *v, uint64_t offset)
{
	(void)v;
	vmwrite(VMCS_TSC_OFFSET, offset);
}

void vmx_pdpte_set(struct vcpu *v, const uint64_t pdpte[4])
{
	(void)v;
	for (unsigned i = 0; i < 4; i++)
		vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, pdpte[i]);
}

uint32_t vmx_interruptibility(struct vcpu *v)
{
	uint64_t state = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	uint32_t blocked = 0;

	(void)v;
	if (!(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF) ||
		(state & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
		blocked |= VCPU_BLOCKED_INTERRUPTS;
	if (state & (INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_STI))
		blocked |= VCPU_BLOCKED_NMI;
	return blocked;
}

static void vmx_segment_set(
	struct vcpu *v UNUSED, enum segment_index index, const struct segment *s)
{
	vmwrite(VMCS_GUEST_ES_SELECTOR + 2 * index, s->selector);
	vmwrite(VMCS_GUEST_ES_BASE + 2 * index, s->base);
	vmwrite(VMCS_GUEST_ES_LIMIT + 2 * index, s->limit);
	vmwrite(VMCS_GUEST_ES_RIGHTS + 2 * index, s->attr);
}

void vmx_state_set(struct vcpu *v, const struct vcpu_state *s)
{
	for (unsigned i = 0; i < SEG_COUNT; i++)
		vmx_segment_set(v, i, &s->seg[i]);
	vmwrite(VMCS_GUEST_GDTR_BASE, s->gdtr.base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, s->gdtr.limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, s->idtr.base);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, s->idtr.limit);
	vmwrite(VMCS_GUEST_CR3, s->cr3);
	vmwrite(VMCS_GUEST_DR7, s->dr7);
	vmwrite(VMCS_GUEST_RSP, s->rsp);
	vmwrite(VMCS_GUEST_RFLAGS, s->rflags);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_ACTIVITY, 0);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
	write_cr0_fields(s->cr0);
	write_cr4_fields(s->cr4);
	write_efer(s->efer);
	write_cr2(s->cr2);
	v->rip = s->rip;
	vmwrite(VMCS_GUEST_RIP, s->rip);
}

void vmx_segment_get(struct vcpu *v UNUSED, enum segment_index index, struct segment *s)
{
	s->selector = (uint16_t)vmread(VMCS_GUEST_ES_SELECTOR + 2 * index);
	s->base = vmread(VMCS_GUEST_ES_BASE + 2 * index);
	s->limit = (uint32_t)vmread(VMCS_GUEST_ES_LIMIT + 2 * index);
	s->attr = (uint32_t)vmread(VMCS_GUEST_ES_RIGHTS + 2 * index);
}

static void vmx_table_get(struct vcpu *v UNUSED, bool idt, struct descriptor_table *table)
{
	table->base = vmread(idt ? VMCS_GUEST_IDTR_BASE : VMCS_GUEST_GDTR_BASE);
	table->limit = (uint32_t)vmread(idt ? VMCS_GUEST_IDTR_LIMIT : VMCS_GUEST_GDTR_LIMIT);
}

static void vmx_table_set(struct vcpu *v UNUSED, bool idt, const struct descriptor_table *table)
{
	vmwrite(idt ? VMCS_GUEST_IDTR_BASE : VMCS_GUEST_GDTR_BASE, table->base);
	vmwrite(idt ? VMCS_GUEST_IDTR_LIMIT : VMCS_GUEST_GDTR_LIMIT, table->limit);
}

static void vmx_shadow_begin(struct vcpu *v UNUSED)
{
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
		vmread(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_MOV_SS);
}

static void vmx_nmi_block(struct vcpu *v UNUSED, bool blocked)
{
	uint64_t others = vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint64_t)INTERRUPTIBILITY_NMI;

	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, others | (blocked ? INTERRUPTIBILITY_NMI : 0));
}

/*
 * Injected, it tells its cause to nobody: DR6 is live, and DR7.GD goes with the delivery. It takes
 * the place of a single step that is due too.
 */
static void vmx_debug_trap(struct vcpu *v, uint64_t dr6)
{
	if (v->event.valid)
		return;
	if (vmread(VMCS_GUEST_PENDING_DEBUG) & PENDING_DEBUG_BS)
		dr6 |= DR6_BS;
	write_dr6(read_dr6() | dr6);
	vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~DR7_GD);
	v->event = (struct vcpu_event){.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_DB};
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
}

void vmx_mode_get(struct vcpu *v, struct vcpu_mode *m)
{
	m->rsp = vmread(VMCS_GUEST_RSP);
	m->rflags = vmread(VMCS_GUEST_RFLAGS);
	m->cr0 = vmx_reg_read(v, REG_CR0);
	m->cr3 = vmread(VMCS_GUEST_CR3);
	m->cr4 = vmx_reg_read(v, REG_CR4);
	m->efer = vmread(VMCS_GUEST_EFER);
	m->cs_attr = (uint32_t)vmread(VMCS_GUEST_ES_RIGHTS + 2 * SEG_CS);
	m->ss_attr = (uint32_t)vmread(VMCS_GUEST_ES_RIGHTS + 2 * SEG_SS);
}

uint64_t vmx_code_root(struct vcpu *v)
{
	(void)v;
	if (!(vmread(VMCS_GUEST_EFER) & EFER_LMA) ||
		!(vmread(VMCS_GUEST_ES_RIGHTS + 2 * SEG_CS) & SEG_ATTR_L) ||
		(vmread(VMCS_GUEST_ES_RIGHTS + 2 * SEG_SS) & SEG_ATTR_DPL) ||
		(vmread(VMCS_GUEST_DR7) & DR7_ARMED))
		return VCPU_NO_ROOT;
	return vmread(VMCS_GUEST_CR3);
}

void vmx_state_get(struct vcpu *v, struct vcpu_state *s)
{
	for (unsigned i = 0; i < SEG_COUNT; i++)
		vmx_segment_get(v, i, &s->seg[i]);
	s->gdtr.base = vmread(VMCS_GUEST_GDTR_BASE);
	s->gdtr.limit = (uint32_t)vmread(VMCS_GUEST_GDTR_LIMIT);
	s->idtr.base = vmread(VMCS_GUEST_IDTR_BASE);
	s->idtr.limit = (uint32_t)vmread(VMCS_GUEST_IDTR_LIMIT);
	s->cr0 = vmx_reg_read(v, REG_CR0);
	s->cr2 = vmx_reg_read(v, REG_CR2);
	s->cr3 = vmread(VMCS_GUEST_CR3);
	s->cr4 = vmx_reg_read(v, REG_CR4);
	s->efer = vmread(VMCS_GUEST_EFER);
	s->dr7 = vmread(VMCS_GUEST_DR7);
	s->rsp = vmread(VMCS_GUEST_RSP);
	s->rflags = vmread(VMCS_GUEST_RFLAGS);
	s->rip = v->rip;
}

const struct virt_ops vmx_ops = {
	.name = "VT-x",
	.stage2_format = &pt_format_ept,
	.cpu_check = vmx_cpu_check,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vcpu_init = vmx_vcpu_init,
	.vcpu_load = vmx_vcpu_load,
	.vcpu_unload = vmx_vcpu_unload,
	.run = vmx_run,
	.state_set = vmx_state_set,
	.state_get = vmx_state_get,
	.mode_get = vmx_mode_get,
	.code_root = vmx_code_root,
	.segment_get = vmx_segment_get,
	.segment_set = vmx_segment_set,
	.table_get = vmx_table_get,
	.table_set = vmx_table_set,
	.shadow_begin = vmx_shadow_begin,
	.nmi_block = vmx_nmi_block,
	.debug_trap = vmx_debug_trap,
	.reg_read = vmx_reg_read,
	.reg_write = vmx_reg_write,
	.pdpte_set = vmx_pdpte_set,
	.tsc_offset_set = vmx_tsc_offset_set,
	.instruction_done = vmx_instruction_done,
	.apic_changed = vmx_apic_changed,
	.interruptibility = vmx_interruptibility,
	.flush_guest_tlb = vmx_flush_guest_tlb,
	.flush_stage2 = vmx_flush_stage2,
};
