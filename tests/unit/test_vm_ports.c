/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port accesses of a whole guest: what IN and OUT move; breakpoints on ports, which the CPU cannot
 * see because every access leaves the guest first; and an instruction whose bytes change between
 * the exit and its emulation, which must not reach a port that the CPU has not allowed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/paging.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define CODE    VM_WORLD_ENTRY
#define BUFFER  0x500000ull
#define ROOT    0x400000ull
#define RIGHTS  (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define SCRATCH 0x3ffu /* the UART's scratch register: keeps what it is given */

static struct vcpu *v;

static void put(gpa_t gpa, uint64_t value, unsigned size)
{
	assert_int_equal(guest_mem_write(&vmw.vm->mem, gpa, &value, size), OK);
}

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	vm_world_init(1);
	v = &vmw.c->vcpu;
	put(ROOT, (ROOT + 0x1000) | RIGHTS, 8);
	put(ROOT + 0x1000, (ROOT + 0x2000) | RIGHTS, 8);
	for (unsigned i = 0; i < 4; i++)
		put(ROOT + 0x2000 + 8 * i, i * MIB(2) | RIGHTS | PTE_PS, 8);
	v->ops->reg_write(v, REG_CR3, ROOT);
	v->ops->reg_write(v, REG_DR7, DR7_RESET);
	write_dr6(DR6_RESET);
	v->gpr[RDX] = SCRATCH;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

/* The CPU has met an access to `port`; in memory is `code`, which may be another one by now. */
static enum exit_action access_port(uint32_t code, uint16_t port, unsigned size, unsigned kind)
{
	const struct vm_exit e = {
		.reason = EXIT_IO,
		.insn_len = 1,
		.io = {.port = port, .size = (uint8_t)size, .kind = (uint8_t)kind},
	};

	put(CODE, code, 4);
	v->rip = CODE;
	v->ops->reg_write(v, REG_RFLAGS, RFLAGS_RESERVED);
	fake_vmcs_set(VMCS_GUEST_RIP, CODE);
	v->event.valid = false;
	write_dr6(DR6_RESET);
	return vm_hooks.exit[EXIT_IO](v, &e);
}

#define IN_AL  0xecu
#define OUT_AL 0xeeu
#define OUT_AX 0xef66u
#define INSB   0x6cu
#define OUTSB  0x6eu

static void moves_and_nothing_else(void **state)
{
	(void)state;
	v->gpr[RAX] = 0x1122334455667788;
	assert_int_equal(access_port(OUT_AL, SCRATCH, 1, 0), ACT_NEXT);
	v->gpr[RAX] = 0x1122334455667700;
	assert_int_equal(access_port(IN_AL, SCRATCH, 1, IO_IN), ACT_NEXT);
	assert_int_equal(v->gpr[RAX], 0x1122334455667788);
	assert_false(v->event.valid);
}

static void set_breakpoint(uint64_t address, uint64_t dr7)
{
	write_dr0(address);
	v->ops->reg_write(v, REG_DR7, DR7_RESET | dr7);
}

static void expect_trap(bool hit)
{
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE + 1);
	assert_int_equal(v->event.valid, hit);
	if (hit)
		assert_int_equal(v->event.vector, EXC_DB);
	assert_int_equal(read_dr6(), DR6_RESET | hit);
}

static const struct {
	uint64_t address, dr7;
	bool hit;
} rows[] = {
	{SCRATCH, 1 | 2 << 16, true},               /* one byte, local */
	{SCRATCH, 2 | 2 << 16, true},               /* global */
	{SCRATCH, 2 << 16, false},                  /* not armed */
	{SCRATCH - 1, 1 | 2 << 16, false},          /* another port */
	{SCRATCH - 1, 1 | 2 << 16 | 1 << 18, true}, /* two bytes, aligned */
	{SCRATCH - 3, 1 | 2 << 16 | 3 << 18, true}, /* four */
	{SCRATCH | 1 << 16, 1 | 2 << 16, false},    /* ports have no bit 16 */
	{SCRATCH, 1, false},                        /* of instructions */
	{SCRATCH, 1 | 3 << 16, false},              /* of data */
};

/* With CR4.DE, for IN, OUT, INS and OUTS, and behind the access, which has happened. */
static void breakpoints(void **state)
{
	(void)state;
	assert_true(vm_cr4_write(vmw.c, v->ops->reg_read(v, REG_CR4) | CR4_DE));
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		set_breakpoint(rows[i].address, rows[i].dr7);
		v->gpr[RAX] = i;
		assert_int_equal(access_port(OUT_AL, SCRATCH, 1, 0), ACT_RESUME);
		expect_trap(rows[i].hit);
		v->gpr[RAX] = 0x55;
		access_port(IN_AL, SCRATCH, 1, IO_IN);
		expect_trap(rows[i].hit);
		assert_int_equal(v->gpr[RAX], i);
		v->gpr[RDI] = v->gpr[RSI] = BUFFER;
		access_port(INSB, SCRATCH, 1, IO_IN | IO_STRING);
		/* The same number as a linear address is nowhere near. */
		expect_trap(rows[i].hit);
		access_port(OUTSB, SCRATCH, 1, IO_STRING);
		expect_trap(rows[i].hit);
	}
}

