/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a vCPU begins: vCPU 0 where the loaded image wants it, any other, and whoever took an INIT,
 * in real mode where a SIPI sends it (SDM vol. 3, "Multiple-Processor Initialization" and the
 * table of states after INIT). Everything here runs on the vCPU's own CPU, its state loaded.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/virt/switch.h"
#include "hv/lib/string.h"
#include "hv/vm/pc.h"
#include "hv/vm/vm.h"

#define REAL_LIMIT   0xffffu
#define REAL_CODE    0x9bu /* present, code, readable, accessed */
#define REAL_DATA    0x93u
#define REAL_LDT     0x82u
#define REAL_TSS     0x8bu /* busy */
#define RESET_CS     0xf000u
#define RESET_CSBASE 0xffff0000u
#define RESET_IP     0xfff0u

static struct segment segment_of(uint16_t selector, uint64_t descriptor)
{
	uint32_t limit = (uint32_t)((descriptor & 0xffff) | ((descriptor >> 32) & 0xf0000));

	if (descriptor >> 55 & 1)
		limit = limit << 12 | 0xfff;
	return (struct segment){
		.selector = selector,
		.attr = (uint32_t)(descriptor >> 40 & 0xf0ff),
		.limit = limit,
		.base = (descriptor >> 16 & 0xffffff) | (descriptor >> 32 & 0xff000000),
	};
}

static void entry_state(const struct load_entry *entry, struct vcpu_state *s)
{
	uint64_t code = entry->mode == LOAD_MODE_LONG ? LOAD_DESC_CODE64 : LOAD_DESC_CODE32;

	memset(s, 0, sizeof(*s));
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s->seg[i] = segment_of(LOAD_DS(entry->cs), LOAD_DESC_DATA);
	s->seg[SEG_CS] = segment_of(entry->cs, code);
	s->seg[SEG_LDTR] = (struct segment){.attr = SEG_ATTR_UNUSABLE | 0x82};
	s->seg[SEG_TR] = (struct segment){.attr = 0x8b, .limit = 0x67}; /* a busy TSS at 0 */
	s->gdtr = (struct descriptor_table){entry->gdt_base, entry->gdt_limit};
	s->rip = entry->rip;
	s->rsp = entry->rsp;
	s->rflags = RFLAGS_RESERVED;
	s->cr0 = entry->cr0;
	s->cr3 = entry->cr3;
	s->cr4 = entry->cr4;
	s->efer = entry->efer;
	s->dr7 = DR7_RESET;
}

static void enter_image(struct vm_cpu *c)
{
	const struct load_entry *entry = &c->vm->entry;
	struct vcpu_state state;

	entry_state(entry, &state);
	c->vcpu.ops->state_set(&c->vcpu, &state);
	c->vcpu.gpr[RAX] = entry->rax;
	c->vcpu.gpr[RBX] = entry->rbx;
	c->vcpu.gpr[RSI] = entry->rsi;
	c->vcpu.gpr[RDI] = entry->rdi;
}

/* At the reset vector. `cache_bits` are CR0.CD and NW, which INIT leaves as they are. */
static void reset_registers(struct vm_cpu *c, uint64_t cache_bits)
{
	struct vcpu *v = &c->vcpu;
	struct vcpu_state s;

	memset(&s, 0, sizeof(s));
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){0, REAL_DATA, REAL_LIMIT, 0};
	s.seg[SEG_CS] = (struct segment){RESET_CS, REAL_CODE, REAL_LIMIT, RESET_CSBASE};
	s.seg[SEG_LDTR] = (struct segment){0, REAL_LDT, REAL_LIMIT, 0};
	s.seg[SEG_TR] = (struct segment){0, REAL_TSS, REAL_LIMIT, 0};
	s.gdtr = s.idtr = (struct descriptor_table){0, REAL_LIMIT};
	s.rip = RESET_IP;
	s.rflags = RFLAGS_RESERVED;
	s.cr0 = cache_bits | CR0_ET;
	s.dr7 = DR7_RESET;
	v->ops->state_set(v, &s);
	v->ops->flush_guest_tlb(v);
	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[RDX] = cpuid_table_find(&c->cpuid, CPUID_LEAF_FEATURES, 0)->eax;
	switch_debug_reset();
	c->io_breakpoints = false;
	cpuid_table_update(&c->cpuid, 0, c->xcr0, c->lapic.mode != LAPIC_DISABLED);
}

/*
 * The LAPIC keeps its mode, base and ID; FPU, XCR0, TSC, MTRRs and PAT stay too. Whatever was on
 * its way to this vCPU is lost.
 */
void vm_cpu_reset(struct vm_cpu *c)
{
	struct vcpu *v = &c->vcpu;

	reset_registers(c, v->ops->reg_read(v, REG_CR0) & (CR0_CD | CR0_NW));
	vm_fetch_forget(c); /* CR4.LA57 is gone */
	v->event.valid = v->reinject.valid = false;
	c->extint_pending = c->interrupt_again = c->halted = false;
	c->nmi_pending = 0;
	lapic_reset_init(&c->lapic);
	c->lapic_used = true;
	vm_lapic_changed(c);
	vm_lapic_rearm(c);
	c->waits_for_sipi = true;
}

/* Once started, a vCPU ignores further ones until the next INIT. */
void vm_cpu_startup(struct vm_cpu *c, uint8_t vector)
{
	struct vcpu *v = &c->vcpu;
	struct vcpu_state s;

	if (!c->waits_for_sipi)
		return;
	c->waits_for_sipi = false;
	v->ops->state_get(v, &s);
	s.seg[SEG_CS] = (struct segment){
		(uint16_t)(vector << 8), REAL_CODE, REAL_LIMIT, (uint64_t)vector << 12};
	s.rip = 0;
	v->ops->state_set(v, &s);
}

static void set_first_state(struct vm_cpu *c)
{
	c->waits_for_sipi = c->vcpu.id != 0;
	if (c->waits_for_sipi)
		reset_registers(c, CR0_CD | CR0_NW);
	else
		enter_image(c);
}

void vm_cpu_run(struct vm_cpu *c)
{
	struct vcpu *v = &c->vcpu;

	v->ops->vcpu_load(v);
	switch_owner(c->cpuid.xcr0_allowed, v->has_rdtscp);
	set_first_state(c);
	c->tsc_offset = 0 - c->vm->start_tsc;
	v->ops->tsc_offset_set(v, c->tsc_offset);
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
	v->ops->run(v);
	if (c->vm->stop.kind == STOP_FAILED && c->vm->stop.cpu == v->cpu)
		vm_report(c);
	vm_host.timer_arm(&c->lapic_timer, TIMER_NEVER);
	if (v->id == 0)
		pc_stop(c->vm);
	v->ops->vcpu_unload(v);
}
