/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever VT-x does of a LAPIC, the guest gets the same answers: one list of accesses, on CPUs
 * that can do nothing of it, a part, or all; and where the page may be reached when a LAPIC moves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define OPS_MAX 8192u
#define APIC_SECOND                                                                                \
	(PROC2_VIRTUALIZE_APIC | PROC2_VIRTUALIZE_X2APIC | PROC2_APIC_REGISTERS |                  \
		PROC2_VIRTUAL_INTERRUPTS)
#define X2APIC   (LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | LAPIC_BASE_EXTD | LAPIC_BASE_BSP)
#define XAPIC    (LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | LAPIC_BASE_BSP)
#define DISABLED (LAPIC_BASE_DEFAULT | LAPIC_BASE_BSP)

enum op_kind { STORE, LOAD, WRMSR, RDMSR };

struct op {
	uint8_t kind; /* enum op_kind */
	uint32_t where;
	uint32_t value;
};

static struct op ops[OPS_MAX];
static unsigned op_count, at, exits;
static uint64_t result[OPS_MAX], expected[OPS_MAX];
static bool left; /* the operation before `at` was left to the hypervisor */
static struct vm_cpu *c;
static struct vcpu *v;

/* ---- CPUs of different ability ---- */

static uint32_t missing;

static void trim(void)
{
	fake_msr_set(MSR_IA32_VMX_PROCBASED_CTLS2,
		fake_msr_get(MSR_IA32_VMX_PROCBASED_CTLS2) & ~((uint64_t)missing << 32));
}

static const struct ability {
	const char *name;
	unsigned apic;
	uint32_t missing;
} abilities[] = {
	{"nothing", 0, APIC_SECOND},
	{"TPR shadow", UINT32_MAX, APIC_SECOND},
	{"TPR shadow, page and MSRs", UINT32_MAX, PROC2_APIC_REGISTERS | PROC2_VIRTUAL_INTERRUPTS},
	{"page, registers, no x2APIC", UINT32_MAX, PROC2_VIRTUALIZE_X2APIC},
	{"x2APIC, registers, no page", UINT32_MAX, PROC2_VIRTUALIZE_APIC},
	{"registers", UINT32_MAX, PROC2_VIRTUAL_INTERRUPTS},
	{"delivery, no registers", UINT32_MAX, PROC2_APIC_REGISTERS},
	{"all", UINT32_MAX, 0},
};

static void world_with(const struct ability *a, unsigned cpus)
{
	fake_fail_hook = fake_fail_cmocka;
	missing = a->missing;
	vm_world_trim = trim;
	vm_world_apic = a->apic;
	vm_world_init(cpus);
	c = vmw.c;
	v = &c->vcpu;
	v->ops->reg_write(v, REG_CR3, vmw.vm->entry.cr3);
	vm_world_flags(0, 0);
}

static void world_end(void)
{
	vm_world_fini();
	vm_world_trim = NULL;
	vm_world_apic = 0;
}

/* ---- The list, played ---- */

static void put_code(const void *bytes, unsigned size)
{
	assert_int_equal(
		guest_mem_write(&vmw.vm->mem, fake_vmcs_get(VMCS_GUEST_RIP), bytes, size), OK);
}

static bool perform(const struct op *op, uint64_t *value)
{
	uint32_t loaded = 0;
	bool gone;

	switch (op->kind) {
	case STORE:
		put_code("\x89\x07", 2);
		return fake_guest_store(v, LAPIC_BASE_DEFAULT + op->where, op->value);
	case LOAD:
		put_code("\x8b\x07", 2);
		gone = fake_guest_load(v, LAPIC_BASE_DEFAULT + op->where, &loaded);
		*value = loaded;
		return gone;
	case WRMSR: return fake_guest_wrmsr(v, op->where, op->value);
	default: return fake_guest_rdmsr(v, op->where, value);
	}
}

/* What the hypervisor has answered. */
static uint64_t answer(const struct op *op)
{
	if (fake_vmx.injected.valid && fake_vmx.injected.type == EVENT_EXCEPTION)
		return 0x100000000ull | fake_vmx.injected.vector;
	if (op->kind == LOAD)
		return (uint32_t)v->gpr[RAX];
	return op->kind == RDMSR ? (uint32_t)v->gpr[RAX] | v->gpr[RDX] << 32 : 0;
}

static void guest(struct vcpu *unused, void *ctx)
{
	(void)unused;
	(void)ctx;
	if (left)
		result[at - 1] = answer(&ops[at - 1]);
	fake_vmcs_set(VMCS_GUEST_RIP, VM_WORLD_ENTRY);
	for (left = false; at < op_count && !left; at++) {
		result[at] = 0;
		left = perform(&ops[at], &result[at]);
	}
	if (left) {
		exits++;
		return;
	}
	vm_stop(vmw.vm, STOP_KILLED, "killed");
	fake_exit(VMX_EXIT_EXTERNAL_INTERRUPT, 0);
}

