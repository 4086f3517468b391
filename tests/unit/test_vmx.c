/* SPDX-License-Identifier: Apache-2.0 */
/* VT-x: decoding of exits, what is injected, stepping over instructions, windows, registers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/vmx_world.h"

FAKE_FAIL_IN_CMOCKA()

#define INFO(type, vector) ((uint32_t)(type) << INTR_INFO_TYPE_SHIFT | (vector))

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	world_init();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_fini();
	return 0;
}

/* ---- Decoding ---- */

static uint32_t raw_reason;

static void exits_raw(struct vcpu *v)
{
	(void)v;
	fake_exit(raw_reason, 0);
	/* So that rows that need them can read them; that others do not is tested by the price. */
	fake_vmcs_set(VMCS_EXIT_INSN_LENGTH, 3);
	fake_vmcs_set(VMCS_GUEST_PHYSICAL, 0xfee00000);
}

static const struct {
	uint8_t raw, reason;
	bool length;
} decoded[] = {
	{VMX_EXIT_EXCEPTION_NMI, EXIT_EXCEPTION, false},
	{VMX_EXIT_EXTERNAL_INTERRUPT, EXIT_INTERRUPT, false},
	{VMX_EXIT_TRIPLE_FAULT, EXIT_TRIPLE_FAULT, false},
	{VMX_EXIT_INIT, EXIT_INIT, false},
	{VMX_EXIT_SIPI, EXIT_SIPI, false},
	{VMX_EXIT_INTERRUPT_WINDOW, EXIT_INTERRUPT_WINDOW, false},
	{VMX_EXIT_NMI_WINDOW, EXIT_NMI_WINDOW, false},
	{VMX_EXIT_TASK_SWITCH, EXIT_TASK_SWITCH, true},
	{VMX_EXIT_CPUID, EXIT_CPUID, true},
	{VMX_EXIT_GETSEC, EXIT_UNDEFINED, false},
	{VMX_EXIT_HLT, EXIT_HLT, true},
	{VMX_EXIT_INVD, EXIT_CACHE_CONTROL, true},
	{VMX_EXIT_RDPMC, EXIT_FORBIDDEN, false},
	{VMX_EXIT_VMCALL, EXIT_HYPERCALL, true},
	{VMX_EXIT_VMCLEAR, EXIT_UNDEFINED, false},
	{20, EXIT_UNDEFINED, false}, /* VMLAUNCH */
	{21, EXIT_UNDEFINED, false}, /* VMPTRLD */
	{22, EXIT_UNDEFINED, false}, /* VMPTRST */
	{23, EXIT_UNDEFINED, false}, /* VMREAD */
	{24, EXIT_UNDEFINED, false}, /* VMRESUME */
	{25, EXIT_UNDEFINED, false}, /* VMWRITE */
	{26, EXIT_UNDEFINED, false}, /* VMXOFF */
	{VMX_EXIT_VMXON, EXIT_UNDEFINED, false},
	{VMX_EXIT_CR_ACCESS, EXIT_CR, true},
	{VMX_EXIT_IO, EXIT_IO, true},
	{VMX_EXIT_RDMSR, EXIT_RDMSR, true},
	{VMX_EXIT_WRMSR, EXIT_WRMSR, true},
	{VMX_EXIT_MWAIT, EXIT_UNDEFINED, false},
	{VMX_EXIT_MONITOR, EXIT_UNDEFINED, false},
	{VMX_EXIT_TPR_THRESHOLD, EXIT_TPR, false},
	{VMX_EXIT_APIC_ACCESS, EXIT_STAGE2, false},
	{VMX_EXIT_APIC_WRITE, EXIT_APIC_WRITE, false},
	{VMX_EXIT_VIRTUALIZED_EOI, EXIT_APIC_EOI, false},
	{VMX_EXIT_EPT_VIOLATION, EXIT_STAGE2, false},
	{VMX_EXIT_EPT_MISCONFIG, EXIT_ENTRY_FAILURE, false},
	{VMX_EXIT_INVEPT, EXIT_UNDEFINED, false},
	{VMX_EXIT_RDTSCP, EXIT_UNDEFINED, false},
	{VMX_EXIT_INVVPID, EXIT_UNDEFINED, false},
	{VMX_EXIT_WBINVD, EXIT_CACHE_CONTROL, true},
	{VMX_EXIT_XSETBV, EXIT_XSETBV, true},
	{VMX_EXIT_INVPCID, EXIT_UNDEFINED, false},
	{VMX_EXIT_VMFUNC, EXIT_UNDEFINED, false},
};

