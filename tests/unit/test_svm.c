/* SPDX-License-Identifier: Apache-2.0 */
/* AMD-V: decoding of exits, stepping over instructions, registers and state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "tests/fakes/svm_world.h"

FAKE_FAIL_IN_CMOCKA()

/* As QEMU's CPU without KVM: nothing but nested paging. */
#define NOTHING 0u

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	svmw_init();
	return 0;
}

static int setup_plain(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	svmw_init_with(NOTHING, 16);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	svmw_fini();
	return 0;
}

/* ---- Decoding ---- */

#define LENGTH 1u /* told by NRIPS, or found in the instruction's bytes */

static const struct {
	uint16_t raw;
	uint8_t reason, flags;
} decoded[] = {
	{SVM_EXIT_CR_READ + 4, EXIT_CR, LENGTH},
	{SVM_EXIT_CR_READ + 8, EXIT_CR, LENGTH},
	{SVM_EXIT_CR_WRITE + 4, EXIT_CR, LENGTH},
	{SVM_EXIT_CR_WRITE + 8, EXIT_CR, LENGTH},
	{SVM_EXIT_EXCEPTION + EXC_DB, EXIT_EXCEPTION, 0},
	{SVM_EXIT_EXCEPTION + EXC_BP, EXIT_AGAIN, 0}, /* test_svm_event */
	{SVM_EXIT_EXCEPTION + EXC_OF, EXIT_AGAIN, 0},
	{SVM_EXIT_EXCEPTION + EXC_GP, EXIT_EXCEPTION, 0},
	{SVM_EXIT_EXCEPTION + EXC_PF, EXIT_EXCEPTION, 0},
	{SVM_EXIT_EXCEPTION + EXC_AC, EXIT_EXCEPTION, 0},
	{SVM_EXIT_EXCEPTION + EXC_MC, EXIT_NMI, 0},
	{SVM_EXIT_INTR, EXIT_INTERRUPT, 0},
	{SVM_EXIT_NMI, EXIT_NMI, 0},
	{SVM_EXIT_INIT, EXIT_INIT, 0},
	{SVM_EXIT_VINTR, EXIT_INTERRUPT_WINDOW, 0},
	{SVM_EXIT_RDPMC, EXIT_FORBIDDEN, 0},
	{SVM_EXIT_CPUID, EXIT_CPUID, LENGTH},
	{SVM_EXIT_IRET, EXIT_NMI_WINDOW, 0},
	{SVM_EXIT_INVD, EXIT_CACHE_CONTROL, LENGTH},
	{SVM_EXIT_HLT, EXIT_HLT, LENGTH},
	{SVM_EXIT_INVLPGA, EXIT_UNDEFINED, 0},
	{SVM_EXIT_MSR, EXIT_RDMSR, LENGTH},
	{SVM_EXIT_SHUTDOWN, EXIT_TRIPLE_FAULT, 0},
	{SVM_EXIT_VMRUN, EXIT_UNDEFINED, 0},
	{SVM_EXIT_VMMCALL, EXIT_HYPERCALL, 0},
	{SVM_EXIT_VMLOAD, EXIT_UNDEFINED, 0},
	{SVM_EXIT_VMSAVE, EXIT_UNDEFINED, 0},
	{SVM_EXIT_STGI, EXIT_UNDEFINED, 0},
	{SVM_EXIT_CLGI, EXIT_UNDEFINED, 0},
	{SVM_EXIT_SKINIT, EXIT_UNDEFINED, 0},
	{SVM_EXIT_RDTSCP, EXIT_UNDEFINED, 0},
	{SVM_EXIT_ICEBP, EXIT_EXCEPTION, LENGTH},
	{SVM_EXIT_WBINVD, EXIT_CACHE_CONTROL, LENGTH},
	{SVM_EXIT_MONITOR, EXIT_UNDEFINED, 0},
	{SVM_EXIT_MWAIT, EXIT_UNDEFINED, 0},
	{SVM_EXIT_MWAIT_ARMED, EXIT_UNDEFINED, 0},
	{SVM_EXIT_XSETBV, EXIT_XSETBV, LENGTH},
	{SVM_EXIT_RDPRU, EXIT_UNDEFINED, 0},
	{SVM_EXIT_INVPCID, EXIT_UNDEFINED, 0},
	{SVM_EXIT_NPF, EXIT_STAGE2, 0},
};

static uint64_t raw, info1, info2;
static unsigned length;

