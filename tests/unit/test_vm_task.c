/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardware task switches of a whole guest, from the exit to the next entry: where both tasks go on,
 * what became of the event that a task gate took, NMI blocking, steps, CR0, DR7, and faults before
 * and behind the commit. The rules of the switch itself: test_emul_task.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/paging.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define INFO(type, vector)  ((uint32_t)(type) << INTR_INFO_TYPE_SHIFT | (vector))
#define WITH_ERROR(vector)  (INFO(EVENT_EXCEPTION, vector) | INTR_INFO_ERROR_VALID)
#define INTERRUPT           INFO(EVENT_INTERRUPT, 0xec)
#define NMI                 INFO(EVENT_NMI, EXC_NMI)
#define SEGMENT(field, seg) (VMCS_GUEST_ES_##field + 2 * (seg))

#define GDT       0x200000ull
#define OLD_AT    0x210000ull
#define NEW_AT    0x220000ull
#define STACK     0x230800ull
#define CODE      0x240000ull /* of the old task */
#define NEW_RIP   0x250000ull
#define ROOT      0x100000ull /* the first 4 MiB in pages of 4 KiB */
#define TABLE     0x101000ull
#define NEW_ROOT  0x102000ull /* the same, and behind them the page of the stack once more */
#define NEW_TABLE 0x103000ull
#define PAE       0x110000ull /* PDPT and directory: the first 8 MiB */
#define NEW_PAE   0x113000ull /* a PDPT with the same directory */
#define RIGHTS    (PTE_P | PTE_W | PTE_A | PTE_D)
#define OLD_FLAGS (RFLAGS_RESERVED | RFLAGS_CF)
#define NEW_FLAGS (RFLAGS_RESERVED | RFLAGS_IF | RFLAGS_ZF)

enum {
	KERNEL_CODE = 0x08,
	KERNEL_DATA = 0x10,
	OLD = 0x28,
	NEW = 0x30,
	ABSENT = 0x38, /* data */
	GDT_END = 0x40
};

static const uint64_t gdt[GDT_END / 8] = {
	[KERNEL_CODE / 8] = 0x00cf9b000000ffff,
	[KERNEL_DATA / 8] = 0x00cf93000000ffff,
	[OLD / 8] = 0x00008b0000000067 | OLD_AT << 16,
	[NEW / 8] = 0x0000890000000067 | NEW_AT << 16,
	[ABSENT / 8] = 0x00cf13000000ffff,
};

/* Fields of a 32-bit TSS: SDM vol. 3, "32-Bit Task-State Segment". */
enum {
	TSS_CR3 = 0x1c,
	TSS_EIP = 0x20,
	TSS_EFLAGS = 0x24,
	TSS_EAX = 0x28,
	TSS_ESP = 0x38,
	TSS_ES = 0x48,
	TSS_LDT = 0x60,
	TSS_TRAP = 0x64,
	TSS_SIZE = 0x68
};

static struct vcpu *v;

static void put(gpa_t gpa, uint64_t value, unsigned size)
{
	assert_int_equal(guest_mem_write(&vmw.vm->mem, gpa, &value, size), OK);
}

static uint64_t get(gpa_t gpa, unsigned size)
{
	uint64_t value = 0;

	assert_int_equal(guest_mem_read(&vmw.vm->mem, gpa, &value, size), OK);
	return value;
}

static uint64_t reg(enum vcpu_reg r)
{
	return v->ops->reg_read(v, r);
}

