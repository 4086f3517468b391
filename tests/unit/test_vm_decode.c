/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intercepted instructions whose length the hardware does not tell (AMD-V without next-RIP save):
 * fetched where the guest is and decoded; the last one is known again while it is still there.
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
#include "arch/x86/svm/svm.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define CODE   VM_WORLD_ENTRY /* in the second 2 MiB page */
#define END    0x400000ull    /* of that page */
#define OTHER  0x600000ull    /* a second page of code */
#define ROOT   0x500000ull    /* PML4, PDPT, PD: the first GiB in 2 MiB pages */
#define ROOT2  0x510000ull
#define RIGHTS (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)

static struct vcpu *v;
static struct vmcb *b;

static void put(gpa_t gpa, const void *data, unsigned size)
{
	assert_int_equal(guest_mem_write(&vmw.vm->mem, gpa, data, size), OK);
}

static void put_entry(gpa_t table, unsigned index, uint64_t entry)
{
	put(table + 8ull * index, &entry, 8);
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
	fake_fail_hook = fake_fail_cmocka;
	vm_world_ops = &svm_ops;
	vm_world_init(1);
	v = &vmw.c->vcpu;
	b = ((struct svm_vcpu *)v->vendor)->vmcb;
	make_tables(ROOT);
	v->ops->reg_write(v, REG_CR3, ROOT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

/* ---- The guest's mode ---- */

enum size { CODE16, CODE32, CODE64, COMPAT32, USER64 };

static void mode(enum size size)
{
	static const uint16_t attr[] = {0x9b, 0xc9b, 0xa9b, 0xc9b, 0xa9b};
	bool paging = size >= CODE64;

	v->ops->reg_write(
		v, REG_CR0, CR0_ET | (size != CODE16 ? CR0_PE : 0) | (paging ? CR0_PG : 0));
	v->ops->reg_write(v, REG_CR4, paging ? CR4_PAE : 0);
	v->ops->reg_write(v, REG_EFER, paging ? EFER_LME | EFER_LMA : 0);
	b->seg[SEG_CS].base = size == CODE16 ? CODE : 0;
	b->seg[SEG_CS].attr = attr[size];
	b->cpl = size == USER64 ? 3 : 0;
	v->rip = size == CODE16 ? 0 : CODE;
}

static struct vm_exit e;

static bool decode(enum exit_reason reason)
{
	e.reason = (uint8_t)reason;
	e.insn_len = 0;
	v->event.valid = false;
	vm_decode(v, &e, v->ops->code_root(v));
	return e.reason == reason;
}

static bool decode_cr(unsigned number, enum cr_access_kind kind)
{
	e.cr.number = (uint8_t)number;
	e.cr.kind = (uint8_t)kind;
	e.cr.gpr = 0xff;
	return decode(EXIT_CR);
}

/* ---- Every instruction, in every code size ---- */

#define ALL  0x1f
#define LONG (1u << CODE64 | 1u << USER64)

static const struct {
	enum exit_reason reason;
	uint8_t sizes; /* bits: enum size */
	uint8_t length;
	uint8_t bytes[15];
} instructions[] = {
	{EXIT_CPUID, ALL, 2, {0x0f, 0xa2}},
	{EXIT_CPUID, ALL, 3, {0x66, 0x0f, 0xa2}},
	{EXIT_CPUID, ALL, 5, {0x2e, 0x67, 0xf3, 0x0f, 0xa2}},
	{EXIT_CPUID, LONG, 3, {0x48, 0x0f, 0xa2}},
	{EXIT_CPUID, LONG, 4, {0x66, 0x4f, 0x0f, 0xa2}},
	{EXIT_CPUID, ALL, 15,
		{0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x0f,
			0xa2}},
	{EXIT_HLT, ALL, 1, {0xf4}},
	{EXIT_HLT, ALL, 2, {0x66, 0xf4}},
	{EXIT_RDMSR, ALL, 2, {0x0f, 0x32}},
	{EXIT_RDMSR, LONG, 3, {0x48, 0x0f, 0x32}},
	{EXIT_WRMSR, ALL, 2, {0x0f, 0x30}},
	{EXIT_WRMSR, ALL, 3, {0x64, 0x0f, 0x30}},
	{EXIT_XSETBV, ALL, 3, {0x0f, 0x01, 0xd1}},
	{EXIT_CACHE_CONTROL, ALL, 2, {0x0f, 0x08}},
	{EXIT_CACHE_CONTROL, ALL, 2, {0x0f, 0x09}},
	{EXIT_CACHE_CONTROL, ALL, 3, {0xf2, 0x0f, 0x09}},
	{EXIT_EXCEPTION, ALL, 1, {0xf1}},
	{EXIT_EXCEPTION, ALL, 2, {0x66, 0xf1}},
};

static void every_instruction(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(instructions); i++) {
		put(CODE, instructions[i].bytes, 15);
		for (unsigned size = CODE16; size <= USER64; size++) {
			bool is = instructions[i].sizes >> size & 1;

			mode(size);
			if (decode(instructions[i].reason) != is)
				fail_msg("row %u in mode %u", i, size);
			assert_int_equal(e.insn_len, is ? instructions[i].length : 0);
			assert_false(v->event.valid);
		}
	}
}

/* What is there is not what exited: another CPU has written it, or the tables changed. */
static void another_instruction(void **state)
{
	static const enum exit_reason reasons[] = {EXIT_CPUID, EXIT_HLT, EXIT_RDMSR, EXIT_WRMSR,
		EXIT_XSETBV, EXIT_CACHE_CONTROL, EXIT_EXCEPTION, EXIT_CR};
	const uint8_t nops[15] = {0x90, 0x90, 0x90};

	(void)state;
	put(CODE, nops, sizeof(nops));
	mode(CODE64);
	for (unsigned i = 0; i < ARRAY_SIZE(reasons); i++)
		assert_false(decode(reasons[i]));
	put(CODE, (const uint8_t[]){0x0f, 0x32}, 2);
	assert_false(decode(EXIT_WRMSR));
	assert_false(decode(EXIT_HYPERCALL)); /* nobody asks for that one */
	assert_false(v->event.valid);
}

/* No CPU executes it, so it is not what exited. */
static void too_long(void **state)
{
	uint8_t bytes[16];

	(void)state;
	memset(bytes, 0x66, sizeof(bytes));
	bytes[14] = 0x0f;
	bytes[15] = 0xa2;
	put(CODE, bytes, sizeof(bytes));
	mode(CODE64);
	assert_false(decode(EXIT_CPUID));
	assert_false(v->event.valid);
}

static const struct {
	uint8_t number, kind, gpr, sizes, length;
	uint8_t bytes[6];
} moves[] = {
	{4, CR_WRITE, RAX, ALL, 3, {0x0f, 0x22, 0xe0}},
	{4, CR_READ, RBX, ALL, 3, {0x0f, 0x20, 0xe3}},
	{4, CR_WRITE, RSP, ALL, 4, {0x66, 0x0f, 0x22, 0xe4}},
	{4, CR_WRITE, R15, LONG, 4, {0x41, 0x0f, 0x22, 0xe7}},
	{8, CR_WRITE, RAX, LONG, 4, {0x44, 0x0f, 0x22, 0xc0}},
	{8, CR_READ, RCX, LONG, 4, {0x44, 0x0f, 0x20, 0xc1}},
	{8, CR_READ, R9, LONG, 4, {0x45, 0x0f, 0x20, 0xc1}},
	{8, CR_WRITE, RDX, ALL, 4, {0xf0, 0x0f, 0x22, 0xc2}},
	/* ModRM's mod bits do not count: no memory operand, no displacement. */
	{4, CR_WRITE, RDI, ALL, 3, {0x0f, 0x22, 0x27}},
	{4, CR_WRITE, RBP, ALL, 3, {0x0f, 0x22, 0xa5}},
};

static void moves_of_control_registers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(moves); i++) {
		put(CODE, moves[i].bytes, sizeof(moves[i].bytes));
		for (unsigned size = CODE16; size <= USER64; size++) {
			bool is = moves[i].sizes >> size & 1;

			mode(size);
			if (decode_cr(moves[i].number, moves[i].kind) != is)
				fail_msg("row %u in mode %u", i, size);
			assert_int_equal(e.insn_len, is ? moves[i].length : 0);
			assert_int_equal(e.cr.gpr, is ? moves[i].gpr : 0xff);
			/* The other register, the other direction. */
			assert_false(decode_cr(moves[i].number ^ 12, moves[i].kind));
			assert_false(decode_cr(moves[i].number, moves[i].kind ^ 1));
		}
	}
}