static void exits_raw(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_code(raw);
	svmw.b->exit_info1 = 0; /* of an MSR: a read */
	if (svm_config.features & CPUID_SVM_EDX_NRIPS)
		svmw.b->next_rip = svmw.b->rip + 3;
}

static bool three_bytes(struct vcpu *v, struct vm_exit *e)
{
	(void)v;
	e->insn_len = 3;
	if (e->reason == EXIT_CR)
		e->cr.gpr = R9;
	return true;
}

static void every_code_is(unsigned expected, unsigned flags)
{
	const struct vm_exit *e = svmw_run(exits_raw, ACT_LEAVE);
	bool decodes = flags & LENGTH && !(svm_config.features & CPUID_SVM_EDX_NRIPS);

	if (expected == EXIT_INTERRUPT)
		assert_int_equal(fake.count[FAKE_IRQ_WINDOW], 1);
	if (e->reason != expected || e->raw != (uint32_t)raw || svmw.decode_calls != decodes ||
		((flags & LENGTH) && e->insn_len != 3))
		fail_msg("exit 0x%lx: reason %u not %u, length %u, decoded %u", (unsigned long)raw,
			e->reason, expected, e->insn_len, svmw.decode_calls);
}

/* Every number: the known ones as the table says, all others unknown and never a success. */
static void every_code(void **state)
{
	(void)state;
	svmw.decode = three_bytes;
	for (raw = 0; raw < 0x420; raw++) {
		unsigned expected = EXIT_UNKNOWN, flags = 0;

		if (raw == SVM_EXIT_IOIO)
			continue; /* decode_io */
		if (raw - SVM_EXIT_EXCEPTION < 32)
			expected = EXIT_EXCEPTION;
		for (unsigned i = 0; i < ARRAY_SIZE(decoded); i++) {
			if (decoded[i].raw != raw)
				continue;
			expected = decoded[i].reason;
			flags = decoded[i].flags;
		}
		svmw.b->rip = 0x1000;
		every_code_is(expected, flags);
	}
	raw = 0xdeadbeef00000072; /* only the lower half is CPUID's */
	every_code_is(EXIT_UNKNOWN, 0);
	assert_int_equal(svmw.exit[0].failure.detail, raw);
	raw = 0x10000000000 | SVM_EXIT_NPF;
	every_code_is(EXIT_UNKNOWN, 0);
}

static void exits_io(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_insn(SVM_EXIT_IOIO, info1, length);
}

/* RIP behind the instruction comes with IOIO even where it does not with others. */
static void decode_io(void **state)
{
	static const struct {
		uint32_t info;
		uint16_t port;
		uint8_t size, kind, length;
	} rows[] = {
		{0x00800010, 0x80, 1, 0, 2},
		{0x03f80011, 0x3f8, 1, IO_IN, 1},
		{0x0cf80040, 0xcf8, 4, 0, 1},
		{0xffff0021, 0xffff, 2, IO_IN, 2},
		{0x01f0012d, 0x1f0, 2, IO_IN | IO_STRING | IO_REP,
			3},                           /* REP INSW, 32-bit address */
		{0x01f00214, 0x1f0, 1, IO_STRING, 1}, /* OUTSB, 64-bit address */
		{0x01f01e4c, 0x1f0, 4, IO_STRING | IO_REP, 15},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct vm_exit *e;

		info1 = rows[i].info;
		length = rows[i].length;
		svmw.v.gpr[RCX] = 0x5555;
		e = svmw_run(exits_io, ACT_LEAVE);
		assert_int_equal(e->reason, EXIT_IO);
		assert_int_equal(e->io.port, rows[i].port);
		assert_int_equal(e->io.size, rows[i].size);
		assert_int_equal(e->io.kind, rows[i].kind);
		assert_int_equal(e->insn_len, rows[i].length);
		assert_int_equal(e->info, rows[i].port);
	}
}

static void exits_msr(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_insn(SVM_EXIT_MSR, info1, 2);
}

static void decode_msr(void **state)
{
	(void)state;
	svmw.decode = three_bytes;
	svmw.v.gpr[RCX] = 0xc0000080;
	for (info1 = 0; info1 < 2; info1++) {
		const struct vm_exit *e = svmw_run(exits_msr, ACT_LEAVE);

		assert_int_equal(e->reason, info1 ? EXIT_WRMSR : EXIT_RDMSR);
		assert_int_equal(e->info, 0xc0000080);
		assert_int_equal(e->insn_len, svm_config.features & CPUID_SVM_EDX_NRIPS ? 2 : 3);
	}
}

static void exits_cr(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_insn(raw, info1, 3);
}