static void add(uint8_t kind, uint32_t where, uint32_t value)
{
	assert_true(op_count < OPS_MAX);
	ops[op_count++] = (struct op){kind, where, value};
}

static void play(void)
{
	fake_vmx.guest = guest;
	at = exits = 0;
	left = false;
	v->attention = VCPU_EVENT;
	v->ops->run(v);
	assert_int_equal(vmw.vm->stop.kind, STOP_KILLED);
	assert_int_equal(at, op_count);
}

/* Something in IRR, ISR and TMR, and a level-triggered LINT0 that is asserted. */
static void busy(void)
{
	lapic_lint(&c->lapic, 0, true);
	lapic_accept(&c->lapic, 0x51, true);
	lapic_ack(&c->lapic, 0x51);
	lapic_accept(&c->lapic, 0x92, false);
	lapic_ack(&c->lapic, 0x92);
	lapic_accept(&c->lapic, 0x43, false);
	lapic_accept(&c->lapic, 0x44, true);
}

static void compare(const char *name)
{
	for (unsigned i = 0; i < op_count; i++) {
		if (result[i] == expected[i])
			continue;
		fail_msg("%s: operation %u (kind %u at 0x%x) gives 0x%lx, not 0x%lx", name, i,
			ops[i].kind, ops[i].where, (unsigned long)result[i],
			(unsigned long)expected[i]);
	}
}

/* Play the list on all CPUs; the first one's answers count. */
static void same_everywhere(uint64_t apic_base)
{
	unsigned least = UINT32_MAX, most = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(abilities); i++) {
		world_with(&abilities[i], 1);
		busy();
		if (apic_base != XAPIC)
			assert_true(vm_msr_write(c, MSR_IA32_APIC_BASE, apic_base));
		play();
		if (i == 0)
			memcpy(expected, result, sizeof(result));
		compare(abilities[i].name);
		least = MIN(least, exits);
		most = MAX(most, exits);
		world_end();
	}
	/* They did not all trap: else this compares the model with itself. */
	assert_true(least < most);
}

static bool by_clock(uint32_t offset)
{
	return offset == LAPIC_TIMER_CCT;
}

static void read_all(void)
{
	for (uint32_t offset = 0; offset < 0x400; offset += 16) {
		if (!by_clock(offset))
			add(LOAD, offset, 0);
	}
}

/* Every register with every kind of value, and after each write a look at all. */
static void xapic_registers(void **state)
{
	static const uint32_t values[] = {UINT32_MAX, 0x000080d1, 0x5a5a5a5a, 0};

	(void)state;
	op_count = 0;
	read_all();
	add(STORE, LAPIC_SVR, 0x1ff);
	for (uint32_t offset = 0; offset < 0x400; offset += 16) {
		for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
			add(STORE, offset, values[i]);
			if (!by_clock(offset))
				add(LOAD, offset, 0);
			for (uint32_t each = LAPIC_LVT_TIMER; each <= LAPIC_TIMER_ICT && !i;
				each += 16)
				add(LOAD, each, 0);
			add(STORE, LAPIC_ESR, 0);
			add(LOAD, LAPIC_ESR, 0);
		}
		if (offset == LAPIC_SVR)
			add(STORE, LAPIC_SVR, 0x1ff);
	}
	read_all();
	same_everywhere(XAPIC);
}