static void make_memory(void)
{
	static uint32_t table[1024];

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++)
		table[i] = (uint32_t)(i * PAGE_SIZE | RIGHTS);
	assert_int_equal(guest_mem_write(&vmw.vm->mem, TABLE, table, sizeof(table)), OK);
	put(ROOT, TABLE | RIGHTS, 4);
	put(ROOT + 4, 0, 4);
	put(NEW_ROOT, TABLE | RIGHTS, 4);
	put(NEW_ROOT + 4, NEW_TABLE | RIGHTS, 4);
	put(NEW_TABLE, (STACK & ~(PAGE_SIZE - 1)) | RIGHTS, 4);
	put(PAE, (PAE + 0x1000) | PTE_P, 8);
	put(NEW_PAE, (PAE + 0x1000) | PTE_P, 8);
	for (unsigned i = 1; i < 4; i++) {
		put(PAE + 8 * i, 0, 8);
		put(NEW_PAE + 8 * i, i * 0x1000, 8); /* not present: only P counts */
	}
	for (unsigned i = 0; i < 4; i++)
		put(PAE + 0x1000 + 8 * i, i * MIB(2) | RIGHTS | PTE_PS, 8);
	assert_int_equal(guest_mem_write(&vmw.vm->mem, GDT, gdt, sizeof(gdt)), OK);
}

static void make_tasks(void)
{
	for (unsigned i = 0; i < TSS_SIZE; i += 8) {
		put(OLD_AT + i, 0, 8);
		put(NEW_AT + i, 0, 8);
	}
	put(NEW_AT + TSS_CR3, NEW_ROOT, 4);
	put(NEW_AT + TSS_EIP, NEW_RIP, 4);
	put(NEW_AT + TSS_EFLAGS, NEW_FLAGS, 4);
	for (unsigned i = 0; i < 8; i++)
		put(NEW_AT + TSS_EAX + 4 * i, 0xb0b0 + i, 4);
	put(NEW_AT + TSS_ESP, STACK, 4);
	for (unsigned i = SEG_ES; i <= SEG_DS; i++)
		put(NEW_AT + TSS_ES + 4 * i, i == SEG_CS ? KERNEL_CODE : KERNEL_DATA, 2);
}

/* The old task: 32-bit code with paging, at CPL 0. */
static void start(void)
{
	struct vcpu_state s;

	memset(&s, 0, sizeof(s));
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){KERNEL_DATA, 0xc093, UINT32_MAX, 0};
	s.seg[SEG_CS] = (struct segment){KERNEL_CODE, 0xc09b, UINT32_MAX, 0};
	s.seg[SEG_LDTR].attr = SEG_ATTR_UNUSABLE;
	s.seg[SEG_TR] = (struct segment){OLD, 0x8b, 0x67, OLD_AT};
	s.gdtr = (struct descriptor_table){GDT, GDT_END - 1};
	s.rip = CODE;
	s.rsp = 0x231000;
	s.rflags = OLD_FLAGS;
	s.cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP;
	s.cr3 = ROOT;
	s.dr7 = DR7_RESET | 0x3ff;
	v->ops->state_set(v, &s);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		v->gpr[i] = 0xa1a0 + i;
	v->event.valid = v->reinject.valid = false;
	vmw.c->nmi_pending = vmw.c->interrupt_again = false;
	vmw.vm->stop.kind = STOP_NONE;
	v->attention = VCPU_EVENT;
	make_memory();
	make_tasks();
}

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	vm_world_init(1);
	v = &vmw.c->vcpu;
	start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

/* ---- From the exit to the next entry ---- */

static struct {
	unsigned source;
	uint32_t vectoring; /* the event that goes through a gate, 0: none */
	uint64_t flags;     /* the old task's, besides OLD_FLAGS */
	uint64_t interruptibility;
	bool entered; /* once more, in this state: */
	struct fake_injection injected;
	uint64_t entered_flags;
} script;

static void guest(struct vcpu *vcpu, void *ctx)
{
	(void)vcpu;
	(void)ctx;
	if (fake_vmx.entries == 1) {
		fake_vmcs_set(VMCS_GUEST_RFLAGS, OLD_FLAGS | script.flags);
		fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, script.interruptibility);
		fake_exit_insn(VMX_EXIT_TASK_SWITCH, (uint64_t)script.source << 30 | NEW, 7);
		if (script.vectoring)
			fake_vectoring(script.vectoring, 0x1234, 2);
		return;
	}
	script.entered = true;
	script.injected = fake_vmx.injected;
	fake_exit(VMX_EXIT_TRIPLE_FAULT, 0);
}