static const struct {
	uint32_t raw;
	uint8_t number, kind, gpr;
} cr_rows[] = {
	{SVM_EXIT_CR_READ + 4, 4, CR_READ, RDI},
	{SVM_EXIT_CR_WRITE + 4, 4, CR_WRITE, R15},
	{SVM_EXIT_CR_READ + 8, 8, CR_READ, RSP},
	{SVM_EXIT_CR_WRITE + 8, 8, CR_WRITE, RAX},
};

static void decode_cr(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cr_rows); i++) {
		const struct vm_exit *e;

		raw = cr_rows[i].raw;
		info1 = SVM_CR_INFO_MOV | cr_rows[i].gpr;
		e = svmw_run(exits_cr, ACT_LEAVE);
		assert_int_equal(e->reason, EXIT_CR);
		assert_int_equal(e->cr.number, cr_rows[i].number);
		assert_int_equal(e->cr.kind, cr_rows[i].kind);
		assert_int_equal(e->cr.gpr, cr_rows[i].gpr);
		assert_int_equal(e->insn_len, 3);
	}
}

/* What the hook is asked is what it needs to know: which register, and whether it is written. */
static uint8_t asked_number, asked_kind;

static bool finds_r9(struct vcpu *v, struct vm_exit *e)
{
	(void)v;
	asked_number = e->cr.number;
	asked_kind = e->cr.kind;
	e->cr.gpr = R9;
	e->insn_len = 4;
	return true;
}

static bool finds_nothing(struct vcpu *v, struct vm_exit *e)
{
	(void)v;
	e->insn_len = 0;
	return false;
}

static void decode_cr_from_bytes(void **state)
{
	(void)state;
	svmw.decode = finds_r9;
	for (unsigned i = 0; i < ARRAY_SIZE(cr_rows); i++) {
		const struct vm_exit *e;

		raw = cr_rows[i].raw;
		e = svmw_run(exits_cr, ACT_LEAVE);
		assert_int_equal(e->reason, EXIT_CR);
		assert_int_equal(asked_number, cr_rows[i].number);
		assert_int_equal(asked_kind, cr_rows[i].kind);
		assert_int_equal(e->cr.gpr, R9);
		assert_int_equal(e->insn_len, 4);
		assert_int_equal(svmw.decode_calls, 1);
	}
	/* NRIPS alone does not tell the register. */
	svm_config.features |= CPUID_SVM_EDX_NRIPS;
	svm_config.needs &= ~SVM_NEED_LENGTH;
	assert_int_equal(svmw_run(exits_cr, ACT_LEAVE)->cr.gpr, R9);
	svm_config.features = CPUID_SVM_EDX_NP;
	svm_config.needs |= SVM_NEED_LENGTH;
	/* RIP leads elsewhere by now: the guest goes on, and comes back if it wants to. */
	svmw.decode = finds_nothing;
	assert_int_equal(svmw_run(exits_cr, ACT_LEAVE)->reason, EXIT_AGAIN);
	raw = SVM_EXIT_CPUID;
	assert_int_equal(svmw_run(exits_cr, ACT_LEAVE)->reason, EXIT_AGAIN);
	raw = SVM_EXIT_ICEBP;
	assert_int_equal(svmw_run(exits_cr, ACT_LEAVE)->reason, EXIT_AGAIN);
	raw = SVM_EXIT_MSR;
	for (info1 = 0; info1 < 2; info1++)
		assert_int_equal(svmw_run(exits_cr, ACT_LEAVE)->reason, EXIT_AGAIN);
}

static const uint8_t insn_bytes[] = {0x89, 0x07, 0x90, 0x90};

static void exits_npf(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_npf(info1, 0x123456789, insn_bytes, length);
}

static void decode_npf(void **state)
{
	static const struct {
		uint64_t info;
		bool read, write, fetch, mapped, walking;
	} rows[] = {
		{0x100000004, true, false, false, false, false},
		{0x100000005, true, false, false, true, false},
		{0x100000006, false, true, false, false, false},
		{0x100000007, false, true, false, true, false},
		{0x100000014, false, false, true, false, false},
		{0x100000015, false, false, true, true, false},
		{0x200000004, true, false, false, false, true},
		{0x200000007, false, true, false, true, true},
	};

	(void)state;
	length = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct vm_exit *e;

		info1 = rows[i].info;
		e = svmw_run(exits_npf, ACT_LEAVE);
		assert_int_equal(e->reason, EXIT_STAGE2);
		assert_int_equal(e->stage2.gpa, 0x123456789);
		assert_false(e->stage2.gva_valid);
		assert_int_equal(e->stage2.read, rows[i].read);
		assert_int_equal(e->stage2.write, rows[i].write);
		assert_int_equal(e->stage2.fetch, rows[i].fetch);
		assert_int_equal(e->stage2.mapped, rows[i].mapped);
		assert_int_equal(e->stage2.walking, rows[i].walking);
		assert_int_equal(e->stage2.byte_count, 0);
		assert_int_equal(e->info, 0x23456789);
	}
}

