/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each exit means, the same for every vendor: one function per reason, and the table of them.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "hv/vm/vm.h"

static enum exit_action exit_unknown(struct vcpu *v, const struct vm_exit *e)
{
	vm_stop(vm_cpu_of(v)->vm, STOP_FAILED, "exit %u, which nothing handles", e->raw);
	return ACT_RESUME;
}

static enum exit_action exit_interrupt(struct vcpu *v, const struct vm_exit *e)
{
	(void)v;
	(void)e;
	vm_host.poll();
	return ACT_RESUME;
}

static enum exit_action exit_resume(struct vcpu *v, const struct vm_exit *e)
{
	(void)v;
	(void)e;
	return ACT_RESUME;
}

static enum exit_action exit_window(struct vcpu *v, const struct vm_exit *e)
{
	(void)e;
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
	return ACT_RESUME;
}

/*
 * #DB and #AC are intercepted so that a guest whose handler raises them again leaves the CPU each
 * time and can be stopped.
 */
static enum exit_action exit_exception(struct vcpu *v, const struct vm_exit *e)
{
	struct vm_cpu *c = vm_cpu_of(v);

	vm_inject_exception(c, e->exception.vector, e->exception.has_error, e->exception.error);
	if (e->exception.type >= EVENT_SOFT_INTERRUPT && v->event.vector == e->exception.vector) {
		v->event.type = e->exception.type; /* INT1: the frame points behind it */
		v->event.insn_len = e->insn_len;
	}
	return ACT_RESUME;
}

static inline enum exit_action cpuid_answer(struct vcpu *v, const struct cpuid_regs *r)
{
	v->gpr[RAX] = r->eax;
	v->gpr[RBX] = r->ebx;
	v->gpr[RCX] = r->ecx;
	v->gpr[RDX] = r->edx;
	return ACT_NEXT;
}

/* In a function of its own, so that the usual case below needs no stack frame. */
static NOINLINE enum exit_action exit_cpuid_other(struct vcpu *v)
{
	uint32_t leaf = (uint32_t)v->gpr[RAX], subleaf = (uint32_t)v->gpr[RCX];

	if (leaf == CPUID_LEAF_XSAVE)
		vm_xcr0_seen(vm_cpu_of(v));
	return cpuid_answer(v, cpuid_table_find(&vm_cpu_of(v)->cpuid, leaf, subleaf));
}

static enum exit_action exit_cpuid(struct vcpu *v, const struct vm_exit *e)
{
	const struct cpuid_regs *r = cpuid_table_find_basic(
		&vm_cpu_of(v)->cpuid, (uint32_t)v->gpr[RAX]);

	(void)e;
	return LIKELY(r) ? cpuid_answer(v, r) : exit_cpuid_other(v);
}

static enum exit_action exit_hlt(struct vcpu *v, const struct vm_exit *e)
{
	(void)e;
	vm_cpu_of(v)->halted = true;
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
	return ACT_NEXT;
}

/* A 32-bit result clears the upper half, smaller ones leave the rest alone. */
static void write_rax(struct vcpu *v, uint64_t value, unsigned size)
{
	uint64_t keep = size == 4 ? 0 : ~mask_bytes(size);

	v->gpr[RAX] = (v->gpr[RAX] & keep) | (value & mask_bytes(size));
}

static NOINLINE enum exit_action port_in(struct vcpu *v, const struct vm_exit *e)
{
	uint64_t value;

	bus_read(&vm_cpu_of(v)->vm->ports, e->io.port, e->io.size, &value);
	write_rax(v, value, e->io.size);
	return ACT_NEXT;
}

static NOINLINE enum exit_action port_out(struct vcpu *v, const struct vm_exit *e)
{
	bus_write(&vm_cpu_of(v)->vm->ports, e->io.port, e->io.size, v->gpr[RAX]);
	return ACT_NEXT;
}

static NOINLINE enum exit_action exit_io_other(struct vcpu *v, const struct vm_exit *e)
{
	if (e->io.kind == IO_IN && !vm_cpu_of(v)->io_breakpoints)
		return port_in(v, e);
	return vm_emulate(vm_cpu_of(v), e);
}

static enum exit_action exit_io(struct vcpu *v, const struct vm_exit *e)
{
	if (LIKELY(!(e->io.kind | vm_cpu_of(v)->io_breakpoints)))
		return port_out(v, e);
	return exit_io_other(v, e);
}

static enum exit_action exit_rdmsr(struct vcpu *v, const struct vm_exit *e)
{
	uint64_t value = 0;

	(void)e;
	if (!vm_msr_read(vm_cpu_of(v), (uint32_t)v->gpr[RCX], &value)) {
		vm_inject_gp(vm_cpu_of(v));
		return ACT_RESUME;
	}
	v->gpr[RAX] = (uint32_t)value;
	v->gpr[RDX] = value >> 32;
	return ACT_NEXT;
}

static uint64_t edx_eax(const struct vcpu *v)
{
	return v->gpr[RDX] << 32 | (uint32_t)v->gpr[RAX];
}

static enum exit_action gp_unless(struct vcpu *v, bool good)
{
	if (good)
		return ACT_NEXT;
	vm_inject_gp(vm_cpu_of(v));
	return ACT_RESUME;
}

static enum exit_action exit_wrmsr(struct vcpu *v, const struct vm_exit *e)
{
	(void)e;
	return gp_unless(v, vm_msr_write(vm_cpu_of(v), (uint32_t)v->gpr[RCX], edx_eax(v)));
}

static enum exit_action exit_xsetbv(struct vcpu *v, const struct vm_exit *e)
{
	(void)e;
	return gp_unless(v, vm_xcr0_write(vm_cpu_of(v), (uint32_t)v->gpr[RCX], edx_eax(v)));
}