/* Every number: the known ones as the table says, all others unknown and never a success. */
static void every_reason(void **state)
{
	(void)state;
	for (raw_reason = 0; raw_reason < 200; raw_reason++) {
		unsigned expected = EXIT_UNKNOWN, length = 0;
		const struct vm_exit *e = world_run(exits_raw, ACT_LEAVE);

		for (unsigned i = 0; i < ARRAY_SIZE(decoded); i++) {
			if (decoded[i].raw == raw_reason) {
				expected = decoded[i].reason;
				length = decoded[i].length ? 3 : 0;
			}
		}
		if (e->reason != expected || e->insn_len != length || e->raw != raw_reason)
			fail_msg("exit %u: reason %u not %u, length %u not %u", raw_reason,
				e->reason, expected, e->insn_len, length);
	}
}

static uint64_t qualification;
static uint32_t raw_info, raw_error;

static void exits_io(struct vcpu *v)
{
	(void)v;
	fake_exit_insn(VMX_EXIT_IO, qualification, 2);
}

static void decode_io(void **state)
{
	static const struct {
		uint64_t qualification;
		uint16_t port;
		uint8_t size;
		bool in, string, rep;
	} rows[] = {
		{0x00800000, 0x80, 1, false, false, false},
		{0x03f80008, 0x3f8, 1, true, false, false},
		{0x0cf80003, 0xcf8, 4, false, false, false},
		{0xffff0009, 0xffff, 2, true, false, false},
		{0x01f00039, 0x1f0, 2, true, true, true},
		{0x01f00010, 0x1f0, 1, false, true, false},
		{0x00600048, 0x60, 1, true, false, false}, /* immediate operand: same */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct vm_exit *e;

		qualification = rows[i].qualification;
		e = world_run(exits_io, ACT_LEAVE);
		assert_int_equal(e->io.port, rows[i].port);
		assert_int_equal(e->io.size, rows[i].size);
		assert_int_equal(e->io.kind, (rows[i].in ? IO_IN : 0) |
						     (rows[i].string ? IO_STRING : 0) |
						     (rows[i].rep ? IO_REP : 0));
	}
}

static void exits_cr(struct vcpu *v)
{
	(void)v;
	fake_exit_insn(VMX_EXIT_CR_ACCESS, qualification, 3);
}

static void decode_cr(void **state)
{
	static const struct {
		uint64_t qualification;
		uint8_t number, kind, gpr;
		uint16_t lmsw;
	} rows[] = {
		{0x0000, 0, CR_WRITE, RAX, 0},
		{0x0504, 4, CR_WRITE, RBP, 0},
		{0x0408, 8, CR_WRITE, RSP, 0},
		{0x0f18, 8, CR_READ, R15, 0},
		{0x0020, 0, CR_CLTS, RAX, 0},
		{0xfff10030, 0, CR_LMSW, RAX, 0xfff1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct vm_exit *e;

		qualification = rows[i].qualification;
		e = world_run(exits_cr, ACT_LEAVE);
		assert_int_equal(e->cr.number, rows[i].number);
		assert_int_equal(e->cr.kind, rows[i].kind);
		assert_int_equal(e->cr.gpr, rows[i].gpr);
		assert_int_equal(e->cr.lmsw, rows[i].lmsw);
	}
}

static void exits_ept(struct vcpu *v)
{
	(void)v;
	fake_exit_ept(0x123456789, 0xffff800012345678, qualification);
}

static void decode_ept(void **state)
{
	const struct vm_exit *e;

	(void)state;
	qualification = 0x181; /* read, linear address valid, of the access itself */
	e = world_run(exits_ept, ACT_LEAVE);
	assert_int_equal(e->stage2.gpa, 0x123456789);
	assert_int_equal(e->stage2.gva, 0xffff800012345678);
	assert_true(e->stage2.read && !e->stage2.write && !e->stage2.fetch);
	assert_true(e->stage2.gva_valid && !e->stage2.mapped && !e->stage2.walking);
	qualification = 0x082 | 0x8; /* write, to a page that can be read, during a page walk */
	e = world_run(exits_ept, ACT_LEAVE);
	assert_true(!e->stage2.read && e->stage2.write && !e->stage2.fetch);
	assert_true(e->stage2.mapped && e->stage2.walking);
	qualification = 0x004; /* fetch; no linear address: it must not be read */
	e = world_run(exits_ept, ACT_LEAVE);
	assert_true(e->stage2.fetch && !e->stage2.gva_valid && !e->stage2.walking);
}

static void exits_exception(struct vcpu *v)
{
	(void)v;
	fake_exit_exception(raw_info, raw_error, qualification);
	if ((raw_info >> 8 & 7) >= EVENT_SOFT_INTERRUPT)
		fake_vmcs_set(VMCS_EXIT_INSN_LENGTH, 1);
}

static void decode_exceptions(void **state)
{
	const struct vm_exit *e;

	(void)state;
	raw_info = INFO(EVENT_EXCEPTION, EXC_AC) | INTR_INFO_ERROR_VALID;
	raw_error = 0;
	e = world_run(exits_exception, ACT_LEAVE);
	assert_int_equal(e->reason, EXIT_EXCEPTION);
	assert_int_equal(e->exception.vector, EXC_AC);
	assert_int_equal(e->exception.type, EVENT_EXCEPTION);
	assert_true(e->exception.has_error);
	raw_info = INFO(EVENT_EXCEPTION, EXC_DB);
	qualification = 0x4001;
	fake_this->dr[6] = DR6_RESET | 8;
	fake_vmcs_set(VMCS_GUEST_DR7, DR7_RESET | DR7_GD | 1);
	e = world_run(exits_exception, ACT_LEAVE);
	assert_int_equal(fake_this->dr[6], DR6_RESET | 0x4001); /* as delivery would leave them */
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_DR7), DR7_RESET | 1);
	assert_false(e->exception.has_error);
	assert_int_equal(e->insn_len, 0);
	raw_info = INFO(EVENT_PRIVILEGED_SOFT, EXC_DB); /* INT1, which is no debug condition */
	fake_this->dr[6] = DR6_RESET | 8;
	e = world_run(exits_exception, ACT_LEAVE);
	assert_int_equal(fake_this->dr[6], DR6_RESET | 8);
	assert_int_equal(e->exception.type, EVENT_PRIVILEGED_SOFT);
	assert_int_equal(e->insn_len, 1);
}