static void instruction_bytes(void **state)
{
	const struct vm_exit *e;

	(void)state;
	info1 = 0x100000006;
	length = sizeof(insn_bytes);
	e = svmw_run(exits_npf, ACT_LEAVE);
	assert_int_equal(e->stage2.byte_count, svm_config.features & CPUID_SVM_EDX_DECODE ? 4 : 0);
	if (e->stage2.byte_count)
		assert_memory_equal(e->stage2.bytes, insn_bytes, 4);
	/* A count that no CPU gives stays within the VMCB. */
	svmw.b->insn_count = 0xff;
	length = 0;
	assert_true(svmw_run(exits_npf, ACT_LEAVE)->stage2.byte_count <= 15);
}

static void exits_exception(struct vcpu *v)
{
	(void)v;
	svmw.x->vmcb->intercept[SVM_INTERCEPT_EXCEPTION] = UINT32_MAX; /* as while stepping */
	svmw.x->vmcb->clean &= ~SVM_CLEAN_I;
	fake_svm_exit(SVM_EXIT_EXCEPTION + raw, info1, info2);
}

static void decode_exceptions(void **state)
{
	const struct vm_exit *e;

	(void)state;
	svmw.b->cr2 = 0x1111;
	info1 = 0x12345678;
	info2 = 0x8000dead000;
	for (raw = 0; raw < 32; raw++) {
		e = svmw_run(exits_exception, ACT_LEAVE);
		if (raw == EXC_MC || raw == EXC_BP || raw == EXC_OF)
			continue;
		assert_int_equal(e->reason, EXIT_EXCEPTION);
		assert_int_equal(e->exception.vector, raw);
		assert_int_equal(e->exception.type, EVENT_EXCEPTION);
		assert_int_equal(e->exception.has_error, EXC_HAS_ERROR_MASK >> raw & 1);
		assert_int_equal(e->exception.error, e->exception.has_error ? info1 : 0);
		assert_int_equal(e->insn_len, 0);
		/* An intercepted #PF has not changed CR2 yet; nothing else does. */
		assert_int_equal(svmw.b->cr2, raw < EXC_PF ? 0x1111 : info2);
	}
	assert_int_equal(svm_reg_read(&svmw.v, REG_CR2), info2);
}

/* The host's interrupts, #MC and NMIs are the host's. */
static void host_events(void **state)
{
	(void)state;
	raw = EXC_MC;
	assert_int_equal(svmw_run(exits_exception, ACT_LEAVE)->reason, EXIT_NMI);
	assert_int_equal(fake.count[FAKE_HOST_MC], 1);
	raw = SVM_EXIT_INTR;
	assert_int_equal(svmw_run(exits_raw, ACT_LEAVE)->reason, EXIT_INTERRUPT);
	assert_int_equal(fake.count[FAKE_IRQ_WINDOW], 1);
	/* STGI has let the NMI in already. */
	raw = SVM_EXIT_NMI;
	assert_int_equal(svmw_run(exits_raw, ACT_LEAVE)->reason, EXIT_NMI);
	assert_int_equal(fake.count[FAKE_HOST_NMI], 0);
}

static void exits_icebp(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_insn(SVM_EXIT_ICEBP, 0, 1);
}

static void decode_icebp(void **state)
{
	const struct vm_exit *e;

	(void)state;
	e = svmw_run(exits_icebp, ACT_LEAVE);
	assert_int_equal(e->reason, EXIT_EXCEPTION);
	assert_int_equal(e->exception.vector, EXC_DB);
	assert_int_equal(e->exception.type, EVENT_PRIVILEGED_SOFT);
	assert_false(e->exception.has_error);
	assert_int_equal(e->insn_len, 1);
}

/* ---- Entries that fail ---- */