/*
 * Run until the guest is entered again, which the fake does not do in a state that the CPU would
 * refuse, or is stopped.
 */
static void run(unsigned source, uint32_t vectoring)
{
	script.source = source;
	script.vectoring = vectoring;
	script.entered = false;
	fake_vmx.guest = guest;
	fake_vmx.entries = 0;
	fake_counts_clear();
	v->ops->run(v);
}

static void start_with(uint64_t flags, uint64_t interruptibility)
{
	start();
	script.flags = flags;
	script.interruptibility = interruptibility;
}

static void expect_injected(unsigned vector, uint32_t error, gva_t at)
{
	const struct fake_injection *in = &script.injected;

	assert_true(script.entered);
	if (!in->valid || in->vector != vector || in->error != error)
		fail_msg("injected %u: %u(0x%x), not %u(0x%x)", in->valid, in->vector, in->error,
			vector, error);
	assert_int_equal(in->type, EVENT_EXCEPTION);
	assert_int_equal(in->rip, at);
}

static void expect_new_task(void)
{
	assert_true(script.entered);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), NEW_RIP);
	assert_int_equal(fake_vmcs_get(SEGMENT(SELECTOR, SEG_TR)), NEW);
	assert_int_equal(fake_vmcs_get(SEGMENT(BASE, SEG_TR)), NEW_AT);
	assert_int_equal(fake_vmcs_get(SEGMENT(LIMIT, SEG_TR)), 0x67);
	assert_int_equal(fake_vmcs_get(SEGMENT(RIGHTS, SEG_TR)), 0x8b);
	assert_int_equal(get(GDT + NEW + 5, 1), 0x8b);
	assert_true(reg(REG_CR0) & CR0_TS);
	assert_int_equal(reg(REG_DR7), DR7_RESET | 0x2aa); /* the global enables are left */
}

static void expect_old_task(void)
{
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE);
	assert_int_equal(fake_vmcs_get(SEGMENT(SELECTOR, SEG_TR)), OLD);
	assert_int_equal(get(OLD_AT + TSS_EIP, 4), 0);
	assert_int_equal(reg(REG_CR3), ROOT);
	assert_false(reg(REG_CR0) & CR0_TS);
	assert_int_equal(reg(REG_DR7), DR7_RESET | 0x3ff);
	assert_int_equal(reg(REG_RSP), 0x231000);
	for (unsigned i = 0; i < 8; i++) {
		if (i != RSP)
			assert_int_equal(v->gpr[i], 0xa1a0 + i);
	}
}

static void by_call(void **state)
{
	(void)state;
	start_with(0, 0);
	run(TASK_CALL, 0);
	expect_new_task();
	assert_false(script.injected.valid);
	assert_int_equal(get(OLD_AT + TSS_EIP, 4), CODE + 7);
	assert_int_equal(get(OLD_AT + TSS_EFLAGS, 4), OLD_FLAGS);
	assert_int_equal(get(OLD_AT + TSS_ESP, 4), 0x231000);
	assert_int_equal(get(OLD_AT + TSS_EAX, 4), 0xa1a0);
	assert_int_equal(get(OLD_AT + TSS_ES + 4 * SEG_CS, 4), KERNEL_CODE);
	assert_int_equal(get(GDT + OLD + 5, 1), 0x8b);
	assert_int_equal(get(NEW_AT, 2), OLD);
	assert_int_equal(v->rip, NEW_RIP);
	assert_int_equal(reg(REG_RFLAGS), NEW_FLAGS | RFLAGS_NT);
	assert_int_equal(reg(REG_CR3), NEW_ROOT);
	assert_true(fake.count[FAKE_INVVPID] > 0);
	assert_int_equal(reg(REG_RSP), STACK);
	for (unsigned i = 0; i < 8; i++) {
		if (i != RSP)
			assert_int_equal(v->gpr[i], 0xb0b0 + i);
	}
	assert_int_equal(fake_vmcs_get(SEGMENT(SELECTOR, SEG_DS)), KERNEL_DATA);
	assert_int_equal(fake_vmcs_get(SEGMENT(SELECTOR, SEG_GS)), 0);
	assert_true(fake_vmcs_get(SEGMENT(RIGHTS, SEG_LDTR)) & SEG_ATTR_UNUSABLE);
}