/* The host's NMI and #MC are the host's: its handler runs before anything else. */
static void host_events(void **state)
{
	(void)state;
	qualification = 0;
	raw_info = INFO(EVENT_NMI, EXC_NMI);
	assert_int_equal(world_run(exits_exception, ACT_LEAVE)->reason, EXIT_NMI);
	assert_int_equal(fake.count[FAKE_HOST_NMI], 1);
	raw_info = INFO(EVENT_EXCEPTION, EXC_MC);
	assert_int_equal(world_run(exits_exception, ACT_LEAVE)->reason, EXIT_NMI);
	assert_int_equal(fake.count[FAKE_HOST_MC], 1);
	raw_reason = VMX_EXIT_ENTRY_MACHINE_CHECK | VMX_EXIT_ENTRY_FAILURE;
	assert_int_equal(world_run(exits_raw, ACT_LEAVE)->reason, EXIT_ENTRY_FAILURE);
	assert_int_equal(fake.count[FAKE_HOST_MC], 1);
	raw_reason = VMX_EXIT_EXTERNAL_INTERRUPT;
	world_run(exits_raw, ACT_LEAVE);
	assert_int_equal(fake.count[FAKE_IRQ_WINDOW], 1);
}

/* ---- Events cut short ---- */

static uint32_t vectoring_info, vectoring_error, vectoring_len;

static void cuts_short(struct vcpu *v)
{
	(void)v;
	fake_exit_ept(0x5000, 0, 2);
	fake_vectoring(vectoring_info, vectoring_error, vectoring_len);
}

static void sees_injection(struct vcpu *v)
{
	(void)v;
	assert_true(fake_vmx.injected.valid);
	fake_exit(VMX_EXIT_TRIPLE_FAULT, 0);
}

static void reinjection(void **state)
{
	static const struct {
		uint32_t info, error, length;
	} rows[] = {
		{INFO(EVENT_INTERRUPT, 0xec), 0, 0},
		{INFO(EVENT_NMI, EXC_NMI), 0, 0},
		{INFO(EVENT_EXCEPTION, EXC_DE), 0, 0},
		{INFO(EVENT_EXCEPTION, EXC_PF) | INTR_INFO_ERROR_VALID, 7, 0},
		{INFO(EVENT_SOFT_INTERRUPT, 0x80), 0, 2},
		{INFO(EVENT_SOFT_EXCEPTION, EXC_BP), 0, 1},
		{INFO(EVENT_PRIVILEGED_SOFT, EXC_DB), 0, 1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct fake_injection *in = &fake_vmx.injected;

		vectoring_info = rows[i].info;
		vectoring_error = rows[i].error;
		vectoring_len = rows[i].length;
		fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_RESERVED | RFLAGS_IF);
		/* The NMI whose delivery is repeated had blocked NMIs already. */
		fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY,
			rows[i].info == INFO(EVENT_NMI, EXC_NMI) ? INTERRUPTIBILITY_NMI : 0);
		world_run(cuts_short, ACT_RESUME);
		assert_int_equal(world.at, 2);
		assert_true(in->valid);
		assert_int_equal(in->vector, rows[i].info & 0xff);
		assert_int_equal(in->type, rows[i].info >> 8 & 7);
		assert_int_equal(in->has_error, !!(rows[i].info & INTR_INFO_ERROR_VALID));
		assert_int_equal(in->error, rows[i].error);
		assert_int_equal(in->insn_len, rows[i].length);
		assert_int_equal(fake.count[FAKE_INJECT], 1);
		assert_false(world.v.reinject.valid);
	}
}