/* ---- Where it is fetched ---- */

static void across_pages(void **state)
{
	const uint8_t first[] = {0x0f}, second[] = {0xa2};

	(void)state;
	mode(CODE64);
	put_entry(ROOT + 0x2000, 2, OTHER | RIGHTS | PTE_PS); /* not what follows in memory */
	put(END - 1, first, 1);
	put(OTHER, second, 1);
	v->rip = END - 1;
	for (unsigned again = 0; again < 2; again++) {
		assert_true(decode(EXIT_CPUID));
		assert_int_equal(e.insn_len, 2);
	}
	put(OTHER, first, 1);
	assert_false(decode(EXIT_CPUID));
	assert_false(v->event.valid);
}

static void expect_fault(gva_t at, uint32_t error)
{
	assert_false(decode(EXIT_CPUID));
	assert_true(v->event.valid);
	assert_int_equal(v->event.vector, EXC_PF);
	assert_int_equal(v->event.error, error);
	assert_int_equal(v->ops->reg_read(v, REG_CR2), at);
}

/* The tables no longer lead there: the guest gets the fault that its fetch now raises. */
static void fetch_faults(void **state)
{
	const uint8_t cpuid[] = {0x0f, 0xa2};

	(void)state;
	mode(CODE64);
	put(CODE, cpuid, 2);
	assert_true(decode(EXIT_CPUID));
	put_entry(ROOT + 0x2000, 1, 0);
	expect_fault(CODE, 0);
	put_entry(ROOT + 0x2000, 1, CODE | RIGHTS | PTE_PS);
	assert_true(decode(EXIT_CPUID));
	/* The second page, of which the first byte is missing. */
	put(END - 1, cpuid, 1);
	v->rip = END - 1;
	put_entry(ROOT + 0x2000, 2, 0);
	expect_fault(END, 0);
	/* A whole instruction in front of it needs nothing of it. */
	put(END - 2, cpuid, 2);
	v->rip = END - 2;
	assert_true(decode(EXIT_CPUID));
	assert_false(v->event.valid);
	/* User mode, supervisor page. */
	mode(USER64);
	put_entry(ROOT + 0x2000, 1, (CODE | RIGHTS | PTE_PS) & ~PTE_U);
	expect_fault(CODE, PF_ERR_P | PF_ERR_U);
}

