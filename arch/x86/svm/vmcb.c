/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One VMCB per vCPU: intercepts and guest state. The CPU may keep what it read of it until a clean
 * bit says that it has changed (APM vol. 2, "VMCB State Caching"): every write here goes with
 * changed().
 */
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/mm/pt.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/svm/svm_insn.h"
#include "hv/mm/memory.h"

/*
 * What the guest's CR4 is always or never asked about: it reads its own MCE while a machine check
 * must never find the real one clear, which would shut the CPU down.
 */
#define CR_INTERCEPTS (SVM_CR_READ(4) | SVM_CR_WRITE(4) | SVM_CR_READ(8) | SVM_CR_WRITE(8))

#define BASE_4                                                                                     \
	(SVM_4_VMRUN | SVM_4_VMMCALL | SVM_4_VMLOAD | SVM_4_VMSAVE | SVM_4_STGI | SVM_4_CLGI |     \
		SVM_4_SKINIT | SVM_4_ICEBP | SVM_4_WBINVD | SVM_4_MONITOR | SVM_4_MWAIT |          \
		SVM_4_XSETBV | SVM_4_RDPRU)

static struct vmcb *vmcb_of(const struct vcpu *v)
{
	const struct svm_vcpu *x = v->vendor;

	return x->vmcb;
}

static void changed(struct vmcb *b, uint32_t groups)
{
	b->clean &= ~groups;
}

/* ---- Registers ---- */

struct reg_place {
	uint16_t offset;
	uint16_t group; /* SVM_CLEAN_* */
};

#define PLACE(member, group)                                                                       \
	{                                                                                          \
		offsetof(struct vmcb, member), group                                               \
	}

/* What VMLOAD brings, RSP and RFLAGS are never kept by the CPU. */
static const struct reg_place places[REG_COUNT] = {
	[REG_RSP] = PLACE(rsp, 0),
	[REG_RFLAGS] = PLACE(rflags, 0),
	[REG_CR0] = PLACE(cr0, SVM_CLEAN_CRX),
	[REG_CR2] = PLACE(cr2, SVM_CLEAN_CR2),
	[REG_CR3] = PLACE(cr3, SVM_CLEAN_CRX),
	[REG_CR4] = PLACE(cr4, SVM_CLEAN_CRX),
	[REG_EFER] = PLACE(efer, SVM_CLEAN_CRX),
	[REG_DR7] = PLACE(dr7, SVM_CLEAN_DRX),
	[REG_PAT] = PLACE(g_pat, SVM_CLEAN_NP),
	[REG_SYSENTER_CS] = PLACE(sysenter_cs, 0),
	[REG_SYSENTER_ESP] = PLACE(sysenter_esp, 0),
	[REG_SYSENTER_EIP] = PLACE(sysenter_eip, 0),
	[REG_FS_BASE] = PLACE(seg[SEG_FS].base, 0),
	[REG_GS_BASE] = PLACE(seg[SEG_GS].base, 0),
};

static uint64_t *place_of(struct vmcb *b, enum vcpu_reg reg)
{
	return (uint64_t *)(void *)((char *)b + places[reg].offset);
}

static uint64_t guest_cr4(const struct vcpu *v)
{
	const struct svm_vcpu *x = v->vendor;

	return (x->vmcb->cr4 & ~(uint64_t)CR4_MCE) | (x->cr4_mce ? CR4_MCE : 0);
}

uint64_t svm_reg_read(struct vcpu *v, enum vcpu_reg reg)
{
	switch (reg) {
	case REG_CR4: return guest_cr4(v);
	case REG_EFER: return vmcb_of(v)->efer & ~EFER_SVME;
	default: return *place_of(vmcb_of(v), reg);
	}
}

void svm_reg_write(struct vcpu *v, enum vcpu_reg reg, uint64_t value)
{
	struct svm_vcpu *x = v->vendor;

	switch (reg) {
	case REG_CR4:
		x->cr4_mce = value & CR4_MCE;
		value |= CR4_MCE;
		break;
	case REG_EFER: value |= EFER_SVME; break; /* VMRUN demands it */
	default: break;
	}
	*place_of(x->vmcb, reg) = value;
	changed(x->vmcb, places[reg].group);
}

/* ---- Segments ---- */

static struct svm_segment *segment_at(struct vmcb *b, enum segment_index index)
{
	return index == SEG_LDTR ? &b->ldtr : index == SEG_TR ? &b->tr : &b->seg[index];
}

/* Bits 7:0 are the same; AVL, L, D/B and G stand at 11:8 in a VMCB. */
static uint16_t vmcb_attr(uint32_t attr)
{
	if (attr & SEG_ATTR_UNUSABLE)
		return 0;
	return (uint16_t)((attr & 0xff) | ((attr >> 4) & 0xf00));
}