/*
 * IRET unblocked NMIs and then faulted: they are blocked again, unless another event was being
 * delivered.
 */
static void nmi_unblocking(void **state)
{
	(void)state;
	qualification = INTR_INFO_NMI_UNBLOCK | 0x181;
	world_run(exits_ept, ACT_LEAVE);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), INTERRUPTIBILITY_NMI);
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, 0);
	qualification = 0;
	raw_info = INFO(EVENT_EXCEPTION, EXC_AC) | INTR_INFO_ERROR_VALID | INTR_INFO_NMI_UNBLOCK;
	raw_error = 0;
	world_run(exits_exception, ACT_LEAVE);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), INTERRUPTIBILITY_NMI);
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, 0);
	raw_info &= ~(uint32_t)INTR_INFO_NMI_UNBLOCK;
	world_run(exits_exception, ACT_LEAVE);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), 0);
}

static void switches_task(struct vcpu *v)
{
	(void)v;
	fake_exit_insn(VMX_EXIT_TASK_SWITCH, qualification, 7);
	if (vectoring_info)
		fake_vectoring(vectoring_info, vectoring_error, vectoring_len);
}

/* The event that goes through a task gate is kept: it is what the new task gets. */
static void decode_task_switch(void **state)
{
	static const struct {
		uint32_t qualification, vectoring, error;
		uint16_t selector;
		uint8_t source, length;
	} rows[] = {
		{0x00000028, 0, 0, 0x28, TASK_CALL, 7},
		{0x4000fff0, 0, 0, 0xfff0, TASK_IRET, 7},
		{0x80000033, 0, 0, 0x33, TASK_JMP, 7},
		{0xc0000040, INFO(EVENT_INTERRUPT, 0xec), 0, 0x40, TASK_GATE, 0},
		{0xc0000040, INFO(EVENT_NMI, EXC_NMI), 0, 0x40, TASK_GATE, 0},
		{0xc0000040, INFO(EVENT_EXCEPTION, EXC_TS) | INTR_INFO_ERROR_VALID, 0x1234, 0x40,
			TASK_GATE, 0},
		{0xc0000040, INFO(EVENT_SOFT_INTERRUPT, 0x80), 0, 0x40, TASK_GATE, 2},
		{0xc0000040, INFO(EVENT_SOFT_EXCEPTION, EXC_BP), 0, 0x40, TASK_GATE, 1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct vcpu_event *event = &world.v.reinject;
		const struct vm_exit *e;

		qualification = rows[i].qualification;
		vectoring_info = rows[i].vectoring;
		vectoring_error = rows[i].error;
		vectoring_len = rows[i].length;
		world.v.reinject.valid = false;
		e = world_run(switches_task, ACT_LEAVE);
		assert_int_equal(e->reason, EXIT_TASK_SWITCH);
		assert_int_equal(e->task.selector, rows[i].selector);
		assert_int_equal(e->info, rows[i].selector);
		assert_int_equal(e->task.source, rows[i].source);
		if (rows[i].length) /* of others it means nothing */
			assert_int_equal(e->insn_len, rows[i].length);
		assert_int_equal(event->valid, rows[i].vectoring != 0);
		if (!event->valid)
			continue;
		assert_int_equal(event->vector, rows[i].vectoring & 0xff);
		assert_int_equal(event->type, rows[i].vectoring >> 8 & 7);
		assert_int_equal(event->has_error, !!(rows[i].vectoring & INTR_INFO_ERROR_VALID));
		assert_int_equal(event->error, rows[i].error);
	}
}

static void nmi_block(void **state)
{
	static const uint64_t others[] = {0, INTERRUPTIBILITY_STI, INTERRUPTIBILITY_MOV_SS};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, others[i]);
		for (unsigned again = 0; again < 2; again++) {
			vmx_ops.nmi_block(&world.v, true);
			assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY),
				others[i] | INTERRUPTIBILITY_NMI);
		}
		for (unsigned again = 0; again < 2; again++) {
			vmx_ops.nmi_block(&world.v, false);
			assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), others[i]);
		}
	}
}

/* ---- Injection ---- */

static struct vcpu_event to_inject;

static void choose_to_inject(struct vcpu *v)
{
	v->event = to_inject;
}

static void inject(struct vcpu_event event)
{
	to_inject = event;
	world.before = choose_to_inject;
	world.v.attention = VCPU_EVENT;
	world_run(sees_injection, ACT_LEAVE);
	assert_false(world.v.event.valid);
}