static void tables_outside_memory(void **state)
{
	(void)state;
	mode(CODE64);
	put_entry(ROOT + 0x1000, 0, 0x7000000000 | RIGHTS);
	assert_false(decode(EXIT_CPUID));
	assert_int_equal(vmw.vm->stop.kind, STOP_FAILED);
	assert_non_null(strstr(vmw.vm->stop.text, "page tables outside its memory"));
}

/* ---- The last one again ---- */

static void known_again(void **state)
{
	const uint8_t mov[] = {0x0f, 0x22, 0xe6}; /* CR4, RSI */

	(void)state;
	mode(CODE64);
	put(CODE, mov, sizeof(mov));
	for (unsigned again = 0; again < 3; again++) {
		assert_true(decode_cr(4, CR_WRITE));
		assert_int_equal(e.insn_len, 3);
		assert_int_equal(e.cr.gpr, RSI);
	}
	assert_int_equal(vmw.c->intercepted.length, 3);
	/* Not for another exit that finds itself there. */
	assert_false(decode_cr(8, CR_WRITE));
	assert_int_equal(vmw.c->intercepted.length, 0);
	assert_true(decode_cr(4, CR_WRITE));
	assert_false(decode_cr(4, CR_READ));
	assert_true(decode_cr(4, CR_WRITE));
	assert_false(decode(EXIT_WRMSR));
}

static void changed_bytes(void **state)
{
	static const struct {
		uint8_t bytes[4], gpr, length;
	} rows[] = {
		{{0x0f, 0x22, 0xe6}, RSI, 3},
		{{0x0f, 0x22, 0xe7}, RDI, 3},
		{{0x41, 0x0f, 0x22, 0xe6}, R14, 4},
		{{0x66, 0x0f, 0x22, 0xe6}, RSI, 4},
	};

	(void)state;
	mode(CODE64);
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		unsigned row = i % ARRAY_SIZE(rows);

		put(CODE, rows[row].bytes, 4);
		assert_true(decode_cr(4, CR_WRITE));
		assert_int_equal(e.insn_len, rows[row].length);
		assert_int_equal(e.cr.gpr, rows[row].gpr);
	}
}

