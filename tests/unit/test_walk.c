/* SPDX-License-Identifier: Apache-2.0 */
/* The guest page walk: every paging mode, every bit of the page-fault error code, A/D updates. */
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
#include "arch/x86/emul/walk.h"

#define RAM_SIZE   0x10000
#define ROOT       0x1000
#define RIGHTS     (PTE_P | PTE_W | PTE_U)
#define LONG_CR4   CR4_PAE
#define LONG_EFER  (EFER_LMA | EFER_NXE)
#define BOUNDED_CR 1000 /* cmpxchg calls that a test may make */

static uint8_t ram[RAM_SIZE];
static unsigned cmpxchg_calls;
static unsigned cmpxchg_busy; /* this many calls fail first, as if the guest had been faster */

static int ram_read(void *opaque, gpa_t gpa, unsigned size, uint64_t *value)
{
	(void)opaque;
	assert_true(size == 4 || size == 8);
	assert_int_equal(gpa % size, 0);
	if (!range_within(gpa, size, RAM_SIZE))
		return E_RANGE;
	memcpy(value, ram + gpa, size);
	return 0;
}

static int ram_cmpxchg(void *opaque, gpa_t gpa, unsigned size, uint64_t old, uint64_t value)
{
	uint64_t now = 0;

	assert_true(++cmpxchg_calls < BOUNDED_CR);
	if (ram_read(opaque, gpa, size, &now))
		return E_RANGE;
	if (cmpxchg_busy) {
		cmpxchg_busy--;
		return E_BUSY;
	}
	assert_int_equal(now, old);
	memcpy(ram + gpa, &value, size);
	return 0;
}

static struct walk_env env_make(uint64_t cr4, uint64_t efer)
{
	memset(ram, 0, sizeof(ram));
	cmpxchg_calls = 0;
	cmpxchg_busy = 0;
	return (struct walk_env){.cr0 = CR0_PE | CR0_PG | CR0_WP,
		.cr3 = ROOT,
		.cr4 = cr4,
		.efer = efer,
		.phys_bits = 40,
		.gib_pages = true,
		.read = ram_read};
}

static void put64(gpa_t table, unsigned index, uint64_t entry)
{
	memcpy(ram + table + index * 8, &entry, 8);
}

static void put32(gpa_t table, unsigned index, uint32_t entry)
{
	memcpy(ram + table + index * 4, &entry, 4);
}

static uint64_t get64(gpa_t table, unsigned index)
{
	uint64_t entry;

	memcpy(&entry, ram + table + index * 8, 8);
	return entry;
}

/* Tables for gva 0: ROOT -> 2000 -> 3000 -> 4000 -> PAGE_GPA; flags of the first and last entry. */
#define PAGE_GPA 0x7654321000ull
static void map_long(uint64_t upper, uint64_t leaf)
{
	put64(ROOT, 0, 0x2000 | upper);
	put64(0x2000, 0, 0x3000 | RIGHTS);
	put64(0x3000, 0, 0x4000 | RIGHTS);
	put64(0x4000, 0, PAGE_GPA | leaf);
}

static void no_paging(void **state)
{
	struct walk_env env = env_make(0, 0);
	struct walk_out out;

	(void)state;
	env.cr0 = CR0_PE;
	assert_int_equal(walk_translate(&env, 0x1ffffff234, WALK_WRITE | WALK_USER, &out), 0);
	assert_int_equal(out.gpa, 0xfffff234);
	assert_int_equal(out.left, 0x100000000 - 0xfffff234);
}

static void four_level(void **state)
{
	struct walk_env env = env_make(LONG_CR4, LONG_EFER);
	struct walk_out out;
	gva_t gva = 0xffff923456789abc;

	(void)state;
	env.cr3 |= 0xabc | BIT(63); /* PCID and no-flush do not locate the table */
	put64(ROOT, 0x124, 0x2000 | RIGHTS);
	put64(0x2000, 0xd1, 0x3000 | RIGHTS);
	put64(0x3000, 0xb3, 0x4000 | RIGHTS);
	put64(0x4000, 0x189, PAGE_GPA | RIGHTS);
	assert_int_equal(walk_translate(&env, gva, WALK_WRITE | WALK_USER, &out), 0);
	assert_int_equal(out.gpa, PAGE_GPA | 0xabc);
	assert_int_equal(out.page_size, PAGE_SIZE);
	assert_int_equal(out.left, 0x1000 - 0xabc);
	assert_int_equal(out.depth, 4);
	assert_int_equal(out.entry_gpa[3], 0x4000 + 0x189 * 8);
	assert_int_equal(out.entry[3], PAGE_GPA | RIGHTS);
	assert_int_equal(get64(0x4000, 0x189), PAGE_GPA | RIGHTS); /* no callback, no A/D */
}