static void injection(void **state)
{
	(void)state;
	inject((struct vcpu_event){true, false, EVENT_INTERRUPT, 0x31, 0, 0});
	assert_int_equal(fake_vmx.injected.vector, 0x31);
	inject((struct vcpu_event){true, true, EVENT_EXCEPTION, EXC_GP, 0, 0x18});
	assert_int_equal(fake_vmx.injected.error, 0x18);
	assert_true(fake_vmx.injected.has_error);
	inject((struct vcpu_event){true, false, EVENT_EXCEPTION, EXC_UD, 0, 0});
	assert_false(fake_vmx.injected.has_error);
	inject((struct vcpu_event){true, false, EVENT_NMI, EXC_NMI, 0, 0});
	assert_int_equal(fake_vmx.injected.type, EVENT_NMI);
}

static void lets_reinject(struct vcpu *v)
{
	if (v->reinject.valid) {
		v->event = v->reinject;
		v->reinject.valid = false;
	} else {
		v->event = to_inject;
	}
}

/*
 * What is posted at the last moment is looked at first, and the event that was to go in is not
 * lost.
 */
static void an_aborted_entry_keeps_its_event(void **state)
{
	(void)state;
	to_inject = (struct vcpu_event){true, true, EVENT_EXCEPTION, EXC_GP, 0, 0x18};
	world.before = lets_reinject;
	world.v.attention = VCPU_EVENT;
	world.before_entry_calls = 0;
	fake_vmx.post_before_entry = VCPU_POSTED;
	world_run(sees_injection, ACT_LEAVE);
	assert_int_equal(world.before_entry_calls, 2);
	assert_int_equal(fake_vmx.injected.vector, EXC_GP);
	assert_int_equal(fake_vmx.injected.error, 0x18);
}

static void use_real_mode(void)
{
	struct vcpu_state s;

	world_state(&s);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){0, 0x93, 0xffff, 0};
	s.seg[SEG_CS].attr = 0x9b;
	s.cr0 = 0x60000010;
	s.cr4 = 0;
	s.efer = 0;
	s.rip = 0x7c00;
	vmx_state_set(&world.v, &s);
}

/* SDM vol. 3, "VM-Entry Controls for Event Injection": no error code is delivered in real mode. */
static void no_error_code_in_real_mode(void **state)
{
	(void)state;
	use_real_mode();
	inject((struct vcpu_event){true, true, EVENT_EXCEPTION, EXC_GP, 0, 0});
	assert_int_equal(fake_vmx.injected.vector, EXC_GP);
	assert_false(fake_vmx.injected.has_error);
}

/* ---- Stepping over an instruction ---- */

static void exits_cpuid(struct vcpu *v)
{
	(void)v;
	fake_exit_insn(VMX_EXIT_CPUID, 0, 2);
}

static void step_over(void **state)
{
	(void)state;
	world_run(exits_cpuid, ACT_NEXT);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), 0x1002);
	assert_int_equal(world.v.rip, 0x1002);
	world_run(exits_cpuid, ACT_RESUME);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), 0x1002);
}

static void step_over_clears_the_shadow(void **state)
{
	(void)state;
	for (unsigned shadow = 1; shadow <= 2; shadow++) {
		fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, shadow | INTERRUPTIBILITY_NMI);
		world_run(exits_cpuid, ACT_NEXT);
		assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), INTERRUPTIBILITY_NMI);
	}
	/* The instruction has not been executed: its shadow stays. */
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI);
	world_run(exits_cpuid, ACT_RESUME);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), INTERRUPTIBILITY_STI);
}

static void single_step(void **state)
{
	(void)state;
	fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_RESERVED | RFLAGS_TF);
	fake_vmcs_set(VMCS_GUEST_PENDING_DEBUG, 1);
	world_run(exits_cpuid, ACT_NEXT);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PENDING_DEBUG), PENDING_DEBUG_BS | 1);
	fake_vmcs_set(VMCS_GUEST_PENDING_DEBUG, 0);
	world_run(exits_cpuid, ACT_RESUME);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PENDING_DEBUG), 0);
	fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_RESERVED);
	world_run(exits_cpuid, ACT_NEXT);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PENDING_DEBUG), 0);
}

