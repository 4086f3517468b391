/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emulated accesses of a whole guest: what is remembered from the last instruction (its decoding,
 * where it was fetched) is used only while it is still true.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/paging.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define TPR    (LAPIC_BASE_DEFAULT + LAPIC_TPR)
#define CODE   VM_WORLD_ENTRY
#define OTHER  0x600000ull /* a second page of code */
#define ROOT   0x400000ull /* PML4, PDPT, PD: the first GiB in 2 MiB pages */
#define ROOT2  0x410000ull
#define RIGHTS (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)

static struct vcpu *v;
static bool general_way; /* not through the short way for plain moves */

static void put(gpa_t gpa, const void *data, unsigned size)
{
	assert_int_equal(guest_mem_write(&vmw.vm->mem, gpa, data, size), OK);
}

static void put_entry(gpa_t table, unsigned index, uint64_t entry)
{
	put(table + 8ull * index, &entry, 8);
}

/* MOV DWORD [RDI], register: EAX 0, ECX 1, EDX 2. */
static void put_store(gpa_t gpa, unsigned reg)
{
	const uint8_t code[] = {0x89, (uint8_t)(reg << 3 | 7)};

	put(gpa, code, sizeof(code));
}

static void make_tables(gpa_t root)
{
	put_entry(root, 0, (root + 0x1000) | RIGHTS);
	put_entry(root + 0x1000, 0, (root + 0x2000) | RIGHTS);
	for (unsigned i = 0; i < 4; i++)
		put_entry(root + 0x2000, i, i * MIB(2) | RIGHTS | PTE_PS);
}

static int setup(void **state)
{
	(void)state;
	general_way = false;
	fake_fail_hook = fake_fail_cmocka;
	vm_world_init(1);
	v = &vmw.c->vcpu;
	make_tables(ROOT);
	v->ops->reg_write(v, REG_CR3, ROOT);
	put_store(CODE, RAX);
	put_store(OTHER, RDX);
	v->gpr[RDI] = TPR;
	v->gpr[RAX] = 0x10;
	v->gpr[RCX] = 0x20;
	v->gpr[RDX] = 0x30;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

static uint32_t tpr(void)
{
	return lapic_mmio_read(&vmw.c->lapic, LAPIC_TPR, 4, 0);
}

/* The instruction at CODE has touched the LAPIC. */
static enum exit_action emulate(bool write)
{
	const struct vm_exit e = {
		.reason = EXIT_STAGE2,
		.stage2 =
			{.gpa = TPR, .gva = TPR, .gva_valid = true, .read = !write, .write = write},
	};

	v->rip = CODE;
	v->event.valid = false;
	return general_way ? vm_emulate(vmw.c, &e) : vm_hooks.exit[EXIT_STAGE2](v, &e);
}

static void expect_tpr(uint32_t value)
{
	assert_int_equal(emulate(true), ACT_RESUME);
	assert_false(v->event.valid);
	assert_int_equal(tpr(), value);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE + 2);
}

static void expect_fault(uint32_t error)
{
	uint32_t before = tpr();

	emulate(true);
	assert_true(v->event.valid);
	assert_int_equal(v->event.vector, EXC_PF);
	assert_int_equal(v->event.error, error);
	assert_int_equal(tpr(), before);
	assert_int_equal(v->ops->reg_read(v, REG_CR2), CODE);
}

static void same_again(void **state)
{
	(void)state;
	expect_tpr(0x10);
	v->gpr[RAX] = 0x50;
	expect_tpr(0x50);
}

static void other_instruction(void **state)
{
	const uint8_t load[] = {0x8b, 0x07}; /* MOV EAX, [RDI] */

	(void)state;
	expect_tpr(0x10);
	put_store(CODE, RCX);
	expect_tpr(0x20);
	put(CODE, load, sizeof(load));
	v->gpr[RAX] = UINT64_MAX;
	emulate(false);
	assert_int_equal(v->gpr[RAX], 0x20);
}