static uint32_t segment_attr(uint16_t attr)
{
	uint32_t a = (attr & 0xffu) | (attr & 0xf00u) << 4;

	return a & SEG_ATTR_P ? a : a | SEG_ATTR_UNUSABLE;
}

void svm_segment_get(struct vcpu *v, enum segment_index index, struct segment *s)
{
	struct vmcb *b = vmcb_of(v);
	const struct svm_segment *from = segment_at(b, index);

	*s = (struct segment){from->selector, segment_attr(from->attr), from->limit, from->base};
	/* The CPL has a field of its own; SS need not agree with it (APM vol. 2, "CPL"). */
	if (index == SEG_SS)
		s->attr = (s->attr & ~SEG_ATTR_DPL) | (uint32_t)b->cpl << 5;
}

static void set_segments(struct vmcb *b, const struct vcpu_state *s)
{
	for (unsigned i = 0; i < SEG_COUNT; i++)
		*segment_at(b, i) = (struct svm_segment){s->seg[i].selector,
			vmcb_attr(s->seg[i].attr), s->seg[i].limit, s->seg[i].base};
	b->cpl = (s->seg[SEG_SS].attr & SEG_ATTR_DPL) >> 5;
	b->gdtr.base = s->gdtr.base;
	b->gdtr.limit = s->gdtr.limit;
	b->idtr.base = s->idtr.base;
	b->idtr.limit = s->idtr.limit;
}

void svm_state_set(struct vcpu *v, const struct vcpu_state *s)
{
	struct svm_vcpu *x = v->vendor;
	struct vmcb *b = x->vmcb;

	set_segments(b, s);
	svm_reg_write(v, REG_CR0, s->cr0);
	svm_reg_write(v, REG_CR2, s->cr2);
	svm_reg_write(v, REG_CR3, s->cr3);
	svm_reg_write(v, REG_CR4, s->cr4);
	svm_reg_write(v, REG_EFER, s->efer);
	b->dr7 = s->dr7;
	b->dr6 = DR6_RESET;
	b->rsp = s->rsp;
	b->rflags = s->rflags;
	b->rip = s->rip;
	b->int_shadow = 0;
	b->event_inj = 0;
	x->nmi_blocked = false;
	x->iret_seen = false;
	x->stepping = false;
	v->rip = s->rip;
	changed(b, SVM_CLEAN_ALL);
}

static void svm_segment_set(struct vcpu *v, enum segment_index index, const struct segment *s)
{
	struct vmcb *b = vmcb_of(v);

	*segment_at(b, index) = (struct svm_segment){
		s->selector, vmcb_attr(s->attr), s->limit, s->base};
	if (index == SEG_SS)
		b->cpl = (s->attr & SEG_ATTR_DPL) >> 5;
	changed(b, SVM_CLEAN_SEG);
}

static void svm_table_get(struct vcpu *v, bool idt, struct descriptor_table *table)
{
	const struct vmcb *b = vmcb_of(v);

	table->base = idt ? b->idtr.base : b->gdtr.base;
	table->limit = idt ? b->idtr.limit : b->gdtr.limit;
}

static void svm_table_set(struct vcpu *v, bool idt, const struct descriptor_table *table)
{
	struct vmcb *b = vmcb_of(v);
	struct svm_segment *to = idt ? &b->idtr : &b->gdtr;

	to->base = table->base;
	to->limit = table->limit;
	changed(b, SVM_CLEAN_DT);
}

static void svm_shadow_begin(struct vcpu *v)
{
	vmcb_of(v)->int_shadow |= SVM_INT_SHADOW;
}

static void svm_nmi_block(struct vcpu *v, bool blocked)
{
	struct svm_vcpu *x = v->vendor;

	x->nmi_blocked = blocked;
	x->iret_seen = false;
}

void svm_mode_get(struct vcpu *v, struct vcpu_mode *m)
{
	const struct vmcb *b = vmcb_of(v);

	m->rsp = b->rsp;
	m->rflags = b->rflags;
	m->cr0 = b->cr0;
	m->cr3 = b->cr3;
	m->cr4 = guest_cr4(v);
	m->efer = b->efer & ~EFER_SVME;
	m->cs_attr = segment_attr(b->seg[SEG_CS].attr);
	m->ss_attr = (segment_attr(b->seg[SEG_SS].attr) & ~SEG_ATTR_DPL) | (uint32_t)b->cpl << 5;
}

uint64_t svm_code_root(struct vcpu *v)
{
	const struct vmcb *b = vmcb_of(v);

	return UNLIKELY(b->dr7 & DR7_ARMED) ? VCPU_NO_ROOT : vmcb_code_root(b);
}