/* #DB that no instruction has raised: DR6 and DR7 as its delivery would leave them. */
static void debug_trap(void **state)
{
	struct vcpu *v = &world.v;

	(void)state;
	fake_this->dr[6] = DR6_RESET | 1;
	fake_vmcs_set(VMCS_GUEST_DR7, DR7_RESET | DR7_GD | 3);
	v->attention = 0;
	v->event = (struct vcpu_event){true, true, EVENT_EXCEPTION, EXC_GP, 0, 0x18};
	vmx_ops.debug_trap(v, DR6_BT); /* the exception comes first, and is all there is */
	assert_int_equal(v->event.vector, EXC_GP);
	assert_int_equal(v->attention, 0);
	assert_int_equal(fake_this->dr[6], DR6_RESET | 1);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_DR7), DR7_RESET | DR7_GD | 3);
	v->event.valid = false;
	vmx_ops.debug_trap(v, DR6_BT);
	assert_true(v->event.valid);
	assert_true(v->attention & VCPU_EVENT);
	assert_int_equal(fake_this->dr[6], DR6_RESET | DR6_BT | 1);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_DR7), DR7_RESET | 3);
	world_run(sees_injection, ACT_LEAVE);
	assert_int_equal(fake_vmx.injected.vector, EXC_DB);
	assert_int_equal(fake_vmx.injected.type, EVENT_EXCEPTION);
	assert_false(fake_vmx.injected.has_error);
}

static void steps_over_sti(struct vcpu *v)
{
	(void)v;
	fake_exit_exception(INFO(EVENT_EXCEPTION, EXC_DB), 0, DR6_BS);
	fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_RESERVED | RFLAGS_IF | RFLAGS_TF);
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI);
	fake_vmcs_set(VMCS_GUEST_PENDING_DEBUG, 0);
}

/* The fake's entry checks are the test: in a shadow the CPU wants to see BS. */
static void single_step_over_sti(void **state)
{
	(void)state;
	world_run(steps_over_sti, ACT_RESUME);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), 0);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PENDING_DEBUG), 0);
}

/* RF lasts for one instruction, also where that exits. */
static void resume_flag(void **state)
{
	(void)state;
	fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_RESERVED | RFLAGS_RF);
	vmx_instruction_done(&world.v, 0x1002);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RFLAGS), RFLAGS_RESERVED);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PENDING_DEBUG), 0);
}

static void rip_wraps_outside_64bit_code(void **state)
{
	(void)state;
	/* 64-bit code goes on above 4 GiB ... */
	fake_vmcs_set(VMCS_GUEST_RIP, 0xffffffff);
	world_run(exits_cpuid, ACT_NEXT);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), 0x100000001);
	/* ... 32-bit code at 0. */
	fake_vmcs_set(VMCS_GUEST_ES_RIGHTS + 2 * SEG_CS, 0xc09b);
	fake_vmcs_set(VMCS_GUEST_RIP, 0xffffffff);
	world_run(exits_cpuid, ACT_NEXT);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), 1);
}

/* ---- Windows ---- */

static void wants_windows(struct vcpu *v)
{
	v->want_interrupt_window = true;
	v->want_nmi_window = true;
}

static void wants_nmi_window(struct vcpu *v)
{
	v->want_nmi_window = true;
}

static void windows(void **state)
{
	const struct vm_exit *e;

	(void)state;
	/* Closed: the guest runs, with both controls set. */
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS);
	world.before = wants_windows;
	world.v.attention = VCPU_EVENT;
	world_run(exits_cpuid, ACT_LEAVE);
	assert_int_equal(fake_vmcs_get(VMCS_PROC_CONTROLS),
		vmx_config.proc | PROC_INTERRUPT_WINDOW_EXITING | PROC_NMI_WINDOW_EXITING);
	/* Open: nothing runs. The NMI's comes first. */
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, 0);
	e = world_run(exits_cpuid, ACT_LEAVE);
	assert_int_equal(e->reason, EXIT_NMI_WINDOW);
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
	e = world_run(exits_cpuid, ACT_LEAVE);
	assert_int_equal(e->reason, EXIT_INTERRUPT_WINDOW);
	/* No longer wanted: both controls go, and unchanged ones are not written again. */
	world.before = NULL;
	world.v.want_interrupt_window = world.v.want_nmi_window = false;
	world.v.attention = VCPU_EVENT;
	world_run(exits_cpuid, ACT_LEAVE);
	assert_int_equal(fake_vmcs_get(VMCS_PROC_CONTROLS), vmx_config.proc);
	world.v.attention = VCPU_EVENT;
	world_run(exits_cpuid, ACT_LEAVE);
	assert_int_equal(fake.count[FAKE_VMWRITE], 0);
}

/*
 * A CPU may take the NMI-window exit in the shadow of STI (SDM vol. 3, "Other Causes of VM Exits");
 * if the NMI is not injected there, the guest must still get past that instruction.
 */
static void nmi_window_behind_sti(void **state)
{
	(void)state;
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI);
	world.before = wants_nmi_window;
	world.v.attention = VCPU_EVENT;
	assert_int_equal(world_run(exits_cpuid, ACT_LEAVE)->reason, EXIT_CPUID);
	assert_true(fake_vmcs_get(VMCS_PROC_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING);
}

/* ---- Entries that fail ---- */