/* A byte in front makes it a store of 16 bits, which the LAPIC ignores: not the last one. */
static void longer_instruction(void **state)
{
	const uint8_t code[] = {0x66, 0x89, 0x07};

	(void)state;
	expect_tpr(0x10);
	put(CODE, code, sizeof(code));
	v->gpr[RAX] = 0x70;
	emulate(true);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE + 3);
}

static void code_moves(void **state)
{
	(void)state;
	expect_tpr(0x10);
	put_entry(ROOT + 0x2000, 1, OTHER | RIGHTS | PTE_PS);
	expect_tpr(0x30);
	/* The same one level above: another directory. */
	make_tables(ROOT2);
	put_entry(ROOT + 0x1000, 0, (ROOT2 + 0x2000) | RIGHTS);
	expect_tpr(0x10);
}

static void other_root(void **state)
{
	(void)state;
	expect_tpr(0x10);
	make_tables(ROOT2);
	put_entry(ROOT2 + 0x2000, 1, OTHER | RIGHTS | PTE_PS);
	v->ops->reg_write(v, REG_CR3, ROOT2);
	expect_tpr(0x30);
}

static void code_goes_away(void **state)
{
	(void)state;
	expect_tpr(0x10);
	put_entry(ROOT + 0x2000, 1, 0);
	expect_fault(0);
	put_entry(ROOT + 0x2000, 1, CODE | RIGHTS | PTE_PS);
	expect_tpr(0x10);
}

static void rights_change(void **state)
{
	(void)state;
	v->ops->reg_write(v, REG_EFER, EFER_LME | EFER_LMA | EFER_NXE);
	expect_tpr(0x10);
	put_entry(ROOT + 0x2000, 1, CODE | RIGHTS | PTE_PS | PTE_NX);
	expect_fault(0x11); /* present, fetch */
	put_entry(ROOT + 0x2000, 1, (CODE | RIGHTS | PTE_PS) & ~PTE_U);
	expect_tpr(0x10);
	fake_vmcs_set(VMCS_GUEST_ES_RIGHTS + 2 * SEG_SS, 0xc0f3); /* now at CPL 3 */
	expect_fault(0x15);
}

static void registers_change(void **state)
{
	(void)state;
	expect_tpr(0x10);
	v->ops->reg_write(v, REG_CR4, CR4_PAE | CR4_SMEP);
	general_way = true;
	expect_fault(0x11); /* a user page */
}

/* The short way for plain moves gives what the general one gives, for each form of the operand. */
static void moves_again(void **state)
{
	static const struct {
		uint8_t code[7], length;
		uint64_t before, after; /* RBX */
	} rows[] = {
		{{0x8b, 0x1f}, 2, UINT64_MAX, 0x10},                     /* EBX, [RDI] */
		{{0x66, 0x8b, 0x1f}, 3, UINT64_MAX, 0xffffffffffff0010}, /* BX, [RDI] */
		{{0x8a, 0x1f}, 2, UINT64_MAX, 0xffffffffffffff10},       /* BL, [RDI] */
		{{0x8a, 0x3f}, 2, UINT64_MAX, 0xffffffffffff10ff},       /* BH, [RDI] */
		{{0x8b, 0x5c, 0x37, 0xf8}, 4, UINT64_MAX, 0x10},         /* EBX, [RDI+RSI-8] */
		{{0xc7, 0x07, 0x70, 0, 0, 0}, 6, 5, 5},                  /* [RDI], 70h */
		{{0x0f, 0xb6, 0x1f}, 3, UINT64_MAX, 0x10},               /* MOVZX: no plain move */
	};

	(void)state;
	v->gpr[RSI] = 8;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		bool store = rows[i].code[0] == 0xc7;

		put(CODE, rows[i].code, rows[i].length);
		for (unsigned again = 0; again < 3; again++) {
			lapic_mmio_write(&vmw.c->lapic, LAPIC_TPR, 4, 0x10, 0);
			v->gpr[RBX] = rows[i].before;
			assert_int_equal(emulate(store), ACT_RESUME);
			assert_int_equal(v->gpr[RBX], rows[i].after);
			assert_int_equal(tpr(), store ? 0x70 : 0x10);
			assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE + rows[i].length);
		}
	}
}