/* The code is elsewhere by now: other tables, another root, another entry of the same ones. */
static void code_moves(void **state)
{
	const uint8_t here[] = {0x0f, 0xa2}, there[] = {0x66, 0x0f, 0xa2};

	(void)state;
	mode(CODE64);
	put(CODE, here, sizeof(here));
	put(OTHER, there, sizeof(there));
	assert_true(decode(EXIT_CPUID));
	put_entry(ROOT + 0x2000, 1, OTHER | RIGHTS | PTE_PS);
	assert_true(decode(EXIT_CPUID));
	assert_int_equal(e.insn_len, 3);
	make_tables(ROOT2);
	v->ops->reg_write(v, REG_CR3, ROOT2);
	assert_true(decode(EXIT_CPUID));
	assert_int_equal(e.insn_len, 2);
	v->rip = OTHER;
	assert_true(decode(EXIT_CPUID));
	assert_int_equal(e.insn_len, 3);
}

static void expect_length(unsigned length)
{
	for (unsigned again = 0; again < 2; again++) {
		assert_true(decode(EXIT_CPUID));
		assert_int_equal(e.insn_len, length);
	}
}

/* 64-bit code, with tables of four levels or of five. */
static void long_mode(bool five_levels)
{
	uint64_t cr4 = v->ops->reg_read(v, REG_CR4);

	vmw.c->cpuid.cr4_allowed |= CR4_LA57;
	mode(CODE32);
	v->ops->reg_write(v, REG_CR4, cr4);
	cr4 = CR4_PAE | (five_levels ? CR4_LA57 : 0);
	assert_true(vm_cr4_write(vmw.c, cr4));
	mode(CODE64);
	v->ops->reg_write(v, REG_CR4, cr4);
}

#define TABLE(n)  (ROOT + 0x20000 + 0x1000ull * (n))
#define ELSEWHERE 8 /* the first of the tables that lead to the other code */

/* `depth` tables from TABLE(first) down, the last of which maps a page of that level at `to`. */
static void chain(unsigned first, unsigned depth, unsigned page_level, gpa_t to)
{
	for (unsigned i = 0; i < depth; i++) {
		unsigned level = page_level + depth - 1 - i;
		uint64_t entry = i + 1 < depth ? TABLE(first + i + 1)
				 : page_level  ? to | PTE_PS
					       : to;

		put_entry(TABLE(first + i), CODE >> (12 + 9 * level) & 511, entry | RIGHTS);
	}
}

/* One entry of the tables changes, whichever, and the code is another. */
static void each_level_with(unsigned depth, unsigned page_level)
{
	static const uint8_t here[] = {0x0f, 0xa2}, there[] = {0x66, 0x0f, 0xa2};

	long_mode(depth + page_level == 5);
	put(CODE, here, sizeof(here));
	put(OTHER, there, sizeof(there));
	v->ops->reg_write(v, REG_CR3, TABLE(0));
	for (unsigned i = 0; i < depth; i++) {
		unsigned index = CODE >> (12 + 9 * (page_level + depth - 1 - i)) & 511;
		uint64_t entry;

		chain(0, depth, page_level, page_level == 2 ? 0 : CODE);
		chain(ELSEWHERE, depth, page_level, page_level == 2 ? GIB(1) : OTHER);
		expect_length(2);
		assert_int_equal(guest_mem_read(&vmw.vm->mem, TABLE(ELSEWHERE + i) + 8ull * index,
					 &entry, 8),
			OK);
		put_entry(TABLE(i), index, entry);
		if (page_level == 2)
			assert_false(decode(EXIT_CPUID)); /* no RAM is there */
		else
			expect_length(3);
	}
}

static void each_level(void **state)
{
	(void)state;
	each_level_with(4, 0);
	each_level_with(3, 1);
	each_level_with(2, 2);
	each_level_with(5, 0);
	each_level_with(4, 1);
}