static void five_level(void **state)
{
	struct walk_env env = env_make(LONG_CR4 | CR4_LA57, LONG_EFER);
	struct walk_out out;

	(void)state;
	put64(ROOT, 0x1fe, 0x2000 | RIGHTS);
	put64(0x2000, 3, 0x3000 | RIGHTS);
	put64(0x3000, 0, 0x4000 | RIGHTS);
	put64(0x4000, 0, 0x5000 | RIGHTS);
	put64(0x5000, 0, PAGE_GPA | RIGHTS);
	assert_int_equal(walk_translate(&env, 0xfffe018000000010, 0, &out), 0);
	assert_int_equal(out.gpa, PAGE_GPA | 0x10);
	assert_int_equal(out.depth, 5);
}

static void large_pages(void **state)
{
	struct walk_env env = env_make(LONG_CR4, LONG_EFER);
	struct walk_out out;

	(void)state;
	put64(ROOT, 0, 0x2000 | RIGHTS);
	put64(0x2000, 0, 0x3000 | RIGHTS);
	put64(0x2000, 1, 0x7640000000 | RIGHTS | PTE_PS | PTE_PAT_LARGE);
	put64(0x3000, 1, 0x7654200000 | RIGHTS | PTE_PS | PTE_PAT_LARGE);
	assert_int_equal(walk_translate(&env, 0x345678, 0, &out), 0);
	assert_int_equal(out.gpa, 0x7654345678);
	assert_int_equal(out.left, MIB(2) - 0x145678);
	assert_int_equal(walk_translate(&env, 0x52345678, 0, &out), 0);
	assert_int_equal(out.gpa, 0x7652345678);
	assert_int_equal(out.page_size, GIB(1));

	env.gib_pages = false; /* then the bit is reserved */
	assert_int_equal(walk_translate(&env, 0x52345678, 0, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_RSVD);
}

static void pae(void **state)
{
	struct walk_env env = env_make(CR4_PAE, EFER_NXE);
	struct walk_out out;

	(void)state;
	env.cr3 = ROOT + 0x20; /* 32-byte aligned */
	put64(ROOT + 0x20, 3, 0x2000 | PTE_P);
	put64(0x2000, 0x1ff, 0x3000 | RIGHTS);
	put64(0x2000, 0, 0x7654200000 | RIGHTS | PTE_PS);
	put64(0x3000, 0x1fe, PAGE_GPA | RIGHTS);
	assert_int_equal(walk_translate(&env, 0xaffffe123, WALK_WRITE | WALK_USER, &out), 0);
	assert_int_equal(out.gpa, PAGE_GPA | 0x123);
	assert_int_equal(out.depth, 3);
	assert_int_equal(walk_translate(&env, 0xc0012345, WALK_WRITE | WALK_USER, &out), 0);
	assert_int_equal(out.gpa, 0x7654212345);
	assert_int_equal(walk_translate(&env, 0x12345, 0, &out), E_FAULT);
	assert_int_equal(out.error_code, 0);

	env.pdptes_valid = true; /* the registers win over memory */
	env.pdpte[0] = 0x2000 | PTE_P;
	assert_int_equal(walk_translate(&env, 0x12345, 0, &out), 0);
	assert_int_equal(walk_translate(&env, 0xc0012345, 0, &out), E_FAULT);

	env.pdpte[0] = 0x2000 | PTE_P | PTE_W | PTE_A; /* checked when CR3 was loaded, if at all */
	assert_int_equal(walk_translate(&env, 0x12345, 0, &out), 0);
	env.pdpte[0] = 0x2000 | PTE_P | PTE_NX;
	assert_int_equal(walk_translate(&env, 0x12345, 0, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_RSVD);
}

static void bits32(void **state)
{
	struct walk_env env = env_make(CR4_PSE, 0);
	struct walk_out out;

	(void)state;
	put32(ROOT, 0x3ff, 0x2000 | RIGHTS);
	put32(ROOT, 1, 0x12400000 | RIGHTS | PTE_PS | 0xab << 13);
	put32(ROOT, 2, 0x3000 | RIGHTS | PTE_PS);
	put32(0x2000, 0x3fe, 0xfedcb000 | RIGHTS);
	put32(0x3000, 0, 0x5000 | RIGHTS);
	assert_int_equal(walk_translate(&env, 0xffffe123, WALK_WRITE | WALK_USER, &out), 0);
	assert_int_equal(out.gpa, 0xfedcb123);
	assert_int_equal(out.depth, 2);
	assert_int_equal(walk_translate(&env, 0x712345, 0, &out), 0);
	assert_int_equal(out.gpa, 0xab12712345); /* PSE-36 */
	assert_int_equal(out.left, MIB(4) - 0x312345);

	env.phys_bits = 36; /* bits 21:17 become reserved */
	assert_int_equal(walk_translate(&env, 0x712345, 0, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_RSVD);
	put32(ROOT, 1, 0x12400000 | RIGHTS | PTE_PS | 0xb << 13);
	assert_int_equal(walk_translate(&env, 0x712345, 0, &out), 0);
	assert_int_equal(out.gpa, 0xb12712345);
	put32(ROOT, 1, 0x12400000 | RIGHTS | PTE_PS | BIT(21));
	assert_int_equal(walk_translate(&env, 0x712345, 0, &out), E_FAULT);

	env.cr4 = 0; /* PS is ignored */
	assert_int_equal(walk_translate(&env, 0x800010, 0, &out), 0);
	assert_int_equal(out.gpa, 0x5010);
}

struct rights_case {
	const char *name;
	uint64_t upper, leaf; /* flags besides PTE_P */
	uint64_t cr4;         /* besides PAE */
	bool no_wp, ac;
	unsigned access;
	int status;
	uint32_t code;
};

#define U PTE_U
#define W PTE_W
static const struct rights_case rights_cases[] = {
	{"user read", U, U, 0, false, false, WALK_USER, 0, 0},
	{"user read of supervisor page", U, 0, 0, false, false, WALK_USER, E_FAULT, 0x5},
	{"user read below supervisor table", 0, U, 0, false, false, WALK_USER, E_FAULT, 0x5},
	{"user write", U | W, U | W, 0, false, false, WALK_USER | WALK_WRITE, 0, 0},
	{"user write, read-only leaf", U | W, U, 0, false, false, WALK_USER | WALK_WRITE, E_FAULT,
		0x7},
	{"user write, read-only table", U, U | W, 0, false, false, WALK_USER | WALK_WRITE, E_FAULT,
		0x7},
	{"user write ignores WP", U, U, 0, true, false, WALK_USER | WALK_WRITE, E_FAULT, 0x7},
	{"user fetch", U, U, 0, false, false, WALK_USER | WALK_FETCH, 0, 0},
	{"user fetch, NX leaf", U, U | PTE_NX, 0, false, false, WALK_USER | WALK_FETCH, E_FAULT,
		0x15},
	{"user fetch, NX table", U | PTE_NX, U, 0, false, false, WALK_USER | WALK_FETCH, E_FAULT,
		0x15},
	{"user fetch of supervisor page", U, 0, 0, false, false, WALK_USER | WALK_FETCH, E_FAULT,
		0x15},
	{"user read of NX page", U, U | PTE_NX, 0, false, false, WALK_USER, 0, 0},
	{"kernel read", 0, 0, 0, false, false, 0, 0, 0},
	{"kernel write, WP", 0, 0, 0, false, false, WALK_WRITE, E_FAULT, 0x3},
	{"kernel write, no WP", 0, 0, 0, true, false, WALK_WRITE, 0, 0},
	{"kernel write of user page, WP", U, U, 0, false, false, WALK_WRITE, E_FAULT, 0x3},
	{"kernel fetch, NX", 0, PTE_NX, 0, false, false, WALK_FETCH, E_FAULT, 0x11},
	{"kernel fetch of user page", U, U, 0, false, false, WALK_FETCH, 0, 0},
	{"SMEP", U, U, CR4_SMEP, false, false, WALK_FETCH, E_FAULT, 0x11},
	{"SMEP, supervisor page", U, 0, CR4_SMEP, false, false, WALK_FETCH, 0, 0},
	{"SMEP, user fetch", U, U, CR4_SMEP, false, false, WALK_FETCH | WALK_USER, 0, 0},
	{"SMAP read", U, U, CR4_SMAP, false, false, 0, E_FAULT, 0x1},
	{"SMAP write, no WP", U, U, CR4_SMAP, true, false, WALK_WRITE, E_FAULT, 0x3},
	{"SMAP with AC", U, U, CR4_SMAP, false, true, 0, 0, 0},
	{"SMAP implicit ignores AC", U, U, CR4_SMAP, false, true, WALK_IMPLICIT, E_FAULT, 0x1},
	{"SMAP, supervisor page", U, 0, CR4_SMAP, false, false, 0, 0, 0},
	{"SMAP, user access", U, U, CR4_SMAP, false, false, WALK_USER, 0, 0},
	{"SMAP does not stop fetches", U, U, CR4_SMAP, false, false, WALK_FETCH, 0, 0},
	{"implicit from user mode", 0, 0, 0, false, false, WALK_USER | WALK_IMPLICIT, 0, 0},
	{"implicit write", 0, 0, 0, false, false, WALK_USER | WALK_IMPLICIT | WALK_WRITE, E_FAULT,
		0x3},
};
#undef U
#undef W

static void rights(void **state)
{
	struct walk_out out;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rights_cases); i++) {
		const struct rights_case *c = &rights_cases[i];
		struct walk_env env = env_make(LONG_CR4 | c->cr4, LONG_EFER);
		int status;

		map_long(c->upper | PTE_P, c->leaf | PTE_P);
		if (c->no_wp)
			env.cr0 &= ~CR0_WP;
		env.rflags = c->ac ? RFLAGS_AC : 0;
		status = walk_translate(&env, 0, c->access, &out);
		if (status != c->status || (status && out.error_code != c->code))
			fail_msg("%s: status %d, error code %x", c->name, status, out.error_code);
	}
}

static void error_code_of_fetch(void **state)
{
	struct walk_env env = env_make(LONG_CR4, EFER_LMA);
	struct walk_out out;

	(void)state;
	/* I is reported only with SMEP, or with NX enabled. */
	assert_int_equal(walk_translate(&env, 0, WALK_FETCH | WALK_USER, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_U);
	env.efer |= EFER_NXE;
	assert_int_equal(walk_translate(&env, 0, WALK_FETCH | WALK_USER, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_U | PF_ERR_I);
	env = env_make(CR4_SMEP, EFER_NXE);
	assert_int_equal(walk_translate(&env, 0, WALK_FETCH, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_I);
	env = env_make(0, EFER_NXE); /* 32-bit paging has no NX */
	assert_int_equal(walk_translate(&env, 0, WALK_FETCH, &out), E_FAULT);
	assert_int_equal(out.error_code, 0);
}

static void not_present(void **state)
{
	struct walk_env env = env_make(LONG_CR4, LONG_EFER);
	struct walk_out out;

	(void)state;
	for (unsigned level = 0; level < 4; level++) {
		map_long(RIGHTS, RIGHTS);
		put64(ROOT + level * 0x1000, 0,
			~PTE_P); /* everything else set: still only not present */
		assert_int_equal(walk_translate(&env, 0, WALK_WRITE | WALK_USER, &out), E_FAULT);
		assert_int_equal(out.error_code, PF_ERR_W | PF_ERR_U);
		assert_int_equal(out.depth, level + 1);
	}
}

static void reserved(void **state)
{
	static const struct {
		unsigned level; /* 0: root */
		uint64_t bits;
		bool fault;
	} cases[] = {
		{0, BIT(40), true}, {0, BIT(51), true}, {0, BIT(52), false}, {0, BIT(62), false},
		{0, PTE_PS, true}, {1, BIT(40), true}, {2, BIT(45), true}, {3, BIT(40), true},
		{3, BIT(39), false}, {3, BIT(52), false}, {3, PTE_PAT_4K, false},
		{2, PTE_PS | BIT(13), true}, {2, PTE_PS | BIT(20), true},
		{2, PTE_PS, true}, /* address 4000h is not 2 MiB aligned: bit 14 */
		{1, PTE_PS, true}, /* nor 1 GiB aligned */
	};
	struct walk_env env = env_make(LONG_CR4, LONG_EFER);
	struct walk_out out;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		gpa_t table = ROOT + cases[i].level * 0x1000;

		map_long(RIGHTS, RIGHTS);
		put64(table, 0, get64(table, 0) | cases[i].bits);
		if (cases[i].fault) {
			assert_int_equal(walk_translate(&env, 0, 0, &out), E_FAULT);
			assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_RSVD);
		} else {
			assert_int_equal(walk_translate(&env, 0, 0, &out), 0);
		}
	}
	map_long(RIGHTS, RIGHTS | PTE_NX);
	assert_int_equal(walk_translate(&env, 0, 0, &out), 0);
	env.efer &= ~EFER_NXE;
	assert_int_equal(walk_translate(&env, 0, 0, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_RSVD);

	env = env_make(CR4_PAE, EFER_NXE); /* PAE has no ignored bits above MAXPHYADDR */
	put64(ROOT, 0, 0x2000 | PTE_P);
	put64(0x2000, 0, 0x3000 | RIGHTS | BIT(62));
	assert_int_equal(walk_translate(&env, 0, 0, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_RSVD);
}

static void protection_keys(void **state)
{
	static const struct {
		uint32_t pkru;
		unsigned access;
		bool no_wp;
		int status;
		uint32_t code;
	} cases[] = {
		{0, WALK_USER | WALK_WRITE, false, 0, 0},
		{1u << 10, WALK_USER, false, E_FAULT, 0x25},
		{1u << 10, 0, false, E_FAULT, 0x21},
		{1u << 10, WALK_USER | WALK_FETCH, false, 0, 0},
		{2u << 10, WALK_USER, false, 0, 0},
		{2u << 10, WALK_USER | WALK_WRITE, true, E_FAULT, 0x27},
		{2u << 10, WALK_WRITE, false, E_FAULT, 0x23},
		{2u << 10, WALK_WRITE, true, 0, 0},
		{~(3u << 10), WALK_USER | WALK_WRITE, false, 0, 0},
	};
	struct walk_out out;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct walk_env env = env_make(LONG_CR4 | CR4_PKE, LONG_EFER);

		map_long(RIGHTS, RIGHTS | 5ull << 59);
		env.pkru = cases[i].pkru;
		if (cases[i].no_wp)
			env.cr0 &= ~CR0_WP;
		assert_int_equal(walk_translate(&env, 0, cases[i].access, &out), cases[i].status);
		if (cases[i].status)
			assert_int_equal(out.error_code, cases[i].code);
		env.cr4 &= ~CR4_PKE;
		assert_int_equal(walk_translate(&env, 0, cases[i].access, &out), 0);
	}
	{
		struct walk_env env = env_make(LONG_CR4 | CR4_PKE, LONG_EFER);

		map_long(RIGHTS,
			PTE_P | PTE_W | 5ull << 59); /* supervisor page: keys do not apply */
		env.pkru = ~0u;
		assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), 0);
	}
}

/* PKRS: the same for supervisor pages, whatever PKRU says. */
static void supervisor_keys(void **state)
{
	static const struct {
		uint32_t pkrs;
		unsigned access;
		bool no_wp;
		int status;
		uint32_t code;
	} cases[] = {
		{0, WALK_WRITE, false, 0, 0},
		{1u << 10, 0, false, E_FAULT, 0x21},
		{1u << 10, WALK_WRITE, true, E_FAULT, 0x23},
		{1u << 10, WALK_FETCH, false, 0, 0},
		{2u << 10, 0, false, 0, 0},
		{2u << 10, WALK_WRITE, false, E_FAULT, 0x23},
		{2u << 10, WALK_WRITE, true, 0, 0},
		{~(3u << 10), WALK_WRITE, false, 0, 0},
	};
	struct walk_out out;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct walk_env env = env_make(LONG_CR4 | CR4_PKS, LONG_EFER);

		map_long(RIGHTS, PTE_P | PTE_W | 5ull << 59);
		env.pkrs = cases[i].pkrs;
		env.pkru = ~0u;
		if (cases[i].no_wp)
			env.cr0 &= ~CR0_WP;
		assert_int_equal(walk_translate(&env, 0, cases[i].access, &out), cases[i].status);
		if (cases[i].status)
			assert_int_equal(out.error_code, cases[i].code);
		map_long(RIGHTS, RIGHTS | 5ull << 59); /* a user page: it does not apply */
		assert_int_equal(walk_translate(&env, 0, cases[i].access, &out), 0);
	}
}

