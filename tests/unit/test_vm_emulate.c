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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