static void refused_entry(void **state)
{
	const struct vmcb before = *svmw.b;

	(void)state;
	fake_svm.tolerate = true;
	for (unsigned i = 0; i < 2; i++) {
		const struct vm_exit *e;

		*svmw.b = before;
		fake_svm.invalid_short = i;
		svmw.b->rflags = 0;
		e = svmw_run(exits_raw, ACT_LEAVE);
		assert_string_equal(fake_svm.problem, "RFLAGS bit 1");
		assert_int_equal(e->reason, EXIT_ENTRY_FAILURE);
		assert_int_equal(e->failure.error, SVM_EXIT_INVALID);
		assert_int_equal(e->raw, SVM_EXIT_INVALID);
		assert_int_equal(fake_svm.entries, 0);
	}
	assert_int_equal(svmw.v.exits[EXIT_ENTRY_FAILURE], 2);
}

static void exits_cpuid(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_insn(SVM_EXIT_CPUID, 0, 2);
}

static void sees_injected_db(struct vcpu *v)
{
	assert_true(fake_svm.injected.valid);
	assert_int_equal(fake_svm.injected.vector, EXC_DB);
	assert_int_equal(fake_svm.injected.rip, 0x1000);
	exits_cpuid(v);
}

/* What QEMU's SYSENTER leaves in CS: the entry is tried again, and its event comes with it. */
static void entry_behind_sysenter(void **state)
{
	const uint16_t db = SEG_ATTR_DB >> 4;

	(void)state;
	svmw_run(exits_cpuid, ACT_LEAVE); /* the CPU knows its state */
	fake_svm.tolerate = fake_svm.invalid_short = true;
	svmw.b->seg[SEG_CS].attr |= db; /* the guest has */
	svmw.b->clean = 0;
	svmw.v.event = (struct vcpu_event){true, false, EVENT_EXCEPTION, EXC_DB, 0, 0};
	svmw.v.attention = VCPU_EVENT;
	svmw.at = 0;
	svmw.steps = 2;
	svmw.action[0] = ACT_RESUME;
	svmw.step[1] = sees_injected_db;
	svmw.action[1] = ACT_LEAVE;
	fake_svm.entries = 0;
	svm_run(&svmw.v);
	assert_string_equal(fake_svm.problem, "CS has both L and D");
	assert_int_equal(svmw.exit[0].reason, EXIT_AGAIN);
	assert_int_equal(svmw.exit[1].reason, EXIT_CPUID);
	assert_int_equal(fake_svm.entries, 1);
	assert_int_equal(svmw.b->seg[SEG_CS].attr & db, 0);
	assert_int_equal(svmw.b->rsp, 0x8000);
}

/* ---- Stepping over an instruction ---- */

static void step_over(void **state)
{
	(void)state;
	svmw_run(exits_cpuid, ACT_NEXT);
	assert_int_equal(svmw.b->rip, 0x1002);
	assert_int_equal(svmw.v.rip, 0x1002);
	svmw_run(exits_cpuid, ACT_RESUME);
	assert_int_equal(svmw.b->rip, 0x1002);
}

static void step_over_clears_the_shadow(void **state)
{
	(void)state;
	svmw.b->int_shadow = SVM_INT_SHADOW;
	svmw_run(exits_cpuid, ACT_RESUME); /* not executed: its shadow stays */
	assert_int_equal(svmw.b->int_shadow, SVM_INT_SHADOW);
	svmw_run(exits_cpuid, ACT_NEXT);
	assert_int_equal(svmw.b->int_shadow, 0);
}

static void sees_db(struct vcpu *v)
{
	if (svmw.at == 0) {
		exits_cpuid(v);
		return;
	}
	assert_true(fake_svm.injected.valid);
	assert_int_equal(fake_svm.injected.vector, EXC_DB);
	assert_int_equal(fake_svm.injected.type, EVENT_EXCEPTION);
	assert_int_equal(fake_svm.injected.rip, 0x1002);
	assert_true(svmw.b->dr6 & DR6_BS);
	assert_false(svmw.b->dr7 & DR7_GD);
	fake_svm_exit(SVM_EXIT_SHUTDOWN, 0, 0);
}