/* An access that began on the page before the one the exit names is not the short way's. */
static void move_from_elsewhere(void **state)
{
	(void)state;
	expect_tpr(0x10);
	v->gpr[RDI] = TPR - 2;
	v->gpr[RAX] = 0x70;
	emulate(true);
	assert_int_equal(tpr(), 0x10);
}

/* The second page of an access is translated by itself: here it is not mapped. */
static void move_across_pages(void **state)
{
	const gva_t last = MIB(8) - 2; /* the end of what is mapped */
	const struct vm_exit e = {
		.reason = EXIT_STAGE2,
		.stage2 = {.gpa = 0xb0000ffe, .gva = last, .gva_valid = true, .write = true},
	};

	(void)state;
	expect_tpr(0x10);
	v->gpr[RDI] = last;
	v->rip = CODE;
	v->event.valid = false;
	assert_int_equal(vm_hooks.exit[EXIT_STAGE2](v, &e), ACT_RESUME);
	assert_true(v->event.valid);
	assert_int_equal(v->event.vector, EXC_PF);
}

/* An instruction at CODE that was found to touch `gva`, which is `gpa`. */
static void emulate_at(const uint8_t *code, unsigned size, gva_t gva, gpa_t gpa, bool write)
{
	const struct vm_exit e = {
		.reason = EXIT_STAGE2,
		.stage2 =
			{.gpa = gpa, .gva = gva, .gva_valid = true, .read = !write, .write = write},
	};

	put(CODE, code, size);
	v->rip = CODE;
	v->event.valid = false;
	assert_int_equal(vm_hooks.exit[EXIT_STAGE2](v, &e), ACT_RESUME);
}

static uint64_t ram(gpa_t gpa)
{
	uint64_t value;

	assert_int_equal(guest_mem_read(&vmw.vm->mem, gpa, &value, 8), OK);
	return value;
}

/* The page behind the last of RAM's is a hole: it reads as ones, writes vanish. */
#define HOLE     MIB(6)
#define HOLE_GPA 0xe0000000ull
static void map_hole(void)
{
	put_entry(ROOT + 0x2000, 3, HOLE_GPA | RIGHTS | PTE_PS);
}

static void operand_in_ram_and_hole(void **state)
{
	const uint8_t load[] = {0x48, 0x8b, 0x07}, store[] = {0x48, 0x89, 0x07};
	const uint64_t before = 0x1122334455667788;

	(void)state;
	map_hole();
	put(HOLE - 8, &before, 8);
	v->gpr[RDI] = HOLE - 4;
	emulate_at(load, sizeof(load), HOLE, HOLE_GPA, false);
	assert_int_equal(v->gpr[RAX], 0xffffffff11223344);
	v->gpr[RAX] = 0xaaaaaaaabbbbbbbb;
	emulate_at(store, sizeof(store), HOLE, HOLE_GPA, true);
	assert_int_equal(ram(HOLE - 8), 0xbbbbbbbb55667788);
}