static void entry_instruction_fails(void **state)
{
	const struct vm_exit *e;

	(void)state;
	fake_vmx.fail_next = 7;
	e = world_run(exits_cpuid, ACT_LEAVE);
	assert_int_equal(e->reason, EXIT_ENTRY_FAILURE);
	assert_int_equal(e->failure.detail, 7);
	assert_int_equal(world.v.exits[EXIT_ENTRY_FAILURE], 1);
	assert_false(world.v.launched);
}

static void guest_state_is_refused(void **state)
{
	const struct vm_exit *e;

	(void)state;
	fake_vmx.tolerate = true;
	fake_vmcs_set(VMCS_GUEST_RFLAGS, 0);
	e = world_run(exits_cpuid, ACT_LEAVE);
	assert_string_equal(fake_vmx.problem, "RFLAGS bit 1");
	assert_int_equal(e->reason, EXIT_ENTRY_FAILURE);
	assert_int_equal(e->failure.error, VMX_EXIT_ENTRY_GUEST_STATE);
	assert_int_equal(fake_vmx.entries, 0);
}

/* ---- Registers ---- */

static void cr0_shadow(void **state)
{
	struct vcpu *v = &world.v;

	(void)state;
	vmx_reg_write(v, REG_CR0, 0x60000010); /* as after reset: NE clear, CD and NW set */
	assert_int_equal(vmx_reg_read(v, REG_CR0), 0x60000010);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_CR0), CR0_ET | CR0_NE);
	/* What the guest changes without an exit is seen; what it cannot change is ours. */
	fake_vmcs_set(VMCS_GUEST_CR0, CR0_ET | CR0_NE | CR0_PE | CR0_TS);
	assert_int_equal(vmx_reg_read(v, REG_CR0), 0x60000010 | CR0_PE | CR0_TS);
}

static void cr4_shadow(void **state)
{
	struct vcpu *v = &world.v;

	(void)state;
	vmx_reg_write(v, REG_CR4, 0);
	assert_int_equal(vmx_reg_read(v, REG_CR4), 0);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_CR4), CR4_VMXE | CR4_MCE);
	fake_vmcs_set(VMCS_GUEST_CR4, CR4_VMXE | CR4_MCE | CR4_PAE | CR4_SMEP);
	assert_int_equal(vmx_reg_read(v, REG_CR4), CR4_PAE | CR4_SMEP);
	vmx_reg_write(v, REG_CR4, CR4_MCE | CR4_OSXSAVE | CR4_PAE);
	assert_int_equal(vmx_reg_read(v, REG_CR4), CR4_MCE | CR4_OSXSAVE | CR4_PAE);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_CR4), CR4_VMXE | CR4_MCE | CR4_OSXSAVE | CR4_PAE);
	/* The guest may set without an exit what its CPUID has, but for bits that CPUID mirrors. */
	assert_int_equal(fake_vmcs_get(VMCS_CR4_MASK) & CR4_PAE, 0);
	assert_int_equal(
		fake_vmcs_get(VMCS_CR4_MASK) & (CR4_OSXSAVE | CR4_PKE | CR4_MCE | CR4_VMXE),
		CR4_OSXSAVE | CR4_PKE | CR4_MCE | CR4_VMXE);
	assert_int_equal(fake_vmcs_get(VMCS_CR4_MASK) & CR4_SMAP, CR4_SMAP); /* not in CPUID */
	assert_int_equal(fake_vmcs_get(VMCS_CR4_MASK) & CR4_LA57, CR4_LA57); /* vm_fetch_forget */
}

static void efer_and_the_entry_control(void **state)
{
	struct vcpu *v = &world.v;

	(void)state;
	vmx_reg_write(v, REG_EFER, EFER_LME);
	assert_false(fake_vmcs_get(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST);
	assert_int_equal(vmx_reg_read(v, REG_EFER), EFER_LME);
	vmx_reg_write(v, REG_EFER, EFER_LME | EFER_LMA);
	assert_true(fake_vmcs_get(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST);
	assert_int_equal(fake_vmcs_get(VMCS_ENTRY_CONTROLS) & ~(uint64_t)ENTRY_IA32E_MODE_GUEST,
		vmx_config.entry & ~ENTRY_IA32E_MODE_GUEST);
}

static void every_register(void **state)
{
	struct vcpu *v = &world.v;

	(void)state;
	for (unsigned r = 0; r < REG_COUNT; r++) {
		uint64_t value = r == REG_CR4 ? CR4_PAE : r == REG_CR0 ? 0x11 : 0x500 + r;

		vmx_reg_write(v, r, value);
		assert_int_equal(vmx_reg_read(v, r), value);
	}
	/* And each is a register of its own. */
	for (unsigned r = 0; r < REG_COUNT; r++) {
		if (r != REG_CR0 && r != REG_CR4)
			assert_int_equal(vmx_reg_read(v, r), 0x500 + r);
	}
	assert_int_equal(fake_this->cr2, 0x500 + REG_CR2);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_ES_BASE + 2 * SEG_FS), 0x500 + REG_FS_BASE);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_ES_BASE + 2 * SEG_GS), 0x500 + REG_GS_BASE);
	vmx_tsc_offset_set(v, 0x8000000000000001);
	assert_int_equal(fake_vmcs_get(VMCS_TSC_OFFSET), 0x8000000000000001);
	vmx_pdpte_set(v, (const uint64_t[4]){1, 0x1001, 0x2001, 0x3001});
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(fake_vmcs_get(VMCS_GUEST_PDPTE0 + 2 * i), i << 12 | 1);
}