/* The guest single-steps: the #DB that the instruction's end would have raised. */
static void single_step(void **state)
{
	(void)state;
	svmw.b->rflags |= RFLAGS_TF;
	svm_reg_write(&svmw.v, REG_DR7, DR7_RESET | DR7_GD);
	svmw.b->dr6 = DR6_RESET;
	svmw.steps = 2;
	svmw.at = 0;
	svmw.step[0] = svmw.step[1] = sees_db;
	svmw.action[0] = ACT_NEXT;
	svmw.action[1] = ACT_LEAVE;
	svm_run(&svmw.v);
	assert_int_equal(svmw.at, 2);
	/* An exception of the instruction itself comes first, and is all there is. */
	svmw.v.event = (struct vcpu_event){true, true, EVENT_EXCEPTION, EXC_GP, 0, 0};
	svmw.b->rflags |= RFLAGS_TF;
	svm_instruction_done(&svmw.v, 0x1004);
	assert_int_equal(svmw.v.event.vector, EXC_GP);
	/* Without TF nothing happens. */
	svmw.v.event.valid = false;
	svmw.b->rflags &= ~RFLAGS_TF;
	svm_instruction_done(&svmw.v, 0x1006);
	assert_false(svmw.v.event.valid);
}

static void sees_trap(struct vcpu *v)
{
	(void)v;
	assert_true(fake_svm.injected.valid);
	assert_int_equal(fake_svm.injected.vector, EXC_DB);
	assert_int_equal(fake_svm.injected.type, EVENT_EXCEPTION);
	assert_false(fake_svm.injected.has_error);
	assert_int_equal(svmw.b->dr6, DR6_RESET | DR6_BT | 1);
	assert_int_equal(svmw.b->dr7, DR7_RESET | 3);
	exits_cpuid(v);
}

/* #DB that no instruction has raised: DR6 and DR7 as its delivery would leave them. */
static void debug_trap(void **state)
{
	struct vcpu *v = &svmw.v;

	(void)state;
	svmw.b->dr6 = DR6_RESET | 1;
	svm_reg_write(v, REG_DR7, DR7_RESET | DR7_GD | 3);
	svmw_run(exits_cpuid, ACT_LEAVE); /* the CPU knows them */
	v->attention = 0;
	v->event = (struct vcpu_event){true, true, EVENT_EXCEPTION, EXC_GP, 0, 0x18};
	svm_ops.debug_trap(v, DR6_BT); /* the exception comes first, and is all there is */
	assert_int_equal(v->event.vector, EXC_GP);
	assert_int_equal(v->attention, 0);
	assert_int_equal(svmw.b->dr6, DR6_RESET | 1);
	assert_int_equal(svmw.b->dr7, DR7_RESET | DR7_GD | 3);
	v->event.valid = false;
	svm_ops.debug_trap(v, DR6_BT);
	assert_true(v->attention & VCPU_EVENT);
	assert_false(svmw.b->clean & SVM_CLEAN_DRX);
	assert_int_equal(svmw_run(sees_trap, ACT_LEAVE)->reason, EXIT_CPUID);
}

static void rip_wraps_outside_64bit_code(void **state)
{
	(void)state;
	/* 64-bit code goes on above 4 GiB ... */
	svmw.b->rip = 0xffffffff;
	svmw_run(exits_cpuid, ACT_NEXT);
	assert_int_equal(svmw.b->rip, 0x100000001);
	/* ... 32-bit code at 0. */
	svmw.b->seg[SEG_CS].attr = 0xc9b;
	svmw.b->clean = 0;
	svmw.b->rip = 0xffffffff;
	svmw_run(exits_cpuid, ACT_NEXT);
	assert_int_equal(svmw.b->rip, 1);
	assert_int_equal(svmw.v.rip, 1);
}

/* ---- Registers ---- */

static void every_register(void **state)
{
	struct vcpu *v = &svmw.v;

	(void)state;
	for (unsigned r = 0; r < REG_COUNT; r++) {
		uint64_t value = r == REG_CR4 ? CR4_PAE : r == REG_EFER ? EFER_LME : 0x500 + r;

		svm_reg_write(v, r, value);
		assert_int_equal(svm_reg_read(v, r), value);
	}
	/* And each is a register of its own. */
	for (unsigned r = 0; r < REG_COUNT; r++) {
		if (r != REG_CR4 && r != REG_EFER)
			assert_int_equal(svm_reg_read(v, r), 0x500 + r);
	}
	assert_int_equal(svmw.b->g_pat, 0x500 + REG_PAT);
	assert_int_equal(svmw.b->seg[SEG_FS].base, 0x500 + REG_FS_BASE);
	assert_int_equal(svmw.b->seg[SEG_GS].base, 0x500 + REG_GS_BASE);
	assert_int_equal(svmw.b->sysenter_esp, 0x500 + REG_SYSENTER_ESP);
	svm_tsc_offset_set(v, 0x8000000000000001);
	assert_int_equal(svmw.b->tsc_offset, 0x8000000000000001);
}