/* EIP of 32-bit code wraps. */
static void behind_the_last_byte(void **state)
{
	(void)state;
	start_with(0, 0);
	v->ops->reg_write(v, REG_CR0, CR0_PE | CR0_ET | CR0_NE);
	fake_vmcs_set(VMCS_GUEST_RIP, 0xfffffffe);
	run(TASK_JMP, 0);
	assert_true(script.entered);
	assert_int_equal(get(OLD_AT + TSS_EIP, 4), 5);
	assert_int_equal(reg(REG_CR3), ROOT); /* there is no paging */
}

/*
 * Where the old task goes on; an event that a gate took is delivered, once; NMIs are blocked by an
 * NMI and unblocked by IRET.
 */
static void causes(void **state)
{
	static const struct {
		uint8_t source;
		uint32_t vectoring;
		uint8_t behind;
		bool was_blocked, blocked;
	} rows[] = {
		{TASK_CALL, 0, 7, false, false},
		{TASK_CALL, 0, 7, true, true},
		{TASK_JMP, 0, 7, true, true},
		{TASK_IRET, 0, 7, true, false},
		{TASK_IRET, 0, 7, false, false},
		{TASK_GATE, INTERRUPT, 0, false, false},
		{TASK_GATE, INTERRUPT, 0, true, true},
		{TASK_GATE, NMI, 0, true, true}, /* by its own delivery */
		{TASK_GATE, INFO(EVENT_EXCEPTION, EXC_DE), 0, false, false},
		{TASK_GATE, INFO(EVENT_SOFT_INTERRUPT, 0x80), 2, false, false},
		{TASK_GATE, INFO(EVENT_SOFT_EXCEPTION, EXC_BP), 2, true, true},
		{TASK_GATE, INFO(EVENT_PRIVILEGED_SOFT, EXC_DB), 2, false, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		start_with(0, rows[i].was_blocked ? INTERRUPTIBILITY_NMI : 0);
		if (rows[i].source == TASK_IRET)
			put(GDT + NEW + 5, 0x8b, 1);
		run(rows[i].source, rows[i].vectoring);
		expect_new_task();
		assert_int_equal(get(OLD_AT + TSS_EIP, 4), CODE + rows[i].behind);
		assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY),
			rows[i].blocked ? INTERRUPTIBILITY_NMI : 0);
		assert_false(script.injected.valid);
		assert_false(v->reinject.valid);
		assert_false(vmw.c->nmi_pending || vmw.c->interrupt_again);
		assert_int_equal(reg(REG_RSP), STACK);
	}
}

/* It is on the new task's stack, where its own page tables say. */
static void error_code_of_an_exception(void **state)
{
	(void)state;
	start_with(0, 0);
	put(NEW_AT + TSS_ESP, MIB(4) + 0x800, 4);
	run(TASK_GATE, WITH_ERROR(EXC_GP));
	expect_new_task();
	assert_false(script.injected.valid);
	assert_int_equal(reg(REG_RSP), MIB(4) + 0x7fc);
	assert_int_equal(get(STACK - 4, 4), 0x1234);
	assert_int_equal(get(OLD_AT + TSS_EIP, 4), CODE);
}

/* ---- Steps and traps ---- */

/*
 * JMP, CALL and IRET end with a step of the old task, an event's delivery does not. The new task's
 * TF is for its own instructions.
 */