/* What a register was before decides what a write means. */
static void xapic_histories(void **state)
{
	static const struct op list[] = {
		{STORE, LAPIC_SVR, 0x1ff},
		/* Remote IRR of a level-triggered LINT0 survives writes, but not edge mode. */
		{STORE, LAPIC_LVT_LINT0, 0x8061},
		{LOAD, LAPIC_LVT_LINT0, 0},
		{STORE, LAPIC_LVT_LINT0, 0x18061},
		{LOAD, LAPIC_LVT_LINT0, 0},
		{STORE, LAPIC_LVT_LINT0, 0x0061},
		{LOAD, LAPIC_LVT_LINT0, 0},
		/* A deadline mode ignores the count, and leaving it disarms. */
		{STORE, LAPIC_LVT_TIMER, 0x100ef},
		{STORE, LAPIC_TIMER_DCR, 0xa},
		{STORE, LAPIC_TIMER_ICT, 0x40000000},
		{STORE, LAPIC_LVT_TIMER, 0x500ef},
		{LOAD, LAPIC_TIMER_CCT, 0},
		{STORE, LAPIC_TIMER_ICT, 0x1234},
		{LOAD, LAPIC_TIMER_ICT, 0},
		{STORE, LAPIC_LVT_TIMER, 0x300ef},
		{LOAD, LAPIC_TIMER_CCT, 0},
		/* TPR, and EOI of 92h edge, 51h level, then of nothing. */
		{STORE, LAPIC_TPR, 0x123456a7},
		{LOAD, LAPIC_TPR, 0},
		{LOAD, LAPIC_PPR, 0},
		{LOAD, LAPIC_APR, 0},
		{STORE, LAPIC_EOI, 0},
		{LOAD, LAPIC_ISR + 0x40, 0},
		{LOAD, LAPIC_ISR + 0x20, 0},
		{STORE, LAPIC_TPR, 0x20},
		{LOAD, LAPIC_PPR, 0},
		{STORE, LAPIC_EOI, 0},
		{LOAD, LAPIC_ISR + 0x20, 0},
		{STORE, LAPIC_EOI, 0},
		{LOAD, LAPIC_PPR, 0},
		/* To itself, by shorthand and by number; a vector too low is an error. */
		{STORE, LAPIC_ICR_LOW, 0x400a1},
		{LOAD, LAPIC_IRR + 0x50, 0},
		{STORE, LAPIC_ICR_HIGH, 0x00ffffff},
		{LOAD, LAPIC_ICR_HIGH, 0},
		{STORE, LAPIC_ICR_LOW, 0xb2},
		{LOAD, LAPIC_IRR + 0x50, 0},
		{STORE, LAPIC_ICR_LOW, 0x40005},
		{STORE, LAPIC_ESR, 0},
		{LOAD, LAPIC_ESR, 0},
		{LOAD, LAPIC_IRR, 0},
		/* Bytes beside the register, and a register that is none. */
		{LOAD, LAPIC_TPR + 4, 0},
		{STORE, LAPIC_TPR + 4, 0x55},
		{LOAD, LAPIC_TPR, 0},
		{LOAD, 0x40, 0},
		{STORE, LAPIC_ESR, 0},
		{LOAD, LAPIC_ESR, 0},
	};

	(void)state;
	memcpy(ops, list, sizeof(list));
	op_count = ARRAY_SIZE(list);
	same_everywhere(XAPIC);
}

static void x2apic_registers(void **state)
{
	static const uint32_t values[] = {0, 0x55, 0x100ef, UINT32_MAX};

	(void)state;
	op_count = 0;
	for (uint32_t msr = LAPIC_MSR_FIRST; msr <= LAPIC_MSR_FIRST + 0x40; msr++) {
		for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
			/* The CPU's own #GP is not played. */
			if ((msr == LAPIC_MSR_FIRST + LAPIC_TPR / 16 && values[i] > 0xff) ||
				(msr == LAPIC_MSR_FIRST + LAPIC_EOI / 16 && values[i]) ||
				(msr == LAPIC_MSR_FIRST + LAPIC_SELF_IPI / 16 && values[i] > 0xff))
				continue;
			add(WRMSR, msr, values[i]);
			if (!by_clock((msr & 0xff) << 4))
				add(RDMSR, msr, 0);
			add(RDMSR, LAPIC_MSR_FIRST + LAPIC_PPR / 16, 0);
		}
	}
	for (uint32_t msr = LAPIC_MSR_FIRST; msr <= LAPIC_MSR_LAST; msr++)
		add(RDMSR, msr, 0);
	same_everywhere(X2APIC);
}

/* ---- What exits, and what does not ---- */

static unsigned exits_for(
	const struct ability *a, uint64_t apic_base, const struct op *list, unsigned n)
{
	memcpy(ops, list, n * sizeof(*list));
	op_count = n;
	world_with(a, 1);
	if (apic_base != XAPIC)
		assert_true(vm_msr_write(c, MSR_IA32_APIC_BASE, apic_base));
	play();
	world_end();
	return exits;
}

static void exits_spared(void **state)
{
	static const struct op tpr[] = {{STORE, LAPIC_TPR, 0x30}, {LOAD, LAPIC_TPR, 0}};
	/* The last one of the reads is for the model alone: the count changes with time. */
	static const struct op reads[] = {
		{LOAD, LAPIC_ID, 0}, {LOAD, LAPIC_IRR, 0}, {LOAD, LAPIC_TIMER_CCT, 0}};
	static const struct op tpr2[] = {{WRMSR, 0x808, 0x30}, {RDMSR, 0x808, 0}};
	static const struct op reads2[] = {{RDMSR, 0x802, 0}, {RDMSR, 0x820, 0}, {RDMSR, 0x839, 0}};
	static const unsigned expect[ARRAY_SIZE(abilities)][4] = {{2, 3, 2, 3}, {2, 3, 2, 3},
		{0, 3, 0, 3}, {0, 1, 2, 3}, {2, 3, 0, 1}, {0, 1, 0, 1}, {0, 3, 0, 3}, {0, 1, 0, 1}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(abilities); i++) {
		const struct ability *a = &abilities[i];

		assert_int_equal(exits_for(a, XAPIC, tpr, 2), expect[i][0]);
		assert_int_equal(exits_for(a, XAPIC, reads, 3), expect[i][1]);
		assert_int_equal(exits_for(a, X2APIC, tpr2, 2), expect[i][2]);
		assert_int_equal(exits_for(a, X2APIC, reads2, 3), expect[i][3]);
	}
}