void svm_state_get(struct vcpu *v, struct vcpu_state *s)
{
	const struct vmcb *b = vmcb_of(v);

	for (unsigned i = 0; i < SEG_COUNT; i++)
		svm_segment_get(v, i, &s->seg[i]);
	s->gdtr = (struct descriptor_table){b->gdtr.base, b->gdtr.limit};
	s->idtr = (struct descriptor_table){b->idtr.base, b->idtr.limit};
	s->cr0 = b->cr0;
	s->cr2 = b->cr2;
	s->cr3 = b->cr3;
	s->cr4 = guest_cr4(v);
	s->efer = b->efer & ~EFER_SVME;
	s->dr7 = b->dr7;
	s->rsp = b->rsp;
	s->rflags = b->rflags;
	s->rip = v->rip;
}

/* ---- Controls ---- */

static void set_controls(const struct vcpu *v, struct vmcb *b)
{
	b->intercept[SVM_INTERCEPT_CR] = CR_INTERCEPTS;
	b->intercept[SVM_INTERCEPT_4] = BASE_4 | (v->has_rdtscp ? 0 : SVM_4_RDTSCP);
	b->intercept[SVM_INTERCEPT_5] = v->has_invpcid ? 0 : SVM_5_INVPCID;
	b->iopm_base = svm_config.iopm;
	b->msrpm_base = svm_config.msrpm;
	/*
	 * One guest at a time has a CPU, and svm_vcpu_load() drops what any other left there: where
	 * there are fewer ASIDs than guests, two of them may have the same.
	 */
	b->asid = 1 + (v->vpid - 1) % (svm_config.asids - 1);
	b->v_intr = svm_config.v_intr;
	b->np_control = SVM_NP_ENABLE;
	b->ncr3 = v->stage2_root;
	b->g_pat = PAT_RESET_VALUE;
}

int svm_vcpu_init(struct vcpu *v)
{
	struct svm_vcpu *x = memory_alloc(v->owner, 1);
	struct vmcb *b = memory_alloc(v->owner, 1);

	_Static_assert(sizeof(struct svm_vcpu) <= PAGE_SIZE, "one frame");
	if (!x || !b)
		return E_NOMEM;
	x->vmcb = b;
	x->injects_twice = svm_config.injects_twice;
	x->v_intr = svm_config.v_intr;
	x->vmcb_pa = virt_to_phys(b);
	v->vendor = x;
	v->launched = false;
	set_controls(v, b);
	svm_intercept_usual(x);
	return OK;
}

void svm_vcpu_load(struct vcpu *v)
{
	struct svm_vcpu *x = v->vendor;

	x->host_area = svm_host_area(this_cpu()->index);
	vmsave(x->host_area);
	/* Neither the ASID's translations nor the VMCB that this CPU remembers are this guest's. */
	x->vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
	changed(x->vmcb, SVM_CLEAN_ALL);
}

/*
 * The translations that stay behind are used by nobody: the next VMRUN on this CPU is that of a
 * vCPU which was loaded before it, and drops them all.
 */
void svm_vcpu_unload(struct vcpu *v)
{
	v->launched = false;
}

/* Guest and nested translations go together: AMD-V keeps only the combined ones by ASID. */
void svm_flush(struct vcpu *v)
{
	struct vmcb *b = vmcb_of(v);

	if (b->tlb_control == SVM_TLB_NOTHING)
		b->tlb_control = svm_config.flush;
}

void svm_tsc_offset_set(struct vcpu *v, uint64_t offset)
{
	vmcb_of(v)->tsc_offset = offset;
	changed(vmcb_of(v), SVM_CLEAN_I);
}

const struct virt_ops svm_ops = {
	.name = "AMD-V",
	.stage2_format = &pt_format_npt,
	.cpu_check = svm_cpu_check,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vcpu_init = svm_vcpu_init,
	.vcpu_load = svm_vcpu_load,
	.vcpu_unload = svm_vcpu_unload,
	.run = svm_run,
	.state_set = svm_state_set,
	.state_get = svm_state_get,
	.mode_get = svm_mode_get,
	.code_root = svm_code_root,
	.segment_get = svm_segment_get,
	.segment_set = svm_segment_set,
	.table_get = svm_table_get,
	.table_set = svm_table_set,
	.shadow_begin = svm_shadow_begin,
	.nmi_block = svm_nmi_block,
	.debug_trap = svm_debug_trap,
	.reg_read = svm_reg_read,
	.reg_write = svm_reg_write,
	.tsc_offset_set = svm_tsc_offset_set,
	.instruction_done = svm_instruction_done,
	.interruptibility = svm_interruptibility,
	.flush_guest_tlb = svm_flush,
	.flush_stage2 = svm_flush,
};