static void state_round_trip(void **state)
{
	struct vcpu_state in, out;

	(void)state;
	world_state(&in);
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		in.seg[i].selector = (uint16_t)(0x10 + 8 * i);
		in.seg[i].base = 0x1000 * i;
	}
	in.gdtr = (struct descriptor_table){0x111000, 0x7f};
	in.idtr = (struct descriptor_table){0x222000, 0xfff};
	in.cr2 = 0xdead;
	memset(&out, 0xff, sizeof(out));
	vmx_state_set(&world.v, &in);
	vmx_state_get(&world.v, &out);
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		assert_int_equal(in.seg[i].selector, out.seg[i].selector);
		assert_int_equal(in.seg[i].base, out.seg[i].base);
		assert_int_equal(in.seg[i].limit, out.seg[i].limit);
		assert_int_equal(in.seg[i].attr, out.seg[i].attr);
	}
	assert_int_equal(in.gdtr.base, out.gdtr.base);
	assert_int_equal(in.gdtr.limit, out.gdtr.limit);
	assert_int_equal(in.idtr.base, out.idtr.base);
	assert_int_equal(in.idtr.limit, out.idtr.limit);
	assert_memory_equal(&in.rip, &out.rip, offsetof(struct vcpu_state, seg));
}

static void interruptibility(void **state)
{
	static const struct {
		uint64_t flags, state;
		uint32_t blocked;
	} rows[] = {
		{RFLAGS_IF, 0, 0},
		{0, 0, VCPU_BLOCKED_INTERRUPTS},
		{RFLAGS_IF, INTERRUPTIBILITY_STI, VCPU_BLOCKED_INTERRUPTS | VCPU_BLOCKED_NMI},
		{RFLAGS_IF, INTERRUPTIBILITY_MOV_SS, VCPU_BLOCKED_INTERRUPTS | VCPU_BLOCKED_NMI},
		{RFLAGS_IF, INTERRUPTIBILITY_NMI, VCPU_BLOCKED_NMI},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_RESERVED | rows[i].flags);
		fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, rows[i].state);
		assert_int_equal(vmx_interruptibility(&world.v), rows[i].blocked);
	}
}

/* ---- Bookkeeping ---- */

static void recorder_and_counts(void **state)
{
	struct vcpu *v = &world.v;

	(void)state;
	v->gpr[RAX] = 0x80000002;
	for (unsigned i = 0; i < RECORDER_SIZE; i++)
		world_run(exits_cpuid, ACT_LEAVE);
	assert_int_equal(v->exits[EXIT_CPUID], RECORDER_SIZE);
	assert_int_equal(v->recorder[0].raw, VMX_EXIT_CPUID);
	assert_int_equal(v->recorder[0].rip, 0x1000);
	assert_int_equal(v->recorder[0].info, 0x80000002);
	qualification = 0x03f80000;
	world_run(exits_io, ACT_LEAVE); /* overwrites the oldest */
	assert_int_equal(v->recorder[0].info, 0x3f8);
	assert_int_equal(v->recorder[1].raw, VMX_EXIT_CPUID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_reason),
		TEST(decode_io),
		TEST(decode_cr),
		TEST(decode_ept),
		TEST(decode_exceptions),
		TEST(host_events),
		TEST(reinjection),
		TEST(nmi_unblocking),
		TEST(decode_task_switch),
		TEST(nmi_block),
		TEST(injection),
		TEST(an_aborted_entry_keeps_its_event),
		TEST(no_error_code_in_real_mode),
		TEST(step_over),
		TEST(step_over_clears_the_shadow),
		TEST(single_step),
		TEST(debug_trap),
		TEST(single_step_over_sti),
		TEST(resume_flag),
		TEST(rip_wraps_outside_64bit_code),
		TEST(windows),
		TEST(nmi_window_behind_sti),
		TEST(entry_instruction_fails),
		TEST(guest_state_is_refused),
		TEST(cr0_shadow),
		TEST(cr4_shadow),
		TEST(efer_and_the_entry_control),
		TEST(every_register),
		TEST(state_round_trip),
		TEST(interruptibility),
		TEST(recorder_and_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