static void accessed_dirty(void **state)
{
	struct walk_env env = env_make(LONG_CR4, LONG_EFER);
	struct walk_out out;

	(void)state;
	env.cmpxchg = ram_cmpxchg;
	map_long(RIGHTS, RIGHTS);
	assert_int_equal(walk_translate(&env, 0, 0, &out), 0);
	assert_int_equal(cmpxchg_calls, 4);
	assert_int_equal(get64(ROOT, 0), 0x2000 | RIGHTS | PTE_A);
	assert_int_equal(get64(0x4000, 0), PAGE_GPA | RIGHTS | PTE_A);
	assert_int_equal(walk_translate(&env, 0, 0, &out), 0);
	assert_int_equal(cmpxchg_calls, 4); /* nothing left to set */
	assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), 0);
	assert_int_equal(get64(0x4000, 0), PAGE_GPA | RIGHTS | PTE_A | PTE_D);
	assert_int_equal(get64(0x3000, 0), 0x4000 | RIGHTS | PTE_A); /* D only in the leaf */

	put64(0x3000, 0, 0x4000 | RIGHTS); /* one entry of many */
	assert_int_equal(walk_translate(&env, 0, 0, &out), 0);
	assert_int_equal(get64(0x3000, 0), 0x4000 | RIGHTS | PTE_A);

	map_long(RIGHTS, PTE_P); /* a refused write leaves no D behind */
	assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), E_FAULT);
	assert_int_equal(get64(0x4000, 0) & PTE_D, 0);

	map_long(RIGHTS, RIGHTS);
	cmpxchg_busy = 2;
	assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), 0);
	assert_int_equal(get64(0x4000, 0), PAGE_GPA | RIGHTS | PTE_A | PTE_D);
	map_long(RIGHTS, RIGHTS);
	cmpxchg_busy = BOUNDED_CR; /* a guest that never lets go does not hold us */
	assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), E_BUSY);

	env = env_make(CR4_PAE, EFER_NXE); /* PDPTEs have no accessed bit */
	env.cmpxchg = ram_cmpxchg;
	put64(ROOT, 0, 0x2000 | PTE_P);
	put64(0x2000, 0, RIGHTS | PTE_PS);
	assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), 0);
	assert_int_equal(get64(ROOT, 0), 0x2000 | PTE_P);
	assert_int_equal(get64(0x2000, 0), RIGHTS | PTE_PS | PTE_A | PTE_D);
}