static bool write_cr(struct vm_cpu *c, unsigned number, uint64_t value)
{
	switch (number) {
	case 0: return vm_cr0_write(c, value);
	case 4: return vm_cr4_write(c, value);
	case 8:
		__atomic_or_fetch(&c->vcpu.attention, VCPU_EVENT, __ATOMIC_RELAXED);
		return lapic_cr8_write(&c->lapic, value) == OK;
	default: return false;
	}
}

static enum exit_action exit_cr(struct vcpu *v, const struct vm_exit *e)
{
	struct vm_cpu *c = vm_cpu_of(v);
	uint64_t cr0;

	switch (e->cr.kind) {
	case CR_READ:
		vcpu_gpr_write(v, e->cr.gpr,
			e->cr.number == 8 ? lapic_cr8(&c->lapic) : v->ops->reg_read(v, REG_CR4));
		return ACT_NEXT;
	case CR_WRITE: return gp_unless(v, write_cr(c, e->cr.number, vcpu_gpr_read(v, e->cr.gpr)));
	case CR_CLTS:
		cr0 = v->ops->reg_read(v, REG_CR0);
		return gp_unless(v, vm_cr0_write(c, cr0 & ~CR0_TS));
	default: /* LMSW writes bits 3:0 and cannot clear PE */
		cr0 = v->ops->reg_read(v, REG_CR0);
		cr0 = (cr0 & ~(uint64_t)(CR0_MP | CR0_EM | CR0_TS)) | (e->cr.lmsw & 0xf);
		return gp_unless(v, vm_cr0_write(c, cr0));
	}
}

static enum exit_action exit_apic_write(struct vcpu *v, const struct vm_exit *e)
{
	vm_lapic_page_written(vm_cpu_of(v), e->apic.offset);
	return ACT_RESUME;
}

static enum exit_action exit_apic_eoi(struct vcpu *v, const struct vm_exit *e)
{
	struct vm_cpu *c = vm_cpu_of(v);

	vm_lapic_sync(c);
	lapic_eoi_done(&c->lapic, e->apic.vector);
	return ACT_RESUME;
}

static enum exit_action exit_stage2(struct vcpu *v, const struct vm_exit *e)
{
	return vm_move_again(vm_cpu_of(v), e) ? ACT_RESUME : vm_emulate(vm_cpu_of(v), e);
}

/*
 * Guest memory is write-back and coherent whatever the guest does with caches, and WBINVD on behalf
 * of one guest would empty the caches of all: nothing needs to happen.
 */
static enum exit_action exit_next(struct vcpu *v, const struct vm_exit *e)
{
	(void)v;
	(void)e;
	return ACT_NEXT;
}

static enum exit_action exit_undefined(struct vcpu *v, const struct vm_exit *e)
{
	(void)e;
	vm_inject_ud(vm_cpu_of(v));
	return ACT_RESUME;
}

static enum exit_action exit_forbidden(struct vcpu *v, const struct vm_exit *e)
{
	(void)e;
	vm_inject_gp(vm_cpu_of(v));
	return ACT_RESUME;
}

static enum exit_action exit_task_switch(struct vcpu *v, const struct vm_exit *e)
{
	return vm_task_switch(vm_cpu_of(v), e);
}

static enum exit_action exit_triple_fault(struct vcpu *v, const struct vm_exit *e)
{
	(void)e;
	vm_stop(vm_cpu_of(v)->vm, STOP_FAILED, "triple fault");
	return ACT_RESUME;
}

static enum exit_action exit_entry_failure(struct vcpu *v, const struct vm_exit *e)
{
	vm_stop(vm_cpu_of(v)->vm, STOP_FAILED,
		"the CPU refused to enter the guest: error %u, detail 0x%lx", e->failure.error,
		(unsigned long)e->failure.detail);
	return ACT_RESUME;
}

const struct vcpu_hooks vm_hooks = {
	.before_entry = vm_before_entry,
	.decode = vm_decode,
	.exit =
		{
			[EXIT_UNKNOWN] = exit_unknown,
			[EXIT_AGAIN] = exit_resume,
			[EXIT_INTERRUPT] = exit_interrupt,
			[EXIT_NMI] = exit_resume,
			[EXIT_INTERRUPT_WINDOW] = exit_window,
			[EXIT_NMI_WINDOW] = exit_window,
			[EXIT_EXCEPTION] = exit_exception,
			[EXIT_CPUID] = exit_cpuid,
			[EXIT_HLT] = exit_hlt,
			[EXIT_IO] = exit_io,
			[EXIT_RDMSR] = exit_rdmsr,
			[EXIT_WRMSR] = exit_wrmsr,
			[EXIT_CR] = exit_cr,
			[EXIT_TPR] = exit_window,
			[EXIT_APIC_WRITE] = exit_apic_write,
			[EXIT_APIC_EOI] = exit_apic_eoi,
			[EXIT_XSETBV] = exit_xsetbv,
			[EXIT_HYPERCALL] = exit_undefined, /* there are no hypercalls */
			[EXIT_STAGE2] = exit_stage2,
			[EXIT_CACHE_CONTROL] = exit_next,
			[EXIT_UNDEFINED] = exit_undefined,
			[EXIT_FORBIDDEN] = exit_forbidden,
			[EXIT_TASK_SWITCH] = exit_task_switch,
			[EXIT_INIT] = exit_resume,
			[EXIT_SIPI] = exit_resume,
			[EXIT_TRIPLE_FAULT] = exit_triple_fault,
			[EXIT_ENTRY_FAILURE] = exit_entry_failure,
		},
};