/* ---- Where the page is ---- */

#define BEST (&abilities[ARRAY_SIZE(abilities) - 1])

static int setup_two(void **state)
{
	(void)state;
	world_with(BEST, 2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_end();
	return 0;
}

/* What vCPU `n` would reach there; its CPU is selected then. */
static hpa_t frame_of(unsigned n)
{
	fake_cpu_select(n);
	return fake_guest_access(LAPIC_BASE_DEFAULT);
}

static bool page_virtualized(void)
{
	return fake_vmcs_get(VMCS_PROC2_CONTROLS) & PROC2_VIRTUALIZE_APIC;
}

static void base_is(unsigned n, uint64_t base)
{
	fake_cpu_select(n);
	if (n)
		base &= ~LAPIC_BASE_BSP;
	assert_true(vm_msr_write(vmw.vm->cpu[n], MSR_IA32_APIC_BASE, base));
}

/*
 * A LAPIC that is not there leaves nothing behind: not the frame, not in this CPU's translations,
 * and whoever still has one is answered by the CPU or exits, but never reaches memory.
 */
static void page_comes_and_goes(void **state)
{
	static const uint64_t away[] = {X2APIC, DISABLED, 0xf0000000ull | LAPIC_BASE_EN};

	(void)state;
	assert_true(vmw.vm->apic_access);
	for (unsigned i = 0; i < ARRAY_SIZE(away); i++) {
		assert_int_equal(frame_of(0), vmw.vm->apic_access);
		assert_int_equal(frame_of(1), vmw.vm->apic_access);
		base_is(1, away[i]);
		assert_false(page_virtualized());
		assert_int_equal(frame_of(1), 0);
		fake_cpu_select(0);
		assert_true(page_virtualized());
		base_is(0, away[i]);
		assert_int_equal(frame_of(0), 0);
		base_is(0, DISABLED);
		base_is(0, XAPIC);
		assert_true(page_virtualized());
		assert_int_equal(frame_of(0), 0); /* the other one is still away */
		assert_int_equal(frame_of(1), 0);
		base_is(1, DISABLED);
		base_is(1, XAPIC);
		assert_true(page_virtualized());
	}
	assert_int_equal(frame_of(0), vmw.vm->apic_access);
	assert_int_equal(frame_of(1), vmw.vm->apic_access);
	fake_cpu_select(0);
}

/* In x2APIC mode there is nothing at the page's address: all ones, for all who look. */
static void nothing_left_behind(void **state)
{
	static const struct op list[] = {{LOAD, LAPIC_ID, 0}, {STORE, LAPIC_TPR, 0x70},
		{LOAD, LAPIC_TPR, 0}, {RDMSR, LAPIC_MSR_FIRST + LAPIC_TPR / 16, 0}};

	(void)state;
	memcpy(ops, list, sizeof(list));
	op_count = ARRAY_SIZE(list);
	base_is(0, X2APIC);
	play();
	assert_int_equal(result[0], UINT32_MAX);
	assert_int_equal(result[2], UINT32_MAX);
	assert_int_equal(result[3], 0);
}

/* One vCPU has its page elsewhere; the other one's works as if nothing had happened. */
static void other_keeps_page(void **state)
{
	static const struct op list[] = {{STORE, LAPIC_TPR, 0x70}, {LOAD, LAPIC_TPR, 0},
		{LOAD, LAPIC_ID, 0}, {STORE, LAPIC_LVT_TIMER, 0x10055}, {LOAD, LAPIC_LVT_TIMER, 0}};

	(void)state;
	memcpy(ops, list, sizeof(list));
	op_count = ARRAY_SIZE(list);
	base_is(1, X2APIC);
	fake_cpu_select(0);
	play();
	assert_int_equal(result[1], 0x70);
	assert_int_equal(result[2], 0);
	assert_int_equal(result[4], 0x10055);
	assert_int_equal(v->exits[EXIT_STAGE2], 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xapic_registers),
		cmocka_unit_test(xapic_histories),
		cmocka_unit_test(x2apic_registers),
		cmocka_unit_test(exits_spared),
		cmocka_unit_test_setup_teardown(page_comes_and_goes, setup_two, teardown),
		cmocka_unit_test_setup_teardown(nothing_left_behind, setup_two, teardown),
		cmocka_unit_test_setup_teardown(other_keeps_page, setup_two, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