static void vector_operand(void **state)
{
	const uint8_t load[] = {0x0f, 0x10, 0x1f}, store[] = {0x0f, 0x11, 0x1f}; /* XMM3, [RDI] */
	const uint64_t before[2] = {1, 0x1122334455667788};
	uint64_t value[4];

	(void)state;
	map_hole();
	v->ops->reg_write(v, REG_CR4, CR4_PAE | CR4_OSFXSR);
	put(HOLE - 16, before, 16);
	memset(fake_this->vector[3], 0x5a, FAKE_VECTOR_SIZE);
	v->gpr[RDI] = HOLE - 8;
	emulate_at(load, sizeof(load), HOLE, HOLE_GPA, false);
	memcpy(value, fake_this->vector[3], 32);
	assert_int_equal(value[0], 0x1122334455667788);
	assert_int_equal(value[1], ~0ull);
	assert_int_equal(value[2], 0x5a5a5a5a5a5a5a5a); /* SSE keeps what is above */
	memset(fake_this->vector[3], 0xc3, 16);
	emulate_at(store, sizeof(store), HOLE, HOLE_GPA, true);
	assert_int_equal(ram(HOLE - 8), 0xc3c3c3c3c3c3c3c3);
	v->ops->reg_write(v, REG_CR0, v->ops->reg_read(v, REG_CR0) | CR0_TS);
	emulate_at(load, sizeof(load), HOLE, HOLE_GPA, false);
	assert_true(v->event.valid);
	assert_int_equal(v->event.vector, EXC_NM);
}

static void push_and_load_ss(void **state)
{
	const uint8_t push[] = {0xff, 0x37}, load_ss[] = {0x8e, 0x17};
	const uint64_t data = 0x00cf92000000ffff;

	(void)state;
	lapic_mmio_write(&vmw.c->lapic, LAPIC_TPR, 4, 0x10, 0);
	v->ops->reg_write(v, REG_RSP, 0x500000);
	emulate_at(push, sizeof(push), TPR, TPR, false);
	assert_int_equal(v->ops->reg_read(v, REG_RSP), 0x4ffff8);
	assert_int_equal(ram(0x4ffff8) & UINT32_MAX, 0x10);
	/* The same number as a selector, for SS. */
	fake_vmcs_set(VMCS_GUEST_GDTR_BASE, 0x510000);
	fake_vmcs_set(VMCS_GUEST_GDTR_LIMIT, 0x17);
	put(0x510010, &data, 8);
	emulate_at(load_ss, sizeof(load_ss), TPR, TPR, false);
	assert_false(v->event.valid);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_ES_RIGHTS + 2 * SEG_SS), 0xc093);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_ES_SELECTOR + 2 * SEG_SS), 0x10);
	assert_int_equal(ram(0x510010) >> 40 & 0xff, 0x93);
	assert_true(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_MOV_SS);
}

/* Where both operands of an instruction are in one page, the exit speaks of one of them. */
static void known_for_reading_only(void **state)
{
	const uint8_t movs[] = {0xa5};

	(void)state;
	put_entry(ROOT + 0x2000, 3, (HOLE_GPA | RIGHTS | PTE_PS) & ~PTE_W);
	v->ops->reg_write(v, REG_CR0, v->ops->reg_read(v, REG_CR0) | CR0_WP);
	v->gpr[RSI] = HOLE;
	v->gpr[RDI] = HOLE + 0x40;
	emulate_at(movs, sizeof(movs), HOLE, HOLE_GPA, false);
	assert_true(v->event.valid);
	assert_int_equal(v->event.vector, EXC_PF);
	assert_int_equal(v->event.error, PF_ERR_P | PF_ERR_W);
	assert_int_equal(v->ops->reg_read(v, REG_CR2), HOLE + 0x40);
}

static void step_in_repetition(void **state)
{
	const uint8_t stos[] = {0xf3, 0xab};

	(void)state;
	map_hole();
	v->ops->reg_write(v, REG_RFLAGS, RFLAGS_RESERVED | RFLAGS_TF);
	v->gpr[RDI] = HOLE;
	v->gpr[RCX] = 3;
	emulate_at(stos, sizeof(stos), HOLE, HOLE_GPA, true);
	assert_int_equal(v->gpr[RCX], 2);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE);
	assert_true(fake_vmcs_get(VMCS_GUEST_PENDING_DEBUG) & PENDING_DEBUG_BS);
}