static void cr4_mce(void **state)
{
	struct vcpu *v = &svmw.v;

	(void)state;
	svm_reg_write(v, REG_CR4, 0);
	assert_int_equal(svm_reg_read(v, REG_CR4), 0);
	assert_int_equal(svmw.b->cr4, CR4_MCE);
	svm_reg_write(v, REG_CR4, CR4_MCE | CR4_PAE);
	assert_int_equal(svm_reg_read(v, REG_CR4), CR4_MCE | CR4_PAE);
	svm_reg_write(v, REG_CR4, CR4_PAE | CR4_OSXSAVE);
	assert_int_equal(svm_reg_read(v, REG_CR4), CR4_PAE | CR4_OSXSAVE);
	assert_int_equal(svmw.b->cr4, CR4_MCE | CR4_PAE | CR4_OSXSAVE);
}

/* EFER.SVME is always set and never seen. */
static void efer_svme(void **state)
{
	struct vcpu_state s;
	struct vcpu_mode m;

	(void)state;
	svm_reg_write(&svmw.v, REG_EFER, EFER_LME | EFER_LMA);
	assert_int_equal(svmw.b->efer, EFER_LME | EFER_LMA | EFER_SVME);
	assert_int_equal(svm_reg_read(&svmw.v, REG_EFER), EFER_LME | EFER_LMA);
	svm_state_get(&svmw.v, &s);
	svm_mode_get(&svmw.v, &m);
	assert_int_equal(s.efer, EFER_LME | EFER_LMA);
	assert_int_equal(m.efer, EFER_LME | EFER_LMA);
}

static void expect_same_segments(const struct vcpu_state *in, const struct vcpu_state *out)
{
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		assert_int_equal(in->seg[i].selector, out->seg[i].selector);
		assert_int_equal(in->seg[i].base, out->seg[i].base);
		assert_int_equal(in->seg[i].limit, out->seg[i].limit);
		assert_int_equal(in->seg[i].attr, out->seg[i].attr);
	}
}

static void state_round_trip(void **state)
{
	struct vcpu_state in, out;

	(void)state;
	svmw_state(&in);
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		in.seg[i].selector = (uint16_t)(0x10 + 8 * i);
		in.seg[i].base = 0x1000 * i;
	}
	in.gdtr = (struct descriptor_table){0x111000, 0x7f};
	in.idtr = (struct descriptor_table){0x222000, 0xfff};
	in.cr2 = 0xdead;
	in.cr4 |= CR4_MCE;
	memset(&out, 0xff, sizeof(out));
	svm_state_set(&svmw.v, &in);
	svm_state_get(&svmw.v, &out);
	expect_same_segments(&in, &out);
	assert_int_equal(in.gdtr.base, out.gdtr.base);
	assert_int_equal(in.gdtr.limit, out.gdtr.limit);
	assert_int_equal(in.idtr.base, out.idtr.base);
	assert_int_equal(in.idtr.limit, out.idtr.limit);
	assert_memory_equal(&in.rip, &out.rip, offsetof(struct vcpu_state, seg));
	assert_int_equal(svmw.b->dr6, DR6_RESET);
	assert_int_equal(svmw.b->clean, 0);
}

/* Attributes are packed differently: every bit of a descriptor survives. */
static void segment_attributes(void **state)
{
	static const uint32_t attr[] = {0x93, 0x9b, 0xf3, 0xfb, 0xa09b, 0xc09b, 0xc0f3, 0x8b, 0x82,
		0x1093, SEG_ATTR_UNUSABLE};
	struct vcpu_state in, out;

	(void)state;
	svmw_state(&in);
	for (unsigned i = 0; i < ARRAY_SIZE(attr); i++) {
		struct segment s;

		in.seg[SEG_DS].attr = in.seg[SEG_FS].attr = attr[i];
		svm_state_set(&svmw.v, &in);
		svm_state_get(&svmw.v, &out);
		expect_same_segments(&in, &out);
		svm_segment_get(&svmw.v, SEG_FS, &s);
		assert_int_equal(s.attr, attr[i]);
	}
	svmw_state(&in);
	svm_state_set(&svmw.v, &in);
	assert_int_equal(svmw.b->seg[SEG_CS].attr, 0xa9b);
	assert_int_equal(svmw.b->ldtr.attr, 0);
	/* What the CPU itself calls not present cannot be used, whatever else it says. */
	svmw.b->seg[SEG_ES].attr = 0xc13;
	svm_state_get(&svmw.v, &out);
	assert_int_equal(out.seg[SEG_ES].attr, 0xc013 | SEG_ATTR_UNUSABLE);
}