/* Without CR4.DE the field means nothing, and the CPU need not be asked for DR7. */
static void not_without_de(void **state)
{
	(void)state;
	set_breakpoint(SCRATCH, 1 | 2 << 16);
	assert_int_equal(access_port(OUT_AL, SCRATCH, 1, 0), ACT_NEXT);
	assert_false(v->event.valid);
	v->gpr[RSI] = BUFFER;
	access_port(OUTSB, SCRATCH, 1, IO_STRING);
	expect_trap(false);
	assert_true(vm_cr4_write(vmw.c, v->ops->reg_read(v, REG_CR4) | CR4_DE));
	assert_true(vm_cr4_write(vmw.c, v->ops->reg_read(v, REG_CR4) & ~CR4_DE));
	assert_int_equal(access_port(OUT_AL, SCRATCH, 1, 0), ACT_NEXT);
	assert_true(vm_cr4_write(vmw.c, v->ops->reg_read(v, REG_CR4) | CR4_DE));
	vm_cpu_reset(vmw.c);
	assert_int_equal(access_port(OUT_AL, SCRATCH, 1, 0), ACT_NEXT);
}

/* Only so does the hypervisor learn of it. */
static void change_of_de_exits(void **state)
{
	(void)state;
	assert_true(fake_vmcs_get(VMCS_CR4_MASK) & CR4_DE);
}

static void repetition_stops_at_each(void **state)
{
	(void)state;
	assert_true(vm_cr4_write(vmw.c, v->ops->reg_read(v, REG_CR4) | CR4_DE));
	set_breakpoint(SCRATCH, 1 | 2 << 16);
	v->gpr[RSI] = BUFFER;
	v->gpr[RCX] = 3;
	access_port(0x6ef3, SCRATCH, 1, IO_STRING | IO_REP);
	assert_int_equal(v->gpr[RCX], 2);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE);
	assert_true(v->event.valid && v->event.vector == EXC_DB);
}

/*
 * A process that may use one port exits there while another of its threads puts a different
 * instruction in that place. The CPU has to judge that one first.
 */
static void other_bytes_by_now(void **state)
{
	static const struct {
		uint32_t code;
		uint16_t port;
		uint8_t size, kind;
	} met[] = {
		{INSB, 0x80, 1, IO_IN | IO_STRING},     /* another port now, in DX */
		{OUTSB, SCRATCH, 1, IO_IN | IO_STRING}, /* another direction */
		{OUT_AL, SCRATCH, 1, IO_IN | IO_STRING},
		{OUT_AX, SCRATCH, 1, IO_STRING}, /* another size */
		{INSB, SCRATCH, 1, IO_STRING},
	};

	(void)state;
	put(BUFFER, 0x99, 1);
	v->gpr[RAX] = 0x42;
	access_port(OUT_AL, SCRATCH, 1, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(met); i++) {
		v->gpr[RAX] = 0x77;
		v->gpr[RDI] = v->gpr[RSI] = BUFFER;
		assert_int_equal(access_port(met[i].code, met[i].port, met[i].size, met[i].kind),
			ACT_RESUME);
		assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE);
		assert_false(v->event.valid);
		assert_int_equal(v->gpr[RDI], BUFFER);
		access_port(IN_AL, SCRATCH, 1, IO_IN);
		assert_int_equal(v->gpr[RAX], 0x42);
	}
}

/* The same of an exit for memory: no port was allowed at all. */
static void port_instead_of_memory(void **state)
{
	const struct vm_exit e = {
		.reason = EXIT_STAGE2,
		.stage2 = {.gpa = LAPIC_BASE_DEFAULT, .write = true},
	};

	(void)state;
	v->gpr[RAX] = 0x42;
	access_port(OUT_AL, SCRATCH, 1, 0);
	v->gpr[RAX] = 0x77;
	put(CODE, OUT_AL, 4);
	v->rip = CODE;
	fake_vmcs_set(VMCS_GUEST_RIP, CODE);
	assert_int_equal(vm_emulate(vmw.c, &e), ACT_RESUME);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE);
	access_port(IN_AL, SCRATCH, 1, IO_IN);
	assert_int_equal(v->gpr[RAX], 0x42);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(moves_and_nothing_else),
		TEST(breakpoints),
		TEST(not_without_de),
		TEST(change_of_de_exits),
		TEST(repetition_stops_at_each),
		TEST(other_bytes_by_now),
		TEST(port_instead_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