/* A data breakpoint on what only the emulator accesses. */
static void watchpoints(void **state)
{
	static const struct {
		uint64_t address, dr7;
		bool store, hit;
	} rows[] = {
		{HOLE + 2, 1 | 1 << 16, true, true}, /* a byte of it, written */
		{HOLE + 4, 1 | 1 << 16, true, false},
		{HOLE, 2 | 3ull << 16 | 3ull << 18, false, true},    /* 4 bytes, read */
		{HOLE, 2 | 1 << 16, false, false},                   /* for writes only */
		{HOLE + 4, 2 | 3ull << 16 | 2ull << 18, true, true}, /* 8 bytes, aligned */
		{HOLE, 3ull << 16 | 3ull << 18, true, false},        /* not armed */
		{HOLE, 1, true, false},                              /* of instructions */
	};
	const uint8_t load[] = {0x8b, 0x07}, store[] = {0x89, 0x07};

	(void)state;
	map_hole();
	v->gpr[RDI] = HOLE;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const uint8_t *code = rows[i].store ? store : load;

		/* Without it first, so that the same access again has a short way. */
		v->ops->reg_write(v, REG_DR7, DR7_RESET);
		emulate_at(code, 2, HOLE, HOLE_GPA, rows[i].store);
		write_dr6(DR6_RESET);
		write_dr0(rows[i].address);
		v->ops->reg_write(v, REG_DR7, DR7_RESET | rows[i].dr7);
		emulate_at(code, 2, HOLE, HOLE_GPA, rows[i].store);
		assert_int_equal(v->event.valid, rows[i].hit);
		assert_int_equal(read_dr6(), DR6_RESET | rows[i].hit);
		assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), CODE + 2);
	}
}

static void step_when_watched(void **state)
{
	const uint8_t stos[] = {0xf3, 0xab};

	(void)state;
	map_hole();
	write_dr0(HOLE + 4);
	v->ops->reg_write(v, REG_DR7, DR7_RESET | 1 | 1 << 16);
	v->gpr[RDI] = HOLE;
	v->gpr[RCX] = 3;
	emulate_at(stos, sizeof(stos), HOLE, HOLE_GPA, true);
	assert_int_equal(v->gpr[RCX], 2);
	assert_false(v->event.valid);
	emulate_at(stos, sizeof(stos), HOLE, HOLE_GPA, true);
	assert_int_equal(v->gpr[RCX], 1);
	assert_true(v->event.valid && v->event.vector == EXC_DB);
}

/* The operand has become RAM since the exit, at whatever place in its quadword. */
static void locked_in_ram(void **state)
{
	const uint8_t add[] = {0xf0, 0x01, 0x07}, exchange[] = {0x66, 0x87, 0x07};
	const uint64_t before = 0x8877665544332211;

	(void)state;
	put(0x500000, &before, 8);
	v->gpr[RDI] = 0x500002;
	v->gpr[RAX] = 1;
	emulate_at(add, sizeof(add), HOLE, HOLE_GPA, true);
	assert_int_equal(ram(0x500000), 0x8877665544342211);
	v->gpr[RAX] = 0xabcd;
	emulate_at(exchange, sizeof(exchange), HOLE, HOLE_GPA, true);
	assert_int_equal(ram(0x500000), 0x88776655abcd2211);
	assert_int_equal(v->gpr[RAX], 0x4434);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(same_again),
		TEST(other_instruction),
		TEST(longer_instruction),
		TEST(code_moves),
		TEST(other_root),
		TEST(code_goes_away),
		TEST(rights_change),
		TEST(registers_change),
		TEST(moves_again),
		TEST(move_from_elsewhere),
		TEST(move_across_pages),
		TEST(operand_in_ram_and_hole),
		TEST(vector_operand),
		TEST(push_and_load_ss),
		TEST(known_for_reading_only),
		TEST(step_in_repetition),
		TEST(watchpoints),
		TEST(step_when_watched),
		TEST(locked_in_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