/* The CPL stands in a field of its own; a null SS, for one, says nothing. */
static void cpl(void **state)
{
	struct vcpu_state s;
	struct vcpu_mode m;

	(void)state;
	svmw_state(&s);
	s.seg[SEG_SS].attr = 0xc0f3;
	svm_state_set(&svmw.v, &s);
	assert_int_equal(svmw.b->cpl, 3);
	assert_true(svm_code_root(&svmw.v) == VCPU_NO_ROOT);
	svmw.b->seg[SEG_SS].attr = 0; /* user mode with a null SS */
	svmw.b->seg[SEG_SS].selector = 3;
	svm_mode_get(&svmw.v, &m);
	assert_int_equal(m.ss_attr & SEG_ATTR_DPL, SEG_ATTR_DPL);
	svm_state_get(&svmw.v, &s);
	assert_int_equal(s.seg[SEG_SS].attr & SEG_ATTR_DPL, SEG_ATTR_DPL);
	assert_true(svm_code_root(&svmw.v) == VCPU_NO_ROOT);
	svmw.b->cpl = 0;
	svmw.b->seg[SEG_SS].attr = 0xcf3; /* SYSRET and the like leave a DPL that is not the CPL */
	svm_mode_get(&svmw.v, &m);
	assert_int_equal(m.ss_attr & SEG_ATTR_DPL, 0);
	assert_int_equal(svm_code_root(&svmw.v), 0x2000);
}

static void code_root(void **state)
{
	(void)state;
	assert_int_equal(svm_code_root(&svmw.v), svmw.b->cr3);
	svmw.b->seg[SEG_CS].attr = 0xc9b; /* compatibility mode */
	assert_true(svm_code_root(&svmw.v) == VCPU_NO_ROOT);
	svmw.b->seg[SEG_CS].attr = 0xa9b;
	svmw.b->efer &= ~EFER_LMA;
	assert_true(svm_code_root(&svmw.v) == VCPU_NO_ROOT);
}

static void mode(void **state)
{
	struct vcpu_mode m;

	(void)state;
	svm_mode_get(&svmw.v, &m);
	assert_int_equal(m.rsp, 0x8000);
	assert_int_equal(m.rflags, RFLAGS_RESERVED | RFLAGS_IF);
	assert_int_equal(m.cr0, CR0_PE | CR0_PG | CR0_ET | CR0_WP);
	assert_int_equal(m.cr3, 0x2000);
	assert_int_equal(m.cr4, CR4_PAE);
	assert_int_equal(m.cs_attr, 0xa09b);
	assert_int_equal(m.ss_attr, 0xc093);
}

/* ---- Bookkeeping ---- */

static void recorder_and_counts(void **state)
{
	struct vcpu *v = &svmw.v;

	(void)state;
	v->gpr[RAX] = 0x80000002;
	for (unsigned i = 0; i < RECORDER_SIZE; i++)
		svmw_run(exits_cpuid, ACT_LEAVE);
	assert_int_equal(v->exits[EXIT_CPUID], RECORDER_SIZE);
	assert_int_equal(v->recorder[0].raw, SVM_EXIT_CPUID);
	assert_int_equal(v->recorder[0].rip, 0x1000);
	assert_int_equal(v->recorder[0].info, 0x80000002);
	info1 = 0x03f80010;
	length = 1;
	svmw_run(exits_io, ACT_LEAVE); /* overwrites the oldest */
	assert_int_equal(v->recorder[0].info, 0x3f8);
	assert_int_equal(v->recorder[1].raw, SVM_EXIT_CPUID);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_code),
		PLAIN(every_code),
		TEST(decode_io),
		PLAIN(decode_io),
		TEST(decode_msr),
		PLAIN(decode_msr),
		TEST(decode_cr),
		PLAIN(decode_cr_from_bytes),
		TEST(decode_npf),
		PLAIN(decode_npf),
		TEST(instruction_bytes),
		PLAIN(instruction_bytes),
		TEST(decode_exceptions),
		TEST(host_events),
		TEST(decode_icebp),
		TEST(refused_entry),
		TEST(entry_behind_sysenter),
		TEST(step_over),
		TEST(step_over_clears_the_shadow),
		TEST(single_step),
		TEST(debug_trap),
		TEST(rip_wraps_outside_64bit_code),
		TEST(every_register),
		TEST(cr4_mce),
		TEST(efer_svme),
		TEST(state_round_trip),
		TEST(segment_attributes),
		TEST(cpl),
		TEST(code_root),
		TEST(mode),
		TEST(recorder_and_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