static void steps(void **state)
{
	static const struct {
		uint8_t source;
		uint32_t vectoring;
		bool old, new, step;
	} rows[] = {
		{TASK_JMP, 0, true, false, true},
		{TASK_CALL, 0, true, true, true},
		{TASK_JMP, 0, false, true, false},
		{TASK_GATE, INTERRUPT, true, false, false},
		{TASK_GATE, INTERRUPT, true, true, false},
		{TASK_GATE, INFO(EVENT_SOFT_INTERRUPT, 0x80), true, false, false},
		{TASK_GATE, INTERRUPT, false, true, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t flags = NEW_FLAGS | (rows[i].new ? RFLAGS_TF : 0);
		uint64_t nt = rows[i].source == TASK_JMP ? 0 : RFLAGS_NT;

		start_with(rows[i].old ? RFLAGS_TF : 0, 0);
		put(NEW_AT + TSS_EFLAGS, flags, 4);
		run(rows[i].source, rows[i].vectoring);
		expect_new_task();
		assert_int_equal(get(OLD_AT + TSS_EFLAGS, 4), OLD_FLAGS | script.flags);
		assert_int_equal(reg(REG_RFLAGS), flags | nt);
		assert_int_equal(fake_vmcs_get(VMCS_GUEST_PENDING_DEBUG),
			rows[i].step ? PENDING_DEBUG_BS : 0);
	}
}

static void shadow_ends(void **state)
{
	(void)state;
	start_with(0, INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_NMI);
	run(TASK_JMP, 0);
	expect_new_task();
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), INTERRUPTIBILITY_NMI);
}

/* The T flag: #DB before the first instruction of the new task. */
static void trap_flag(void **state)
{
	(void)state;
	start_with(0, 0);
	put(NEW_AT + TSS_TRAP, 1, 2);
	fake_this->dr[6] = DR6_RESET;
	v->ops->reg_write(v, REG_DR7, DR7_RESET | DR7_GD | 0x3ff);
	run(TASK_GATE, INTERRUPT);
	expect_injected(EXC_DB, 0, NEW_RIP);
	assert_false(script.injected.has_error);
	expect_new_task(); /* DR7.GD is clear, too */
	assert_int_equal(fake_this->dr[6], DR6_RESET | DR6_BT);
	assert_false(vmw.c->interrupt_again);
}

/* ---- Faults of the old task ---- */

static void absent_task(void)
{
	put(GDT + NEW + 5, 0x09, 1);
}

static void not_present(void **state)
{
	(void)state;
	start_with(0, 0);
	absent_task();
	run(TASK_CALL, 0);
	expect_injected(EXC_NP, NEW, CODE);
	expect_old_task();
}

static void page_fault(void **state)
{
	(void)state;
	start_with(0, INTERRUPTIBILITY_NMI);
	put(TABLE + 4 * (OLD_AT >> 12), 0, 4);
	put(GDT + NEW + 5, 0x8b, 1);
	run(TASK_IRET, 0);
	expect_injected(EXC_PF, PF_ERR_W, CODE);
	assert_int_equal(reg(REG_CR2), OLD_AT);
	/* The IRET has not been. */
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), INTERRUPTIBILITY_NMI);
	expect_old_task();
}

/* While an exception is being delivered, such a fault makes it a double fault. */
static void double_fault(void **state)
{
	(void)state;
	start_with(0, 0);
	absent_task();
	run(TASK_GATE, WITH_ERROR(EXC_PF));
	expect_injected(EXC_DF, 0, CODE);
	expect_old_task();
	assert_false(v->reinject.valid);
	start_with(0, 0);
	absent_task();
	run(TASK_GATE, INFO(EVENT_EXCEPTION, EXC_UD)); /* benign: a fault comes again */
	expect_injected(EXC_NP, NEW | 1, CODE);
	start_with(0, 0);
	absent_task();
	run(TASK_GATE, WITH_ERROR(EXC_DF));
	assert_false(script.entered);
	assert_string_equal(vmw.vm->stop.text, "triple fault");
}