/* The same root and the same entries, one level deeper. */
static void a_level_more(void **state)
{
	const uint8_t here[] = {0x0f, 0xa2}, there[] = {0x66, 0x0f, 0xa2};

	(void)state;
	put_entry(ROOT + 0x2000, 0, (ROOT2 + 0x2000) | RIGHTS);
	put_entry(ROOT2 + 0x2000, 1, OTHER | RIGHTS | PTE_PS);
	put(CODE, here, sizeof(here));
	put(OTHER, there, sizeof(there));
	for (unsigned again = 0; again < 2; again++) {
		long_mode(false);
		expect_length(2);
		long_mode(true);
		expect_length(3);
	}
	/* INIT clears CR4. */
	vm_cpu_reset(vmw.c);
	mode(CODE64);
	v->ops->reg_write(v, REG_CR3, ROOT);
	expect_length(2);
}

/* REX is an instruction of its own outside 64-bit code: INC or DEC, and no CPUID. */
static void other_code_size(void **state)
{
	const uint8_t rex[] = {0x48, 0x0f, 0xa2};

	(void)state;
	put(CODE, rex, sizeof(rex));
	mode(CODE64);
	assert_true(decode(EXIT_CPUID));
	mode(COMPAT32);
	assert_false(decode(EXIT_CPUID));
	mode(CODE64);
	assert_true(decode(EXIT_CPUID));
	assert_int_equal(e.insn_len, 3);
}

/* The loop of a driver: bytes at every place in a quadword and across it. */
static void every_alignment(void **state)
{
	const uint8_t bytes[] = {0x41, 0x0f, 0x22, 0xe6};

	(void)state;
	mode(CODE64);
	for (unsigned at = 0; at < 16; at++) {
		put(CODE + at, bytes, sizeof(bytes));
		v->rip = CODE + at;
		for (unsigned again = 0; again < 2; again++) {
			assert_true(decode_cr(4, CR_WRITE));
			assert_int_equal(e.insn_len, 4);
			assert_int_equal(e.cr.gpr, R14);
		}
		put(CODE + at + 3, (const uint8_t[]){0xe7}, 1);
		assert_true(decode_cr(4, CR_WRITE));
		assert_int_equal(e.cr.gpr, R15);
	}
}

/* What was decoded further up is looked for in the last bytes of its page. */
static void end_of_page(void **state)
{
	const uint8_t cpuid[] = {0x0f, 0xa2};
	uint8_t window[8];

	(void)state;
	mode(CODE64);
	for (unsigned left = 2; left < 10; left++) {
		memset(window, 0x90, sizeof(window));
		put(END - 0x100, cpuid, 2);
		v->rip = END - 0x100;
		expect_length(2);
		put(END - 8, window, 8);
		put(END - left, cpuid, 2);
		v->rip = END - left;
		expect_length(2);
		put(END - left - 1, (const uint8_t[]){0x66}, 1); /* in front of it */
		expect_length(2);
		put(END - left + 1, (const uint8_t[]){0x31}, 1);
		assert_false(decode(EXIT_CPUID));
	}
}

/* ---- Through an exit ---- */

static unsigned turns;

static void guest(struct vcpu *unused, void *ctx)
{
	(void)unused;
	(void)ctx;
	if (++turns == 3)
		vm_stop(vmw.vm, STOP_KILLED, "killed");
	v->gpr[RAX] = 0;
	b->rflags = RFLAGS_RESERVED;
	fake_svm_exit_insn(SVM_EXIT_CPUID, 0, 0);
}

/* A CPU without next-RIP save: the guest goes on behind CPUID, wherever that is. */
static void whole_exit(void **state)
{
	const uint8_t two[] = {0x0f, 0xa2, 0x66, 0x0f, 0xa2, 0xf3, 0x0f, 0xa2};

	(void)state;
	mode(CODE64);
	b->rip = CODE;
	put(CODE, two, sizeof(two));
	svm_config.features = CPUID_SVM_EDX_NP;
	svm_config.needs |= SVM_NEED_LENGTH;
	fake_svm.guest = guest;
	turns = 0;
	v->ops->run(v);
	assert_int_equal(b->rip, CODE + sizeof(two));
	assert_int_equal(v->exits[EXIT_CPUID], 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_instruction),
		TEST(another_instruction),
		TEST(too_long),
		TEST(moves_of_control_registers),
		TEST(across_pages),
		TEST(fetch_faults),
		TEST(tables_outside_memory),
		TEST(known_again),
		TEST(changed_bytes),
		TEST(code_moves),
		TEST(each_level),
		TEST(a_level_more),
		TEST(other_code_size),
		TEST(every_alignment),
		TEST(end_of_page),
		TEST(whole_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