/* Entries of 32-bit paging are four bytes wide, and so are the updates. */
static void accessed_dirty_32bit(void **state)
{
	struct walk_env env = env_make(CR4_PSE, 0);
	struct walk_out out;

	(void)state;
	env.cmpxchg = ram_cmpxchg;
	put32(ROOT, 0, 0x2000 | RIGHTS);
	put32(ROOT, 1, 0x12400000 | RIGHTS | PTE_PS);
	put32(0x2000, 0, 0x7000 | RIGHTS);
	put32(0x2000, 1, 0x8000 | RIGHTS);
	assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), 0);
	assert_int_equal(
		get64(ROOT, 0), (0x12400000ull | RIGHTS | PTE_PS) << 32 | 0x2000 | RIGHTS | PTE_A);
	assert_int_equal(
		get64(0x2000, 0), (0x8000ull | RIGHTS) << 32 | 0x7000 | RIGHTS | PTE_A | PTE_D);
	assert_int_equal(walk_translate(&env, 0x400000, WALK_WRITE, &out), 0);
	assert_int_equal(get64(ROOT, 0) >> 32, 0x12400000 | RIGHTS | PTE_PS | PTE_A | PTE_D);
	assert_int_equal(cmpxchg_calls, 3);
}

static void accessed_dirty_five_level(void **state)
{
	struct walk_env env = env_make(LONG_CR4 | CR4_LA57, LONG_EFER);
	struct walk_out out;

	(void)state;
	env.cmpxchg = ram_cmpxchg;
	for (unsigned level = 0; level < 5; level++)
		put64(ROOT + level * 0x1000, 0, (ROOT + (level + 1) * 0x1000) | RIGHTS);
	assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), 0);
	assert_int_equal(cmpxchg_calls, 5);
	for (unsigned level = 0; level < 5; level++)
		assert_int_equal(get64(ROOT + level * 0x1000, 0) & (PTE_A | PTE_D),
			level == 4 ? PTE_A | PTE_D : PTE_A);

	put64(ROOT, 0, 0x2000 | RIGHTS | PTE_PS); /* no level above the third has large pages */
	assert_int_equal(walk_translate(&env, 0, 0, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_RSVD);
	put64(ROOT, 0, 0x2000 | RIGHTS);
	put64(0x2000, 0, 0x3000 | RIGHTS | PTE_PS);
	assert_int_equal(walk_translate(&env, 0, 0, &out), E_FAULT);
	put64(0x2000, 0, 0x3000 | RIGHTS);
	put64(0x3000, 0, 0x7640000000 | RIGHTS | PTE_PS);
	assert_int_equal(walk_translate(&env, 0x12345678, 0, &out), 0);
	assert_int_equal(out.gpa, 0x7652345678);
	assert_int_equal(out.page_size, GIB(1));
}