/* What has not been delivered is not lost; what an instruction raised, it raises again. */
static void events_behind_a_fault(void **state)
{
	(void)state;
	start_with(0, 0);
	absent_task();
	run(TASK_GATE, INTERRUPT);
	expect_injected(EXC_NP, NEW | 1, CODE);
	expect_old_task();
	assert_true(vmw.c->interrupt_again);
	assert_int_equal(vmw.c->vector_again, 0xec);
	start_with(0, INTERRUPTIBILITY_NMI);
	absent_task();
	run(TASK_GATE, NMI);
	assert_int_equal(fake.count[FAKE_INJECT], 2); /* #NP, and the NMI at its window */
	assert_true(script.entered);
	assert_int_equal(script.injected.type, EVENT_NMI);
	assert_int_equal(get(OLD_AT + TSS_EIP, 4), 0);
	start_with(0, 0);
	absent_task();
	run(TASK_GATE, INFO(EVENT_SOFT_INTERRUPT, 0x80));
	expect_injected(EXC_NP, NEW, CODE);
	expect_old_task();
	assert_false(vmw.c->interrupt_again || v->reinject.valid);
}

/* ---- Faults of the new task ---- */

/* The CPU takes what stands in the segments that could not be loaded. */
static void bad_segments(void **state)
{
	static const struct {
		uint8_t offset;
		uint16_t selector;
		uint8_t vector;
		uint16_t error;
	} rows[] = {
		{TSS_LDT, KERNEL_DATA, EXC_TS, KERNEL_DATA},
		{TSS_ES + 4 * SEG_CS, KERNEL_DATA, EXC_TS, KERNEL_DATA},
		{TSS_ES + 4 * SEG_CS, KERNEL_CODE | 3, EXC_TS, KERNEL_CODE},
		{TSS_ES + 4 * SEG_SS, KERNEL_CODE, EXC_TS, KERNEL_CODE},
		{TSS_ES + 4 * SEG_SS, ABSENT, EXC_SS, ABSENT},
		{TSS_ES + 4 * SEG_DS, ABSENT, EXC_NP, ABSENT},
		{TSS_ES + 4 * SEG_GS, GDT_END, EXC_TS, GDT_END},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		start_with(0, 0);
		put(NEW_AT + rows[i].offset, rows[i].selector, 2);
		put(NEW_AT + TSS_TRAP, 1, 2); /* the fault comes first, and is all there is */
		run(TASK_JMP, 0);
		expect_injected(rows[i].vector, rows[i].error, NEW_RIP);
		expect_new_task();
		assert_int_equal(get(OLD_AT + TSS_EIP, 4), CODE + 7);
		assert_int_equal(reg(REG_RSP), STACK);
	}
}

/* Behind the commit NMIs are what the switch made them, and INT n is over. */
static void events_of_a_bad_task(void **state)
{
	(void)state;
	start_with(0, INTERRUPTIBILITY_NMI);
	put(GDT + NEW + 5, 0x8b, 1);
	put(NEW_AT + TSS_LDT, KERNEL_DATA, 2);
	run(TASK_IRET, 0);
	expect_injected(EXC_TS, KERNEL_DATA, NEW_RIP);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), 0);
	start_with(0, 0);
	put(NEW_AT + TSS_LDT, KERNEL_DATA, 2);
	run(TASK_GATE, INFO(EVENT_SOFT_INTERRUPT, 0x80));
	expect_injected(EXC_TS, KERNEL_DATA, NEW_RIP);
	assert_int_equal(get(OLD_AT + TSS_EIP, 4), CODE + 2);
	assert_false(v->reinject.valid);
}

static void virtual8086_task(void **state)
{
	(void)state;
	start_with(0, 0);
	put(NEW_AT + TSS_EFLAGS, NEW_FLAGS | RFLAGS_VM, 4);
	put(NEW_AT + TSS_EIP, 0x8000, 4);
	put(NEW_AT + TSS_ES + 4 * SEG_CS, 0x1234, 2);
	run(TASK_JMP, 0);
	assert_true(script.entered);
	assert_false(script.injected.valid);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), 0x8000);
	assert_int_equal(reg(REG_RFLAGS), NEW_FLAGS | RFLAGS_VM);
	assert_int_equal(fake_vmcs_get(SEGMENT(BASE, SEG_CS)), 0x12340);
	assert_int_equal(fake_vmcs_get(SEGMENT(LIMIT, SEG_CS)), 0xffff);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		assert_int_equal(fake_vmcs_get(SEGMENT(RIGHTS, i)), 0xf3);
}

/* The new task's privilege counts for what is pushed, not that of the interrupted one. */
static void error_code_from_user_code(void **state)
{
	(void)state;
	start_with(0, 0);
	put(ROOT, TABLE | RIGHTS | PTE_U, 4);
	put(NEW_ROOT, TABLE | RIGHTS | PTE_U, 4);
	fake_vmcs_set(SEGMENT(RIGHTS, SEG_SS), 0xc0f3); /* CPL 3; all pages are the supervisor's */
	fake_vmcs_set(SEGMENT(RIGHTS, SEG_CS), 0xc0fb);
	run(TASK_GATE, WITH_ERROR(EXC_GP));
	expect_new_task();
	assert_false(script.injected.valid);
	assert_int_equal(reg(REG_RSP), STACK - 4);
	assert_int_equal(get(STACK - 4, 4), 0x1234);
}

/* Behind the commit, the event that went through the gate has been delivered. */
static void interrupt_of_a_bad_task(void **state)
{
	(void)state;
	start_with(0, 0);
	put(NEW_AT + TSS_ES + 4 * SEG_SS, KERNEL_CODE, 2);
	put(NEW_AT + TSS_EFLAGS, RFLAGS_RESERVED, 4);
	run(TASK_GATE, INTERRUPT);
	expect_injected(EXC_TS, KERNEL_CODE | 1, NEW_RIP);
	assert_false(v->reinject.valid || vmw.c->interrupt_again);
}

static void nmi_of_a_bad_task(void **state)
{
	(void)state;
	start_with(0, INTERRUPTIBILITY_NMI);
	put(NEW_AT + TSS_ES + 4 * SEG_SS, KERNEL_CODE, 2);
	run(TASK_GATE, NMI);
	expect_injected(EXC_TS, KERNEL_CODE | 1, NEW_RIP);
	assert_false(vmw.c->nmi_pending);
}

/* A step and the T flag at once: one #DB that tells both. */
static void step_and_trap_flag(void **state)
{
	(void)state;
	start_with(RFLAGS_TF, 0);
	put(NEW_AT + TSS_TRAP, 1, 2);
	fake_this->dr[6] = DR6_RESET;
	run(TASK_JMP, 0);
	expect_injected(EXC_DB, 0, NEW_RIP);
	assert_int_equal(fake_this->dr[6], DR6_RESET | DR6_BT | DR6_BS);
}

/* ---- CR3 ---- */

static uint64_t pdpte(unsigned i)
{
	return fake_vmcs_get(VMCS_GUEST_PDPTE0 + 2 * i);
}

static void use_pae(void)
{
	start_with(0, 0);
	v->ops->reg_write(v, REG_CR4, CR4_PAE);
	v->ops->reg_write(v, REG_CR3, PAE);
	for (unsigned i = 0; i < 4; i++)
		fake_vmcs_set(VMCS_GUEST_PDPTE0 + 2 * i, get(PAE + 8 * i, 8));
	put(NEW_AT + TSS_CR3, NEW_PAE | 0x18, 4); /* PCD, PWT */
}