/* The rights of the two short modes; the root of PAE has none to give or take. */
static void rights_of_short_modes(void **state)
{
	struct walk_env env = env_make(CR4_PAE, EFER_NXE);
	struct walk_out out;

	(void)state;
	put64(ROOT, 0, 0x2000 | PTE_P);
	put64(0x2000, 0, 0x3000 | RIGHTS);
	put64(0x3000, 0, 0x7000 | PTE_P | PTE_U | PTE_NX);
	assert_int_equal(walk_translate(&env, 0, WALK_USER, &out), 0);
	assert_int_equal(walk_translate(&env, 0, WALK_USER | WALK_WRITE, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_W | PF_ERR_U);
	assert_int_equal(walk_translate(&env, 0, WALK_FETCH, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_I);
	put64(0x2000, 0, 0x3000 | PTE_P | PTE_W);
	assert_int_equal(walk_translate(&env, 0, WALK_USER, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_U);
	env.efer = 0; /* then the bit is reserved */
	assert_int_equal(walk_translate(&env, 0, 0, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_RSVD);

	env = env_make(0, 0);
	put32(ROOT, 0, 0x2000 | PTE_P | PTE_U);
	put32(0x2000, 0, 0x7000 | RIGHTS);
	assert_int_equal(walk_translate(&env, 0, WALK_USER | WALK_FETCH, &out), 0);
	assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_W);
	env.cr0 &= ~CR0_WP;
	assert_int_equal(walk_translate(&env, 0, WALK_WRITE, &out), 0);
	assert_int_equal(walk_translate(&env, 0, WALK_USER | WALK_WRITE, &out), E_FAULT);
	assert_int_equal(out.error_code, PF_ERR_P | PF_ERR_W | PF_ERR_U);
}

static void unreachable_tables(void **state)
{
	struct walk_env env = env_make(LONG_CR4, LONG_EFER);
	struct walk_out out;

	(void)state;
	env.cr3 = 0x7000000000;
	assert_int_equal(walk_translate(&env, 0, 0, &out), E_RANGE);
	env.cr3 = ROOT;
	put64(ROOT, 0, 0x7000000000 | RIGHTS);
	assert_int_equal(walk_translate(&env, 0, 0, &out), E_RANGE);
	env.phys_bits = 60;
	assert_int_equal(walk_translate(&env, 0, 0, &out), E_INVAL);
}

static void canonical(void **state)
{
	(void)state;
	assert_true(walk_is_canonical(0, 0x00007fffffffffff));
	assert_false(walk_is_canonical(0, 0x0000800000000000));
	assert_true(walk_is_canonical(0, 0xffff800000000000));
	assert_false(walk_is_canonical(0, 0xffff7fffffffffff));
	assert_true(walk_is_canonical(CR4_LA57, 0x00ffffffffffffff));
	assert_false(walk_is_canonical(CR4_LA57, 0x0100000000000000));
	assert_true(walk_is_canonical(CR4_LA57, 0xff00000000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_paging),
		cmocka_unit_test(four_level),
		cmocka_unit_test(five_level),
		cmocka_unit_test(large_pages),
		cmocka_unit_test(pae),
		cmocka_unit_test(bits32),
		cmocka_unit_test(rights),
		cmocka_unit_test(error_code_of_fetch),
		cmocka_unit_test(not_present),
		cmocka_unit_test(reserved),
		cmocka_unit_test(protection_keys),
		cmocka_unit_test(supervisor_keys),
		cmocka_unit_test(accessed_dirty),
		cmocka_unit_test(accessed_dirty_32bit),
		cmocka_unit_test(accessed_dirty_five_level),
		cmocka_unit_test(rights_of_short_modes),
		cmocka_unit_test(unreachable_tables),
		cmocka_unit_test(canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