static void pae_paging(void **state)
{
	(void)state;
	use_pae();
	run(TASK_JMP, 0);
	expect_new_task();
	assert_false(script.injected.valid);
	assert_int_equal(reg(REG_CR3), NEW_PAE | 0x18);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pdpte(i), get(NEW_PAE + 8 * i, 8));
	/* What the CPU would not take is #GP of the new task. */
	use_pae();
	put(NEW_PAE + 16, 0x4001 | BIT(5), 8);
	run(TASK_JMP, 0);
	expect_injected(EXC_GP, 0, NEW_RIP);
	expect_new_task();
	assert_int_equal(reg(REG_CR3), PAE);
	assert_int_equal(pdpte(2), 0);
}

static void cr3_writes(void **state)
{
	const uint64_t cr0 = CR0_PE | CR0_ET | CR0_NE;

	(void)state;
	use_pae();
	fake_counts_clear();
	assert_false(vm_cr3_write(vmw.c, 0xb0000000)); /* not RAM */
	put(NEW_PAE, BIT(1) | 1, 8);
	assert_false(vm_cr3_write(vmw.c, NEW_PAE));
	assert_int_equal(fake.count[FAKE_VMWRITE], 0);
	put(NEW_PAE + 0x40, 0x4001, 8);
	put(NEW_PAE + 0x48, 0, 8);
	put(NEW_PAE + 0x50, 0, 8);
	put(NEW_PAE + 0x58, 0, 8);
	assert_true(vm_cr3_write(vmw.c, NEW_PAE + 0x5f)); /* bits 4:0 are no part of the address */
	assert_int_equal(reg(REG_CR3), NEW_PAE + 0x5f);
	assert_int_equal(pdpte(0), 0x4001);
	assert_int_equal(fake.count[FAKE_INVVPID], 1);
	/* Without PAE, or without paging, there are no PDPTEs. */
	v->ops->reg_write(v, REG_CR4, 0);
	assert_true(vm_cr3_write(vmw.c, 0xb0000000));
	assert_int_equal(reg(REG_CR3), 0xb0000000);
	v->ops->reg_write(v, REG_CR4, CR4_PAE);
	v->ops->reg_write(v, REG_CR0, cr0);
	assert_true(vm_cr3_write(vmw.c, 0xb0001000));
	assert_int_equal(reg(REG_CR3), 0xb0001000);
	assert_int_equal(pdpte(0), 0x4001);
}

/* ---- What stops the guest ---- */

static void cannot_be_completed(void **state)
{
	(void)state;
	start_with(0, 0);
	put(TABLE + 4 * (NEW_AT >> 12), 0x40000000 | RIGHTS, 4); /* nobody's memory */
	run(TASK_CALL, 0);
	assert_false(script.entered);
	assert_int_equal(vmw.vm->stop.kind, STOP_FAILED);
	/* The CPU knows no task switches in long mode. */
	start_with(0, 0);
	v->ops->reg_write(v, REG_CR4, CR4_PAE);
	v->ops->reg_write(v, REG_EFER, EFER_LME | EFER_LMA);
	run(TASK_CALL, 0);
	assert_false(script.entered);
	assert_string_equal(vmw.vm->stop.text, "a task switch that could not be completed");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_call),
		TEST(behind_the_last_byte),
		TEST(causes),
		TEST(error_code_of_an_exception),
		TEST(steps),
		TEST(shadow_ends),
		TEST(trap_flag),
		TEST(not_present),
		TEST(page_fault),
		TEST(double_fault),
		TEST(events_behind_a_fault),
		TEST(bad_segments),
		TEST(events_of_a_bad_task),
		TEST(error_code_from_user_code),
		TEST(interrupt_of_a_bad_task),
		TEST(nmi_of_a_bad_task),
		TEST(step_and_trap_flag),
		TEST(virtual8086_task),
		TEST(pae_paging),
		TEST(cr3_writes),
		TEST(cannot_be_completed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
